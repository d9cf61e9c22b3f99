package sending

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/config"
	"dmarcgate/report/deliver"
	sites "dmarcgate/site"
)

// doorbell is a smarthost that counts connections, and says nothing.
func doorbell(t *testing.T) (addr string, rang *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	rang = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			rang.Add(1)
			c.Close()
		}
	}()
	return l.Addr().String(), rang
}

// A thousand messages of a hundred domains that want reports: the default configuration
// opens no connection and makes no queue, and neither does a complete one without send.
// Each line that is missing does the same; with all lines, the smarthost is called.
func TestGatesOfConfigurations(t *testing.T) {
	full := []string{
		`send = true`, `organization = "R"`, `email = "dmarc@reports.example.org"`, `submitter = "reports.example.org"`, `selector = "r1"`,
		`key_file = "/etc/dmarcgate/key"`, `smarthost = "SMARTHOST"`, `tls = "none"`, `dry_run = "0d"`,
	}
	tests := map[string][]string{"the default": nil, "all lines": full}
	for i, line := range full[:7] {
		tests["without "+line] = append(append([]string{}, full[:i]...), full[i+1:]...)
	}
	for name, lines := range tests {
		t.Run(name, func(t *testing.T) {
			addr, rang := doorbell(t)
			text := strings.ReplaceAll(strings.Join(lines, "\n"), "SMARTHOST", addr)
			cfg, err := config.Parse("f", []byte("authserv_id = \"mx.example.org\"\nlistener = [{name = \"in\", address = \"local:/run/a.sock\", profile = \"strict\"}]\n[reports]\n"+text+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			record := "v=DKIM1; p=MIIB"
			if cfg.Reports.KeyFile == "" {
				record = ""
			}
			s := newSite(t)
			s.set.Gate = sites.ReportsOf(cfg, record).Gate
			s.set.Open = func() (Sender, error) {
				s.opened++
				return deliver.New(deliver.Config{Smarthost: addr, Hello: "us.example", TLS: deliver.None})
			}
			for i := range 1000 {
				domain := fmt.Sprintf("d%d.example", i%100)
				s.wants(domain, "dmarc@"+domain)
				s.receives(start.Add(time.Duration(i)*time.Second), domain)
				s.known[domain] = start.AddDate(0, -1, 0)
			}
			s.until(s.host("a"), day(3, 7), 2*time.Hour)
			_, queue := os.Stat(s.path)
			if name == "all lines" {
				if rang.Load() == 0 || queue != nil {
					t.Errorf("%d connections, queue: %v; want the smarthost called", rang.Load(), queue)
				}
				return
			}
			if rang.Load() != 0 || s.opened+s.checks != 0 || s.counts.open || !errors.Is(queue, fs.ErrNotExist) {
				t.Errorf("%d connections, %d senders, %d identity checks, gate open: %v, queue: %v; want nothing", rang.Load(), s.opened, s.checks, s.counts.open, queue)
			}
		})
	}
}
