//go:build mta

package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/internal/pgtest"
	"dmarcgate/policy"
	aggregate "dmarcgate/report"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/file"
	queuepg "dmarcgate/report/queue/pg"
	"dmarcgate/results"
	"dmarcgate/site"
)

// reporting is a host with [reports] send = true, past the dry run.
type reporting struct {
	*host
	t    *testing.T
	sink *mtatest.Sink
	day  aggregate.Period // that is over, and reported
}

// newReporting returns a host on which wants.example is known, and passed three times on
// a day that may be closed by now. tables are further ones of its configuration.
func newReporting(t *testing.T, tables string) *reporting {
	t.Helper()
	s := newReportSite(t, "wants.example")
	r := s.host(tables)
	rows := []results.Row{passed("wants.example", s.day.Begin.AddDate(0, 0, -9), "old")}
	for i := range 3 {
		rows = append(rows, passed("wants.example", s.day.Begin.Add(time.Duration(i)*time.Hour), fmt.Sprint("q", i)))
	}
	fillStore(t, r.config(), rows...)
	r.enable()
	return r
}

// reportSite is what hosts of one site share: the smarthost, the name server and the key.
type reportSite struct {
	t        *testing.T
	sink     *mtatest.Sink
	dns, key string
	day      aggregate.Period // that may be closed by now
}

// newReportSite returns a site whose identity is published, beside domains that want
// reports at rua@ their name.
func newReportSite(t *testing.T, domains ...string) *reportSite {
	t.Helper()
	sink, err := mtatest.StartSink()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	zone := processZone + `
_dmarc.receiver.example.        TXT "v=DMARC1; p=reject"
r1._domainkey.receiver.example. TXT "v=DKIM1; k=ed25519; p=` + base64.StdEncoding.EncodeToString(public) + `"
receiver.example.               MX  10 mx.receiver.example.
receiver.example.               TXT "v=spf1 -all"
`
	for _, d := range domains {
		zone += "_dmarc." + d + `. TXT "v=DMARC1; p=reject; rua=mailto:rua@` + d + "\"\n"
	}
	day := aggregate.DayOf(aggregate.DayOf(time.Now().Add(-queue.CloseAfter)).Begin.AddDate(0, 0, -1))
	return &reportSite{t, sink, dnstest.New(t, zone).Addr(), key, day}
}

// host returns a host of the site. more are further lines of [reports], and tables.
func (s *reportSite) host(more string) *reporting {
	t := s.t
	t.Helper()
	h := newHost(t, hostConfig{dns: s.dns, extra: fmt.Sprintf(`
[reports]
send = true
organization = "Receiver"
email = "dmarc@receiver.example"
submitter = "receiver.example"
selector = "r1"
key_file = %q
smarthost = %q
tls = "none"
dry_run = "0s"
bounce_listen = "unix:%%s/bounces.sock"
own_domains = ["receiver.example"]
%s`, s.key, s.sink.Addr(), more)})
	text, err := os.ReadFile(h.config())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.config(), bytes.ReplaceAll(text, []byte("%s"), []byte(h.dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	return &reporting{host: h, t: t, sink: s.sink, day: s.day}
}

// passed is a message of a domain that passed.
func passed(domain string, at time.Time, qid string) results.Row {
	row := results.Row{Facts: policy.Facts{
		Time: at, QueueID: qid, Listener: "mta", Client: netip.MustParseAddr("192.0.2.10"), MailFrom: domain, FromField: policy.FromOneMailbox, Version: policy.FactsVersion,
		SPF: policy.SPF{Result: "pass", Domain: domain},
		Authors: []policy.Author{{
			Domain: domain, Org: domain, PolicyDomain: domain, Source: "author", Record: "v=DMARC1; p=reject",
			Verdict: dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedSPF: true},
		}},
	}}
	row.Decision = policy.Settings{Profile: policy.Strict, EnforceShare: 100}.Decide(row.Facts)
	return row
}

// enable notes that sending was switched on at the begin of the day.
func (r *reporting) enable() {
	r.t.Helper()
	q := r.openQueue()
	defer q.Close()
	if _, err := queue.Enable(r.t.Context(), q, queue.Notes{}, r.day.Begin); err != nil {
		r.t.Fatal(err)
	}
}

// openQueue opens the queue of the host.
func (r *reporting) openQueue() (q queue.Store) {
	r.t.Helper()
	in, err := site.Load(r.config(), site.AllParts)
	if err != nil {
		r.t.Fatal(err)
	}
	if in.Config.Store.Postgres.URL != "" {
		q, err = queuepg.Open(r.t.Context(), site.PostgresConfig(in.Config))
	} else {
		q, err = file.Open(r.t.Context(), file.Options{Path: site.ReportQueue(in.Config), Log: slog.New(slog.DiscardHandler)})
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return q
}

// command runs a command about reports, and reads its JSON into v unless that is nil.
func (r *reporting) command(v any, args ...string) (out, stderr string) {
	r.t.Helper()
	args = append(append([]string{"reports"}, args...), "-c", r.config())
	if v != nil {
		args = append(args, "--json")
	}
	code, out, stderr := command(args...)
	if code != 0 {
		r.t.Fatalf("%q = %d, %s%s", args, code, out, stderr)
	}
	if v != nil {
		if err := json.Unmarshal([]byte(out), v); err != nil {
			r.t.Fatalf("%q: %v in %s", args, err, out)
		}
	}
	return out, stderr
}

// queuedReport is a report as list and show print it.
type queuedReport struct {
	ID, State  string
	Domain     string `json:"policy_domain"`
	Messages   int64
	Begin      time.Time
	Deliveries []struct {
		To, State string
		Attempts  int
		Tried     []struct{ Outcome string }
	}
}

// shownStatus is what status prints.
type shownStatus struct {
	Send       bool
	Paused     string
	Identity   *struct{ Problem string }
	Reports    map[string]int64
	Deliveries map[string]int64
}

// A day of a store goes its whole way through the program: closed, planned, made and sent
// to a smarthost, once, and the commands agree with what arrived.
func TestReportsDayGoesToTheSmarthostOnce(t *testing.T) {
	r := newReporting(t, "")
	p := r.start()
	sent, err := r.sink.Delivered(t.Context(), func(mtatest.Mail) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	if len(sent.Rcpts) != 1 || sent.Rcpts[0] != "rua@wants.example" || !strings.HasPrefix(sent.From, "b+") || !strings.HasSuffix(sent.From, "@receiver.example") {
		t.Errorf("the mail is from %q to %q; want a return path, and the address of the record", sent.From, sent.Rcpts)
	}
	p.awaitMetric("the report to be done", func(n float64) bool { return n == 1 }, "dmarcgate_reports", `state="done"`)
	p.metricIs(1, "dmarcgate_report_deliveries_total", `outcome="sent"`, `class="2xx"`)
	p.metricIs(3, "dmarcgate_report_rows_total", `outcome="reported"`)
	r.agree(sent)
	r.passes(sent)
	r.orders()
	p.stop()
	p = r.start()
	p.awaitMetric("the report to be counted again", func(n float64) bool { return n == 1 }, "dmarcgate_reports", `state="done"`)
	p.metricIs(0, "dmarcgate_report_deliveries_total", `outcome="sent"`, `class="2xx"`)
	p.stop()
	if n := len(r.sink.Mails()); n != 1 {
		t.Errorf("%d mails after a second start; want 1", n)
	}
	if _, stderr := r.command(nil, "pause", "--reason", "test"); !strings.Contains(stderr, "no daemon answers") {
		t.Errorf("pause without a daemon says %q; want that the queue is changed here", stderr)
	}
}

// agree compares list, show and status with the mail that arrived.
func (r *reporting) agree(sent mtatest.Mail) {
	r.t.Helper()
	var list []queuedReport
	r.command(&list, "list", "--day", r.day.Begin.Format(time.DateOnly))
	if len(list) != 1 || list[0].Domain != "wants.example" || list[0].State != "done" || list[0].Messages != 3 || !list[0].Begin.Equal(r.day.Begin) {
		r.t.Fatalf("reports list = %+v; want one report about 3 messages, done", list)
	}
	if !bytes.Contains(sent.Data, []byte("Report-ID: "+list[0].ID)) {
		r.t.Errorf("the mail lacks the Report-ID %s:\n%.1000s", list[0].ID, sent.Data)
	}
	var one queuedReport
	r.command(&one, "show", list[0].ID, "--attempts")
	if d := one.Deliveries; len(d) != 1 || d[0].To != "rua@wants.example" || d[0].State != "sent" || d[0].Attempts != 1 || len(d[0].Tried) != 1 {
		r.t.Errorf("reports show = %+v; want one attempt, sent", one)
	}
	if mail, stderr := r.command(nil, "show", list[0].ID, "--mail"); mail != string(sent.Data) || !strings.Contains(stderr, sent.From) {
		r.t.Errorf("reports show --mail prints\n%s%s\nwant the mail that arrived from %s\n%s", stderr, mail, sent.From, sent.Data)
	}
	if doc, _ := r.command(nil, "show", list[0].ID, "--xml"); !strings.Contains(doc, "<count>3</count>") {
		r.t.Errorf("reports show --xml prints\n%s\nwant 3 messages", doc)
	}
	var s shownStatus
	r.command(&s, "status")
	if !s.Send || s.Identity == nil || s.Identity.Problem != "" || s.Reports["done"] != 1 || s.Deliveries["sent"] != 1 || s.Paused != "" {
		r.t.Errorf("reports status = %+v; want one report, sent, and an identity that is checked", s)
	}
}

// passes has explain evaluate the mail that arrived, as from a client that SPF does not
// know.
func (r *reporting) passes(sent mtatest.Mail) {
	r.t.Helper()
	code, out, stderr := command("explain", write(r.t, "sent.eml", string(sent.Data)), "-c", r.config(), "--client", "203.0.113.1", "--helo", "[203.0.113.1]",
		"--mail-from", "<"+sent.From+">", "--rcpt", "<"+sent.Rcpts[0]+">")
	for _, want := range []string{"DKIM pass for receiver.example (s=r1): aligned", "dmarc receiver.example: pass"} {
		if code != 0 || !strings.Contains(out, want) {
			r.t.Errorf("explain of the mail that arrived = %d, %s\n%s\nwant %q in it", code, stderr, out, want)
		}
	}
}

// orders has the daemon pause and resume.
func (r *reporting) orders() {
	r.t.Helper()
	for _, order := range []struct {
		args   []string
		paused string
	}{{[]string{"pause", "--reason", "the smarthost moves"}, "the smarthost moves"}, {[]string{"resume"}, ""}} {
		if _, stderr := r.command(nil, order.args...); stderr != "" {
			r.t.Errorf("reports %q says %q; want the daemon to do it", order.args, stderr)
		}
		var s shownStatus
		if r.command(&s, "status"); !strings.HasSuffix(s.Paused, order.paused) || (s.Paused == "") != (order.paused == "") {
			r.t.Errorf("status after %q: paused %q; want %q", order.args, s.Paused, order.paused)
		}
	}
}

// A daemon whose queue is in PostgreSQL ends in time after SIGTERM, whatever the server
// does. A mail that was answered meanwhile, and the report that waits, are there when the
// server is back: the report leaves once.
func TestReportsDatabaseCutWhileTheDaemonStops(t *testing.T) {
	server := pgtest.Start(t)
	url, password := documentedDatabase(t, server)
	r := newReporting(t, fmt.Sprintf("[store.postgres]\nurl = %q\npassword_file = %q\n", url, password))
	r.pause()
	p := r.start()
	p.awaitMetric("the rows to be in PostgreSQL", func(n float64) bool { return n >= 4 }, "dmarcgate_store_shipped_records_total")
	var turn time.Time
	await(t, stopTime, func() string {
		out, _ := r.command(nil, "status")
		return "the document to be made: " + out
	}, func() bool {
		if time.Since(turn) > 3*time.Second { // a reload begins the next turn, and a session of the shipper
			p.reload()
			turn = time.Now()
		}
		return p.metric("dmarcgate_reports", `state="ready"`) == 1
	})
	for _, tt := range []struct {
		qid  string
		away func()
	}{{"4stopped", server.Stop}, {"4hanging", server.Pause}} {
		tt.away()
		p.reload()
		mta := r.session()
		if err := sendDomain(mta, "good.example", tt.qid); err != nil {
			t.Error(err)
		}
		mta.Close()
		p.stop()
		server.Restart()
		p = r.start()
	}
	if n := len(r.sink.Mails()); n != 0 {
		t.Errorf("%d mails within the pause; want none", n)
	}
	daemontest.Eventually(t, "the pause to end", func() bool {
		code, _, _ := command("reports", "resume", "-c", r.config())
		return code == 0
	})
	sent, err := r.sink.Delivered(t.Context(), func(mtatest.Mail) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	p.awaitMetric("the report to be done", func(n float64) bool { return n == 1 }, "dmarcgate_reports", `state="done"`)
	r.agree(sent)
	daemontest.Eventually(t, "all rows to be in PostgreSQL", func() bool {
		_, out, _ := command("results", "export", "--all-hosts", "-c", r.config())
		return strings.Contains(out, `"4stopped"`) && strings.Contains(out, `"4hanging"`)
	})
	p.stop()
	if n := len(r.sink.Mails()); n != 1 {
		t.Errorf("%d mails; want 1", n)
	}
}

// pause pauses sending before the first start.
func (r *reporting) pause() {
	r.t.Helper()
	q := r.openQueue()
	defer q.Close()
	if err := queue.Pause(r.t.Context(), q, "test"); err != nil {
		r.t.Fatal(err)
	}
}
