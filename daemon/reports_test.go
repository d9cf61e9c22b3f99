package daemon

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/daemon/reporter"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/report"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/file"
	"dmarcgate/report/sending"
	"dmarcgate/report/verp"
	"dmarcgate/site"
)

// Whatever else is set, send = false is no connection, no queue and no gate that is open.
func TestReportsAreOffByDefault(t *testing.T) {
	smarthost, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connected := make(chan struct{}, 1)
	go func() {
		for {
			c, err := smarthost.Accept()
			if err != nil {
				return
			}
			c.Close()
			connected <- struct{}{}
		}
	}()
	defer smarthost.Close()
	for name, extra := range map[string]string{
		"default":      "",
		"send = false": "[reports]\norganization = \"R\"\nemail = \"dmarc@receiver.example\"\nsubmitter = \"receiver.example\"\nsmarthost = \"" + smarthost.Addr().String() + "\"\ntls = \"none\"\n",
		"no key":       "[reports]\nsend = true\norganization = \"R\"\nemail = \"dmarc@receiver.example\"\nsubmitter = \"receiver.example\"\nsmarthost = \"" + smarthost.Addr().String() + "\"\ntls = \"none\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := startDaemon(t, dnstest.New(t, daemontest.Zone).Addr(), daemontest.Config{Extra: extra})
			for _, qid := range []string{"1", "2"} {
				if !refuses(t, d, qid) {
					t.Errorf("message %s is not refused", qid)
				}
			}
			if err := reporter.New(d.reporter.Parts).Turn(t.Context()); err != nil {
				t.Errorf("a turn of the reports: %v; want nothing to happen", err)
			}
			if _, err := os.Stat(site.ReportQueue(d.Inputs().Config)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("there is a queue of reports in %s (%v); want none", filepath.Base(site.ReportQueue(d.Inputs().Config)), err)
			}
			for _, line := range []string{"dmarcgate_report_gate_open 0", `dmarcgate_report_deliveries_total{class="2xx",outcome="sent"} 0`} {
				if !metricLine(t, d, line) {
					t.Errorf("the metrics lack %q", line)
				}
			}
			select {
			case <-connected:
				t.Error("the smarthost got a connection; want none")
			default:
			}
		})
	}
}

// reportsOn are complete settings of reports, with a key of their own and further keys,
// and the zone in which the identity is published.
func reportsOn(t *testing.T, more string) (settings, zone string) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	zone = daemontest.Zone + `
_dmarc.receiver.example.        TXT "v=DMARC1; p=reject"
r1._domainkey.receiver.example. TXT "v=DKIM1; k=ed25519; p=` + base64.StdEncoding.EncodeToString(public) + `"
receiver.example.               MX  10 mx.receiver.example.
receiver.example.               TXT "v=spf1 -all"
_dmarc.wants.example.           TXT "v=DMARC1; p=reject; rua=mailto:rua@wants.example"
!any
`
	return fmt.Sprintf("[reports]\nsend = true\norganization = \"R\"\nemail = \"dmarc@receiver.example\"\nsubmitter = \"receiver.example\"\n"+
		"selector = \"r1\"\nkey_file = %q\nsmarthost = \"127.0.0.1:9\"\ntls = \"none\"\n%s\n", path, more), zone
}

func TestReportsTakeBouncesAtTheSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "bounces.sock")
	settings, zone := reportsOn(t, fmt.Sprintf("bounce_listen = %q", "unix:"+socket))
	d, log := startDaemon(t, dnstest.New(t, zone).Addr(), daemontest.Config{Extra: settings})
	daemontest.Eventually(t, "the socket for bounces", func() bool { return strings.Contains(log.String(), "listening for bounces of reports") })
	if err := reporter.New(d.reporter.Parts).Turn(t.Context()); err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "identity check") {
		t.Error("the identity check finds faults; want none in an identity that is published")
	}
	q, err := file.Open(t.Context(), file.Options{Path: site.ReportQueue(d.Inputs().Config), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	key, err := sending.Key(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := textproto.NewConn(conn)
	expect := func(code int, line string) {
		t.Helper()
		if line != "" {
			if err := c.PrintfLine("%s", line); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := c.ReadResponse(code); err != nil {
			t.Errorf("%q: %v; want %d", line, err, code)
		}
	}
	expect(220, "")
	expect(250, "LHLO mx.example")
	expect(250, "MAIL FROM:<>")
	expect(5, "RCPT TO:<b+aaaaaaaaaaaaaaaaaaaa@receiver.example>")
	expect(250, "RCPT TO:<"+key.Address("one", time.Now(), "receiver.example")+">")
	expect(221, "QUIT")
	if !metricLine(t, d, "dmarcgate_report_gate_open 0") {
		t.Error("the gate is open in the dry run; want it closed")
	}
}

// reportsQueue opens the queue of a daemon's directory.
func reportsQueue(t *testing.T, dir string) queue.Store {
	t.Helper()
	q, err := file.Open(t.Context(), file.Options{Path: filepath.Join(dir, "reports.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// putReport puts a report with a document and a due mail to rua@wants.example into a
// queue, and returns the return path of the mail.
func putReport(t *testing.T, q queue.Store) (returnPath string) {
	t.Helper()
	ctx, day := t.Context(), report.DayOf(time.Now().AddDate(0, 0, -1))
	key, err := sending.Key(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	var doc bytes.Buffer
	w := gzip.NewWriter(&doc)
	_, _ = w.Write([]byte("<feedback/>"))
	_ = w.Close()
	token := key.Token("one", time.Now())
	r := queue.Report{
		ID: strings.Repeat("0123456789abcdef", 2), Kind: queue.Aggregate, PolicyDomain: "wants.example", Begin: day.Begin, End: day.End, PolicyHash: "h", Form: "rfc9990", Messages: 1,
		Deliveries: []queue.Delivery{{Key: "rua@wants.example", URI: "mailto:rua@wants.example", Via: "internal", Host: "wants.example", VERP: token}},
	}
	for i, step := range []func() error{
		func() error { _, err := q.CloseDay(ctx, queue.Run{Day: day.Begin}); return err },
		func() error { _, err := q.TakeDay(ctx, "test"); return err },
		func() error {
			_, err := q.Plan(ctx, "test", day.Begin, queue.Plan{Reports: []queue.Report{r}})
			return err
		},
		func() error { _, err := q.Take(ctx, "test", queue.Planned, 1); return err },
		func() error { return q.StoreBody(ctx, "test", r.ID, queue.Body{Gzip: doc.Bytes(), Records: 1}) },
		func() error { return q.Release(ctx, "test", r.ID) },
	} {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	return verp.Address(token, "receiver.example")
}

// theMail is the delivery of putReport.
func theMail(t *testing.T, q queue.Store) queue.Delivery {
	t.Helper()
	list, err := q.Find(t.Context(), queue.Filter{PolicyDomain: "wants.example"})
	if err != nil || len(list) != 1 || len(list[0].Deliveries) != 1 {
		t.Fatalf("the queue has %+v, %v; want one report with one mail", list, err)
	}
	return list[0].Deliveries[0]
}

func TestReportsTakeBouncesFromTheMaildir(t *testing.T) {
	maildir := t.TempDir()
	for _, name := range []string{"new", "cur", "tmp"} {
		if err := os.Mkdir(filepath.Join(maildir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	settings, zone := reportsOn(t, fmt.Sprintf("bounce_maildir = %q", maildir))
	path := daemontest.Config{Extra: settings}.Write(t, dnstest.New(t, zone).Addr())
	q := reportsQueue(t, filepath.Dir(path))
	to := putReport(t, q)
	taken, err := q.Take(t.Context(), "test", queue.Ready, 1)
	if err != nil || len(taken) != 1 {
		t.Fatalf("Take() = %v, %v; want the report", taken, err)
	}
	a, err := q.Begin(t.Context(), "test", queue.Begin{Delivery: taken[0].Deliveries[0].ID, Sender: "sender"})
	if err == nil {
		err = q.Settle(t.Context(), "test", a, queue.Outcome{State: queue.Sent, Code: 250})
	}
	if err != nil {
		t.Fatal(err)
	}
	daemontest.PutFile(t, filepath.Join(maildir, "new", "1.bounce"), "Delivered-To: "+to+"\n"+`From: MAILER-DAEMON@mx.example
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.wants.example

Final-Recipient: rfc822; rua@wants.example
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 no such user

--b--
`)
	startAt(t, path)
	daemontest.Eventually(t, "the mail to be refused by the bounce", func() bool { return theMail(t, q).State == queue.Refused })
	list, err := q.Suppressing(t.Context())
	if err != nil || len(list) != 1 || list[0].What != "rua@wants.example" || list[0].Strikes != 1 {
		t.Errorf("suppressed: %+v, %v; want the address, with one strike", list, err)
	}
	daemontest.Eventually(t, "the bounce to be out of the new mail", func() bool {
		left, err := os.ReadDir(filepath.Join(maildir, "new"))
		return err == nil && len(left) == 0
	})
}

// order orders something at the control socket of a daemon.
func order(t *testing.T, d *Daemon, o queue.Order) error {
	t.Helper()
	return admin.Dial(d.Inputs().Config.Admin.Control).Order(t.Context(), o)
}

func TestReportsTakeOrdersAtTheControlSocket(t *testing.T) {
	settings, zone := reportsOn(t, "dry_run = \"0s\"")
	d, _ := startDaemon(t, dnstest.New(t, zone).Addr(), daemontest.Config{Extra: settings})
	daemontest.Eventually(t, "the gate to be open", func() bool { return metricLine(t, d, "dmarcgate_report_gate_open 1") })
	if err := order(t, d, queue.Order{Do: queue.PauseSending, Why: "the smarthost moves"}); err != nil {
		t.Fatal(err)
	}
	daemontest.Eventually(t, "the pause", func() bool {
		return metricLine(t, d, "dmarcgate_report_paused 1") && metricLine(t, d, "dmarcgate_report_gate_open 0")
	})
	q := reportsQueue(t, filepath.Dir(d.Inputs().Config.Store.Path))
	if n, err := queue.ReadNotes(t.Context(), q); err != nil || !strings.Contains(n.Paused, "the smarthost moves") || n.Problem != "" || n.Checked.IsZero() {
		t.Errorf("notes %+v, %v; want the pause with its reason, and an identity check without a problem", n, err)
	}
	if err := order(t, d, queue.Order{Do: queue.ResumeAgain}); err != nil {
		t.Fatal(err)
	}
	daemontest.Eventually(t, "the end of the pause", func() bool { return metricLine(t, d, "dmarcgate_report_gate_open 1") })
	if err := order(t, d, queue.Order{Do: queue.ResumeAgain}); err == nil || !strings.Contains(err.Error(), "sending is not paused") {
		t.Errorf("a second resume: %v; want that sending is not paused", err)
	}
	x := queue.Suppression{Kind: queue.SuppressHost, What: "wants.example", Reason: "asked", Source: queue.FromPerson}
	if err := order(t, d, queue.Order{Do: queue.Suppress, Suppression: x}); err != nil {
		t.Fatal(err)
	}
	if list, err := q.Suppressing(t.Context()); err != nil || len(list) != 1 || list[0].What != x.What {
		t.Errorf("suppressed: %+v, %v; want the host", list, err)
	}
}

func TestReportsFollowAReload(t *testing.T) {
	settings, zone := reportsOn(t, "dry_run = \"0s\"")
	off := strings.Replace(settings, "send = true", "send = false", 1)
	path := daemontest.Config{Extra: off}.Write(t, dnstest.New(t, zone).Addr())
	d, _ := startAt(t, path)
	if err := order(t, d, queue.Order{Do: queue.ResumeAgain}); !errors.Is(err, admin.ErrNoReports) {
		t.Errorf("an order while sending is off: %v; want %v", err, admin.ErrNoReports)
	}
	if _, err := os.Stat(site.ReportQueue(d.Inputs().Config)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the queue while sending is off: %v; want none", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, send := range []string{"true", "false", "true"} {
		daemontest.PutFile(t, path, strings.Replace(string(text), "send = false", "send = "+send, 1))
		if r := d.Reload(); !r.OK || len(r.Restart) > 0 {
			t.Fatalf("Reload() = %+v; want no restart", r)
		}
		open := map[string]string{"true": "1", "false": "0"}[send]
		daemontest.Eventually(t, "the gate with send = "+send, func() bool { return metricLine(t, d, "dmarcgate_report_gate_open "+open) })
	}
}

// A smarthost that takes the connection and says nothing keeps the daemon from nothing.
func TestReportsStopWhileTheSmarthostIsSilent(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	settings, zone := reportsOn(t, "dry_run = \"0s\"")
	settings = strings.Replace(settings, "127.0.0.1:9", silent.Addr().String(), 1)
	path := daemontest.Config{Extra: settings}.Write(t, dnstest.New(t, zone).Addr())
	q := reportsQueue(t, filepath.Dir(path))
	putReport(t, q)
	d, _ := startAt(t, path)
	_ = silent.(*net.TCPListener).SetDeadline(time.Now().Add(stopTime)) // open
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := theMail(t, q); got.State != queue.Trying {
		t.Fatalf("the mail is %s; want an attempt under way", got.State)
	}
	start := time.Now()
	d.Shutdown(t.Context())
	if took := time.Since(start); took > stopTime {
		t.Errorf("the daemon took %v to stop; want at most %v", took, stopTime)
	}
	if got := theMail(t, q); got.State != queue.Due || got.Attempts != 1 {
		t.Errorf("the mail is %s after %d attempts; want it due again after one", got.State, got.Attempts)
	}
}

// stopTime is much less than the deadline of a phase of SMTP, which is minutes.
const stopTime = 20 * time.Second
