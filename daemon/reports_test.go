package daemon

import (
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

	"dmarcgate/daemon/reporter"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/report/queue/file"
	"dmarcgate/report/sending"
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

// reportsOn are complete settings of reports, with a key of their own, and the zone in
// which the identity is published.
func reportsOn(t *testing.T, bounces string) (settings, zone string) {
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
`
	return fmt.Sprintf("[reports]\nsend = true\norganization = \"R\"\nemail = \"dmarc@receiver.example\"\nsubmitter = \"receiver.example\"\n"+
		"selector = \"r1\"\nkey_file = %q\nsmarthost = \"127.0.0.1:9\"\ntls = \"none\"\nbounce_listen = %q\n", path, bounces), zone
}

func TestReportsTakeBouncesAtTheSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "bounces.sock")
	settings, zone := reportsOn(t, "unix:"+socket)
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
