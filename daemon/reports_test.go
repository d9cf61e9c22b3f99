package daemon

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"dmarcgate/daemon/reporter"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
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
			if _, err := os.Stat(reporter.QueuePath(d.Inputs().Config)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("there is a queue of reports in %s (%v); want none", filepath.Base(reporter.QueuePath(d.Inputs().Config)), err)
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
