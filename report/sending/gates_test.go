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
	dmarcpolicy "dmarcgate/policy"
	"dmarcgate/report/consent"
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

// Domains whose mail fails and whose record is known for 30 days: the report needs no
// message that passed, but ordinary mail, a destination that wants the report, and room
// below the caps.
func TestGatesOfDomainsKnownByTheirRecord(t *testing.T) {
	const rua = "dmarc@"
	tests := []struct {
		domain  string
		host    string // of rua; "" is a record without rua
		consent consent.State
		mail    int // ordinary messages of the last day
		traffic int // messages of the last day that are reports, or have the null path
		want    string
		sent    bool
	}{
		{"a-internal.example", "a-internal.example", consent.Internal, 3, 0, "31 done", true},
		{"b-consents.example", "reports-b.example", consent.Granted, 3, 0, "31 done", true},
		{"c-mixed.example", "c-mixed.example", consent.Internal, 1, 3, "31 done", true},
		{"d-beyond-the-cap.example", "d-beyond-the-cap.example", consent.Internal, 3, 0, "31 withheld new_hosts_cap", false},
		{"e-refused.example", "victim.example", consent.Refused, 3, 0, "31 done", false},
		{"f-not-asked.example", "victim.example", "", 3, 0, "31 done", false},
		{"g-no-rua.example", "", "", 3, 0, "2 withheld too_new", false},
		{"h-traffic.example", "h-traffic.example", consent.Internal, 0, 4, "31 withheld report_traffic", false},
		{"i-traffic-consents.example", "reports-i.example", consent.Granted, 0, 4, "31 withheld report_traffic", false},
	}
	s := newSite(t)
	s.set.Gate.DryRun, s.set.Gate.Caps.NewHosts = 0, 3
	for _, tt := range tests {
		if tt.host != "" {
			s.wants(tt.domain, rua+tt.host)
			s.dns[tt.domain].To[0].Consent = tt.consent
		}
		s.forges(day(2, 12), tt.domain)
		for n := range tt.mail + tt.traffic {
			s.forges(day(31, 12), tt.domain)
			switch f := &s.rows[len(s.rows)-1].Facts; {
			case n < tt.mail:
			case n%2 == 0:
				f.ReportTraffic = dmarcpolicy.TrafficReport
			default:
				f.ReportTraffic, f.NullPath = dmarcpolicy.TrafficNullPath, true
			}
		}
	}
	s.until(s.host("a"), day(2, 0).AddDate(0, 0, 31), 2*time.Hour)
	to := map[string]int{}
	for _, m := range s.mails {
		to[m.to]++
	}
	for _, tt := range tests {
		whys := s.whys(tt.domain)
		if got := whys[len(whys)-1]; got != tt.want || whys[0] != "2 withheld too_new" {
			t.Errorf("reports about %s: %q; want the first too_new, and the last %q", tt.domain, whys, tt.want)
		}
		if n := to[rua+tt.host]; (n == 1) != tt.sent || n > 1 {
			t.Errorf("%d mails to %s%s; want one: %v", n, rua, tt.host, tt.sent)
		}
	}
	if got := s.counts.deliveries["unauthorized "]; len(s.mails) != 3 || got != 2 {
		t.Errorf("%d mails, %d deliveries unauthorized; want 3 and 2", len(s.mails), got)
	}
}
