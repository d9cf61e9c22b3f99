//go:build mta

package sending

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/mtatest"
	"dmarcgate/internal/pgtest"
	"dmarcgate/internal/reporttest"
	"dmarcgate/internal/scale"
	dmarcpolicy "dmarcgate/policy"
	"dmarcgate/report"
	"dmarcgate/report/queue"
	"dmarcgate/report/xml"
	"dmarcgate/results"
)

// usable counts the author domains of a row that a report could be about.
func usable(r *results.Row) (n int64) {
	if r.State != results.Answered || r.Facts.Skip != dmarcpolicy.Evaluated {
		return 0
	}
	for i := range r.Facts.Authors {
		if a := &r.Facts.Authors[i]; a.PolicyDomain != "" && a.Verdict.Status != dmarc.PermError {
			n++
		}
	}
	return n
}

// dayRows are messages of a day: those that come in time, by host, and those that host a
// ships after the day was closed.
func dayRows(day report.Period, n int) (inTime [3][]results.Row, late []results.Row) {
	for i, r := range reporttest.Rows(21, n) {
		author := ""
		if len(r.Facts.Authors) > 0 {
			author = r.Facts.Authors[0].Domain
		}
		if strings.Contains(author, "\x00") || !utf8.ValidString(author) {
			continue // PostgreSQL does not take such a text; no From field gives one
		}
		r.Facts.Time = r.Facts.Time.Add(day.Begin.Sub(reporttest.Day.Begin))
		if i%50 == 0 && usable(&r) == 1 && len(r.Facts.Authors) == 1 && day.Contains(r.Facts.Time) {
			late = append(late, r)
			continue
		}
		inTime[i%3] = append(inTime[i%3], r)
	}
	return inTime, late
}

// document reads the report of a mail, and sums its messages.
func document(t *testing.T, text string) int64 {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if err != nil {
			t.Fatalf("no document in\n%.2000s\n%v", text, err)
		}
		if !strings.HasPrefix(part.Header.Get("Content-Type"), "application/gzip") {
			continue
		}
		plain, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, part))
		if err != nil {
			t.Fatal(err)
		}
		whole, err := io.ReadAll(plain)
		if err != nil {
			t.Fatal(err)
		}
		r, err := xml.Read(bytes.NewReader(whole), func(*report.Record) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return r.Messages
	}
}

// nineKills are the points at which a host of TestReconcile is killed, in the order of the
// work.
var nineKills = []killed{
	{step: "after plan"}, {step: "scan 1"}, {step: "after store"}, {step: "after begin"},
	{line: "MAIL FROM"}, {line: "RCPT TO"}, {line: "DATA"}, {line: "250", mail: true}, {step: "after settle"},
}

// Each message that was answered and evaluated, of an author domain with a usable record,
// is in one report that has arrived, or is counted under the reason why it is in none:
// 4,000 messages of three hosts, 200,000 in soak. Hosts are killed at nine points, and
// PostgreSQL loses commits, breaks connections and crashes.
func TestReconcile(t *testing.T) {
	sink, err := mtatest.StartSink()
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	f := newFleet(t, sink.Addr())
	u, err := url.Parse(f.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := f.server.Proxy(t)
	through := proxy.URL(strings.TrimPrefix(u.Path, "/"))
	gone := filepath.Join(t.TempDir(), "gone")
	inTime, late := dayRows(f.day, 4000*scale.Of(t))
	for i := range f.hosts {
		f.hosts[i].Postgres, f.hosts[i].Gone = through, gone
		f.ship(f.hosts[i], through, inTime[i], func() { proxy.LoseCommits(1); proxy.LoseAcknowledgements(1); proxy.Cut(); proxy.Fix() })
	}
	f.ok(f.q.Suppress(t.Context(), queue.Suppression{Kind: queue.SuppressDomain, What: "d6.example", Source: queue.FromPerson}))
	for i, k := range nineKills {
		f.die(f.hosts[i%len(f.hosts)], k)
		if i == 0 { // the day is closed and planned
			f.ship(f.hosts[0], f.url, late, func() {})
			f.ok(os.WriteFile(gone, nil, 0o600))
		}
	}
	f.finish(proxy, sink)
	var want int64
	for i := range inTime {
		for j := range inTime[i] {
			if r := &inTime[i][j]; f.day.Contains(r.Facts.Time) {
				want += usable(r)
			}
		}
	}
	f.reconcile(sink, want, int64(len(late)))
}

// die lets a host work until it is killed.
func (f *fleet) die(c hostConfig, k killed) {
	f.t.Helper()
	f.hasten()
	p := startTap(f.t, c.Smarthost, k.line)
	c.Smarthost, c.Dies = p.addr, k.step
	h := c.start(f.t)
	p.kill = h.kill
	go p.serve()
	h.goes()
	if !h.ended() {
		f.t.Fatalf("the host was not killed at %+v\n%s", k, h.logged())
	}
	p.l.Close()
	f.expire()
}

// finish lets all hosts work until the day is done, while PostgreSQL is disturbed.
func (f *fleet) finish(proxy *pgtest.Proxy, sink *mtatest.Sink) {
	f.t.Helper()
	f.hasten()
	all := f.start()
	for _, disturb := range []func(){
		func() { proxy.LoseCommits(2) }, func() { proxy.LoseAcknowledgements(2) }, func() { proxy.Cut(); proxy.Fix() },
		func() { f.server.Kill(); f.server.Restart() },
	} {
		before := len(sink.Mails())
		f.poll("some more mails", func() bool { return len(sink.Mails()) >= before+5 })
		disturb()
	}
	for n := 0; ; n++ {
		for _, p := range all {
			p.quiet()
			p.stop()
		}
		_, _ = f.q.Now(f.t.Context()) // the connection broke with the server
		if f.run().State == queue.RunDone {
			return
		}
		if n == 5 {
			f.t.Fatalf("the day is %+v; want it done", f.run())
		}
		f.expire()
		all = f.start()
	}
}

// fate is what became of the messages of a policy: "sent", or why not.
func fate(r queue.Report) string {
	for _, d := range r.Deliveries {
		if d.State == queue.Sent {
			return "sent"
		}
	}
	if r.State == queue.Done && len(r.Deliveries) > 0 {
		return string(r.Deliveries[0].State)
	}
	return strings.TrimSpace(string(r.State) + " " + r.Why)
}

// reconcile adds everything up.
func (f *fleet) reconcile(sink *mtatest.Sink, want, late int64) {
	t := f.t
	t.Helper()
	mails, copies := map[string]received{}, 0
	for _, m := range sink.Mails() {
		got := readMail(t, m.Rcpts[0], m.Data)
		if first, again := mails[got.id+got.to]; again {
			copies++
			if first != got {
				t.Errorf("a copy is\n%s\nwant\n%s", got.text, first.text)
			}
		}
		mails[got.id+got.to] = got
	}
	sums, suspected := map[string]int64{}, 0
	seen := map[policy]string{}
	for _, r := range f.reports() {
		for _, d := range r.Deliveries {
			suspected += d.Suspected
			got, arrived := mails[r.ID+d.Key]
			if arrived != (d.State == queue.Sent) {
				t.Errorf("report %s to %s is %s; a mail arrived: %v", r.ID, d.Key, d.State, arrived)
			} else if n := int64(0); arrived {
				if n = document(t, got.text); n != r.Messages {
					t.Errorf("the document of report %s has %d messages; want %d", r.ID, n, r.Messages)
				}
				delete(mails, r.ID+d.Key)
			}
		}
		p, what := policy{r.PolicyDomain, r.PolicyHash}, fate(r)
		if first, again := seen[p]; !again {
			seen[p] = what
			sums[what] += r.Messages
		} else if first != what {
			t.Errorf("the reports of %v in two forms: %s and %s", p, first, what)
		}
	}
	run := f.run()
	for why, n := range run.LeftOut {
		sums[why] += n
	}
	got := int64(0)
	for n := range maps.Values(sums) {
		got += n
	}
	t.Logf("messages: %v, %d late; %d mails came twice, %d are counted as possible copies", sums, run.Late, copies, suspected)
	if got != want || run.Late != late {
		t.Errorf("%v and %d late; want %d and %d late", sums, run.Late, want, late)
	}
	for _, what := range []string{"sent", "no_rua", "unauthorized", "withdrawn", "unreportable", "unreported", "withheld too_new", "withheld not_listed", "withheld own_domain", "withheld suppressed"} {
		if sums[what] == 0 {
			t.Errorf("no message is %s; want some", what)
		}
	}
	if len(mails) != 0 || copies != 1 || suspected < copies {
		t.Errorf("%d mails are of no report, %d are copies, %d counted; want the one copy of the host that was killed after 250", len(mails), copies, suspected)
	}
}
