package opendmarc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
)

var now = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func readAll(t *testing.T, text string) []Message {
	t.Helper()
	var out []Message
	for r := NewReader(strings.NewReader(text), now); ; {
		m, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
}

const spoof = `job 4XyZ01
reporter mx1.receiver.example
received 1763700000
ipaddr 203.0.113.66
from Bank.example
mfrom forwarder.example
spf 0
spf_scope 1
dkim forwarder.example s1 0
dkim other.example s2 7
pdomain bank.example
policy 16
rua mailto:someone@bank.example
pct 50
adkim 115
aspf 114
p 114
sp 113
fo 0
align_dkim 5
align_spf 5
arc 0
arc_policy 2 json:[{"i":2,"d":"second.example","s":"k2","ip":"192.0.2.2"},{"i":1,"d":"First.example","s":"k1","ip":"192.0.2.1"}]
action 0
`

func TestNextConvertsBlock(t *testing.T) {
	got := readAll(t, spoof)
	want := results.Row{
		State: results.Imported,
		Facts: policy.Facts{
			Time: time.Unix(1763700000, 0).UTC(), Listener: "mx1.receiver.example", QueueID: "4XyZ01",
			Client: netip.MustParseAddr("203.0.113.66"), MailFrom: "forwarder.example", FromField: policy.FromOneMailbox,
			SPF:  policy.SPF{Result: "pass", Domain: "forwarder.example"},
			DKIM: []policy.DKIM{{Result: "pass", Domain: "forwarder.example", Selector: "s1"}, {Result: "fail", Domain: "other.example", Selector: "s2"}},
			ARC:  policy.ARC{Result: "pass", Sealers: []policy.Sealer{{Domain: "first.example", Selector: "k1"}, {Domain: "second.example", Selector: "k2"}}},
			Authors: []policy.Author{{
				Domain: "bank.example", PolicyDomain: "bank.example", Source: "author",
				Record:  "v=DMARC1; p=reject; sp=quarantine; adkim=s; pct=50",
				Verdict: dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 50},
			}},
		},
		Decision: policy.Decision{
			Action: policy.Reject, Disposition: policy.Rejected, Requested: dmarc.Reject, Why: "imported from OpenDMARC",
			Author: "bank.example", Effective: []policy.Policy{{Applied: dmarc.Reject}},
		},
	}
	if len(got) != 1 || got[0].Why != "" || got[0].Line != 1 || !reflect.DeepEqual(got[0].Row, want) {
		t.Errorf("Next() = %+v; want %+v", got, want)
	}
	text, err := json.Marshal(got)
	if err != nil || bytes.Contains(text, []byte("someone")) {
		t.Errorf("the row is %s, %v; want no local part in it", text, err)
	}
}

// with is the smallest block, and lines that follow.
func with(lines ...string) string {
	return "job q\nreporter mx.receiver.example\nreceived 1763700000\nfrom news.bank.example\n" + strings.Join(lines, "\n") + "\n"
}

func TestNextConcludesAuthorResult(t *testing.T) {
	tests := []struct {
		name, lines string
		status      dmarc.Status
		policy      dmarc.Policy
		source      string
		reason      policy.Reason
	}{
		{"nothing is known", "", dmarc.StatusNone, dmarc.None, "none", ""},
		{"no record", "policy 14", dmarc.StatusNone, dmarc.None, "none", ""},
		{"a pass", "policy 15\npdomain news.bank.example\np 114", dmarc.Pass, dmarc.Reject, "author", ""},
		{"a pass under the organization's sp", "policy 15\npdomain bank.example\np 114\nsp 110", dmarc.Pass, dmarc.None, "org", ""},
		{"a pass under the organization's p", "policy 15\npdomain bank.example\np 113\nsp -1", dmarc.Pass, dmarc.Quarantine, "org", ""},
		{"a failure that was refused", "policy 16\np 114\naction 0", dmarc.Fail, dmarc.Reject, "author", ""},
		{"a failure that was delivered", "policy 16\np 114\naction 2", dmarc.Fail, dmarc.Reject, "author", policy.LocalPolicy},
		{"a failure of p=none", "policy 18\np 110\naction 2", dmarc.Fail, dmarc.None, "author", ""},
		{"an alignment without an outcome", "p 114\nalign_dkim 4", dmarc.Pass, dmarc.Reject, "author", ""},
		{"an old version, without action", "policy 17\np 113", dmarc.Fail, dmarc.Quarantine, "author", policy.LocalPolicy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := readAll(t, with(tt.lines))
			if len(got) != 1 || got[0].Why != "" {
				t.Fatalf("Next() = %+v; want one row", got)
			}
			a, d := got[0].Row.Facts.Authors[0], got[0].Row.Decision
			if a.Verdict.Status != tt.status || a.Verdict.Policy != tt.policy || a.Source != tt.source || d.Reason != tt.reason {
				t.Errorf("author = %+v, override %q; want %v, p=%v at %s, override %q", a, d.Reason, tt.status, tt.policy, tt.source, tt.reason)
			}
		})
	}
}

func TestNextAcceptsUnsetAndRepeatedKeys(t *testing.T) {
	tests := []struct{ name, lines string }{
		{"unset numbers", "spf -1\npct -1\np -1\npolicy -1\naction -1"},
		{"unset texts", "ipaddr (null)\nmfrom -\npdomain\nrua -"},
		{"keys twice", "spf 0\nspf 7\nreporter mx.receiver.example"},
		{"unknown keys", "shoe_size 46\nspf_scope 1"},
		{"empty lines and blanks", "\n \n\tspf\t0 \r"},
		{"a signature of an old version", "dkim bank.example 0"},
		{"an ARC list that cannot be read", "arc 0\narc_policy 2 json:[{"},
		{"a From that names nothing", "from (null)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := readAll(t, with(tt.lines)); len(got) != 1 || got[0].Why != "" {
				t.Errorf("Next() = %+v; want one row", got)
			}
		})
	}
	if got := readAll(t, with("spf 0\nspf 7"))[0].Row.Facts.SPF.Result; got != "fail" {
		t.Errorf("spf of a key that stands twice = %q; want the last, fail", got)
	}
	if got := readAll(t, with("dkim bank.example 0"))[0].Row.Facts.DKIM; len(got) != 1 || got[0].Domain != "bank.example" || got[0].Result != "pass" {
		t.Errorf("dkim of an old version = %+v; want a pass of bank.example", got)
	}
}

func TestNextReportsRefusalWithLineAndContinues(t *testing.T) {
	tests := []struct {
		name, text string
		why        Refusal
	}{
		{"lines before a job", "spf 0\n", NoJob},
		{"no reporter", "job q\nreceived 1763700000\n", NoReporter},
		{"no time", "job q\nreporter mx.example\n", NoTime},
		{"a time in words", "job q\nreporter mx.example\nreceived today\n", BadTime},
		{"a time in the future", "job q\nreporter mx.example\nreceived 1999999999\n", BadTime},
		{"a time before the program was", "job q\nreporter mx.example\nreceived 0\n", BadTime},
		{"an address with a hostile tail", with("ipaddr 192.0.2.1;drop"), BadClient},
		{"a number in words", with("spf pass"), BadNumber},
		{"a signature without a number", with("dkim bank.example s1 pass"), BadNumber},
		{"an unknown action", with("action 9"), BadAction},
		{"a reporter that is no name", "job q\nreporter <b>\nreceived 1763700000\n", BadReporter},
		{"a job with control characters", "job \x1b[31m\nreporter mx.example\nreceived 1763700000\n", BadJob},
		{"a line without end", with("rua " + strings.Repeat("x", maxLine)), TooLong},
		{"a job without end", "job " + strings.Repeat("x", maxLine) + "\nreporter mx.example\nreceived 1763700000\n", TooLong},
		{"very many lines", with(strings.Repeat("x\n", maxLines)), TooMany},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if second := readAll(t, with("spf 0")+tt.text); tt.why != NoJob && (len(second) != 2 || second[1].Why != tt.why) {
				t.Errorf("after another block, Next() = %.200v; want %q", second, tt.why)
			}
			got := readAll(t, "\n"+tt.text+with("spf 0"))
			if len(got) != 2 || got[0].Why != tt.why || got[0].Line != 2 {
				t.Fatalf("Next() = %.200v; want %q at line 2, and another", got, tt.why)
			}
			if !reflect.DeepEqual(got[0].Row, results.Row{}) {
				t.Errorf("row of a refused block = %+v; want none", got[0].Row)
			}
			if want := 2 + strings.Count(tt.text, "\n"); got[1].Why != "" || got[1].Line != want {
				t.Errorf("what follows = %+v; want a row of line %d", got[1], want)
			}
		})
	}
}

func TestReadErrorIsReported(t *testing.T) {
	broken := errors.New("broken")
	r := NewReader(io.MultiReader(strings.NewReader("job q\n"), errReader{broken}), now)
	if m, err := r.Next(); !errors.Is(err, broken) {
		t.Errorf("Next() = %+v, %v; want the error of the file", m, err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// A file of a thousand messages is read in one pass, with none lost.
func TestNextReturnsAllBlocks(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		b.WriteString(strings.Replace(spoof, "4XyZ01", fmt.Sprint("q", i), 1))
	}
	got := readAll(t, b.String())
	if len(got) != 1000 || got[999].Row.Facts.QueueID != "q999" {
		t.Errorf("%d messages; want 1000, the last one q999", len(got))
	}
}

// Whatever the file says: each block is a row that can be stored, or has a
// reason; domains are names, and nothing keeps a local part.
func FuzzRead(f *testing.F) {
	f.Add([]byte(spoof))
	f.Add([]byte(spoof + spoof))
	f.Add([]byte(with("arc 7\narc_policy 0 json:[]", "dkim a b c d 0")))
	f.Add([]byte("job\njob\njob q"))
	f.Add([]byte("job q\r\nreporter a@b\r\nreceived 1763700000"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := NewReader(bytes.NewReader(text), now)
		last := 0
		for range len(text) + 1 {
			m, err := r.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatalf("Next() = %v; want no error of bytes", err)
			}
			if m.Line <= last {
				t.Fatalf("line %d after line %d", m.Line, last)
			}
			last = m.Line
			check(t, m)
		}
		t.Fatalf("Next() returns more blocks than there are bytes")
	})
}

func check(t *testing.T, m Message) {
	t.Helper()
	if m.Why != "" {
		return
	}
	facts := m.Row.Facts
	if m.Row.State != results.Imported || facts.Listener == "" || facts.Time.Year() < 2012 {
		t.Fatalf("row = %+v; want it marked, with reporter and time", m.Row)
	}
	names := []string{facts.Listener, facts.MailFrom, facts.SPF.Domain, m.Row.Decision.Author}
	for _, s := range facts.DKIM {
		names = append(names, s.Domain, s.Selector)
	}
	for _, s := range facts.ARC.Sealers {
		names = append(names, s.Domain, s.Selector)
	}
	for _, a := range facts.Authors {
		names = append(names, a.Domain, a.PolicyDomain)
	}
	for _, n := range names {
		if domain(n) != n {
			t.Fatalf("%q is not a name as rows have it; row %+v", n, m.Row)
		}
	}
}
