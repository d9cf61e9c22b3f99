package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
	"dmarcgate/term"
)

const batchFile = `# domains of customers
shop.example
Bank.Example.   # in another spelling

quiet.example
a b
test.example
two.example
broken.example
y.co.uk
unusable.example
`

const unusableZone = "_dmarc.unusable.example. TXT \"v=DMARC1; p=rejct\"\n"

func TestABatchPrintsALineForEachDomainInOrderAndASummary(t *testing.T) {
	dns := dnstest.New(t, lookupZone+unusableZone)
	out, failure := batchOf(t, dns.Addr(), batchFile)
	if !strings.HasPrefix(failure, "of 9 domains, 3 have defects") {
		t.Errorf("Batch = %q; want an error that says how many", failure)
	}
	lines := strings.Split(out, "\n")
	want := []string{
		"shop.example: policy reject, record at shop.example",
		"bank.example: policy reject, record at bank.example, bad_pct, bad_uri",
		"quiet.example: no record",
		"a b: line 6 is not a domain: not a domain name",
		"test.example: policy quarantine, record at test.example",
		"two.example: no record, multiple",
		`broken.example: dns: TXT "_dmarc.broken.example": servfail`,
		"y.co.uk: policy none, record at y.co.uk",
		"unusable.example: a record that cannot be used, at unusable.example, bad_p",
		"",
		"9 domains: 2 without a record, 1 with a record that cannot be used, 1 unreachable, 1 not a domain",
		"policy: 1 none, 1 quarantine, 2 reject",
		"3 with defects that change the meaning",
		"  bad_p: 1", "  bad_pct: 1", "  bad_uri: 1", "  multiple: 1", "",
	}
	for i, line := range want {
		if i >= len(lines) || !strings.HasPrefix(lines[i], line) {
			t.Fatalf("lookup --batch prints\n%s\nwant line %d to be %q", out, i+1, line)
		}
	}
}

func TestABatchShowsProgress(t *testing.T) {
	dns := dnstest.New(t, "!any\n")
	var shown strings.Builder
	now := time.Unix(1000, 0)
	o := options(t, dns.Addr())
	o.Progress = &term.Progress{Out: &shown, Now: func() time.Time { now = now.Add(time.Second); return now }}
	if err := Batch(t.Context(), io.Discard, write(t, "domains.txt", "a.example\nb.example\nc.example\nd.example\n"), o); err != nil {
		t.Fatal(err)
	}
	if want := "\r3 of 4 domains\r4 of 4 domains\r              \r"; shown.String() != want {
		t.Errorf("Batch shows %q; want %q", shown.String(), want)
	}
}

func TestABatchAsJSONIsAnObjectForEachLineAndTheSummaryLast(t *testing.T) {
	dns := dnstest.New(t, lookupZone+unusableZone)
	o := options(t, dns.Addr())
	o.JSON = true
	var out strings.Builder
	err := Batch(t.Context(), &out, write(t, "domains.txt", batchFile), o)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if err == nil || len(lines) != 10 {
		t.Fatalf("Batch as JSON = %v, %d lines; want an error and 10", err, len(lines))
	}
	for _, line := range lines[:9] {
		var s domainReport
		if err := json.Unmarshal([]byte(line), &s); err != nil || s.Domain == "" {
			t.Errorf("line %q: %v; want an object with a domain", line, err)
		}
	}
	const want = `{"summary":{"domains":9,"no_record":2,"unusable_record":1,"policy":{"none":1,"quarantine":1,"reject":2},"unreachable":1,"invalid":1,"meaning_changed":3,"defects":{"bad_p":1,"bad_pct":1,"bad_uri":1,"multiple":1}}}`
	if lines[9] != want {
		t.Errorf("last line = %s; want %s", lines[9], want)
	}
}

func TestABatchOfGoodDomainsIsASuccess(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	for _, text := range []string{"shop.example\n", "shop.example", "# nobody\n\n", ""} {
		if out, failure := batchOf(t, dns.Addr(), text); failure != "" || !strings.Contains(out, "0 with defects") {
			t.Errorf("Batch of %q = %q, %q; want no error and a summary", text, out, failure)
		}
	}
}

func TestABatchIsReadFromStandardInput(t *testing.T) {
	dns := dnstest.New(t, lookupZone)
	f, err := os.Open(write(t, "domains.txt", "quiet.example\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stdin := os.Stdin
	defer func() { os.Stdin = stdin }()
	os.Stdin = f
	var out strings.Builder
	if err := Batch(t.Context(), &out, "-", options(t, dns.Addr())); err != nil || !strings.HasPrefix(out.String(), "quiet.example: no record\n") {
		t.Errorf("Batch of - = %v, %q; want the domain of standard input", err, out.String())
	}
}

func TestABatchHasLimits(t *testing.T) {
	long := strings.Repeat("a", maxBatchLine)
	for about, tt := range map[string]struct {
		text  string
		lines int
		err   string
	}{
		"the longest line":         {"x.example\n#" + long[1:] + "\nx.example\r\n", 2, ""},
		"a line longer than that":  {"x.example\n#" + long + "xx\n", 0, "line 2: longer than 1024 bytes"},
		"a line without an end":    {strings.Repeat(long, 1<<10), 0, "line 1: longer than 1024 bytes"},
		"as many domains as go":    {strings.Repeat("a\n", maxBatchDomains), maxBatchDomains, ""},
		"more domains than go":     {strings.Repeat("a\n", maxBatchDomains+1), 0, "line 100001: more than 100000 domains"},
		"comments are not domains": {strings.Repeat("#\n", maxBatchDomains+1), 0, ""},
	} {
		got, err := readBatch(strings.NewReader(tt.text))
		if len(got) != tt.lines || term.ErrorText(err) != tt.err {
			t.Errorf("readBatch of %s = %d lines, %v; want %d, %q", about, len(got), err, tt.lines, tt.err)
		}
	}
	if err := Batch(t.Context(), io.Discard, "/nonexistent/domains.txt", Options{}); err == nil || !strings.Contains(err.Error(), "/nonexistent/domains.txt") {
		t.Errorf("Batch of a file that is not there = %v; want its name", err)
	}
}

// At most batchAtOnce domains are looked up at a time: with the first one held,
// the ninth is not queried for.
func TestABatchAsksForAFewDomainsAtATime(t *testing.T) {
	dns := dnstest.New(t, "!any")
	arrived, release := dns.Hold("_dmarc.d0.example")
	var list []batchLine
	for i := range 3 * batchAtOnce {
		list = append(list, batchLine{domain: fmt.Sprintf("d%d.example", i)})
	}
	l := newLooker(t, dns.Addr())
	ninth, releaseNinth := dns.Hold(fmt.Sprintf("_dmarc.d%d.example", batchAtOnce))
	defer releaseNinth()
	defer release()
	n := 0
	done := make(chan error, 1)
	go func() {
		done <- l.lookAll(context.Background(), list, func(line batchLine, s *domainReport) error {
			if want := fmt.Sprintf("d%d.example", n); s.Domain != want || line.domain != want {
				t.Errorf("look %d is of %s; want %s", n, s.Domain, want)
			}
			n++
			return nil
		})
	}()
	<-arrived
	eventually(t, "the end of the eighth look", func() bool {
		return strings.Contains(fmt.Sprint(dns.Queries()), fmt.Sprintf("TXT d%d.example", batchAtOnce-1))
	})
	select {
	case <-ninth:
		t.Error("the ninth domain is queried for while the first is not done")
	default:
	}
	releaseNinth()
	release()
	if err := <-done; err != nil || n != len(list) {
		t.Errorf("lookAll = %v after %d; want nil after %d", err, n, len(list))
	}
}

func TestABatchEndsWhenNobodyReadsIt(t *testing.T) {
	dns := dnstest.New(t, "!any")
	list := make([]batchLine, 1000)
	for i := range list {
		list[i].domain = fmt.Sprintf("d%d.example", i)
	}
	gone := errors.New("gone")
	err := newLooker(t, dns.Addr()).lookAll(context.Background(), list, func(batchLine, *domainReport) error { return gone })
	if !errors.Is(err, gone) || len(dns.Queries()) > 100*batchAtOnce {
		t.Errorf("lookAll = %v after %d queries; want %v after a few", err, len(dns.Queries()), gone)
	}
}

// newLooker is one with the servers of a zone.
func newLooker(t *testing.T, addr string) looker {
	t.Helper()
	o := options(t, addr)
	return looker{in: o.Site, dns: o.DNS}
}

// batchOf returns what Batch prints of the domains in a text, and its error as
// text.
func batchOf(t *testing.T, addr, text string) (out, failure string) {
	t.Helper()
	var b strings.Builder
	err := Batch(t.Context(), &b, write(t, "domains.txt", text), options(t, addr))
	return b.String(), term.ErrorText(err)
}

// eventually asks until ok answers true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
