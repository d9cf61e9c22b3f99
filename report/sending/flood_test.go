package sending

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dmarcgate/dnscache"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/scale"
	"dmarcgate/report/due"
	"dmarcgate/report/queue"
)

// newReal looks records up in the DNS, as the daemon does.
func newReal(t *testing.T, zone string) due.Records {
	t.Helper()
	dns, err := dnscache.New(dnscache.Config{Servers: []string{dnstest.New(t, zone).Addr()}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	return due.NewDNS(dns, nil)
}

// Fresh domains, all authenticated, name one mailbox of a third party, whose host consents
// to the reports of every domain: 300 domains, 5,000 in soak. While they are young, no mail
// leaves and no connection is opened. Then the host gets what the cap of a day allows, also
// when the daemon is restarted each day.
func TestSpamFlood(t *testing.T) {
	n := min(5000, 300*scale.Of(t))
	var zone strings.Builder
	zone.WriteString(`*._report._dmarc.other.example. TXT "v=DMARC1"` + "\n")
	s := newSite(t)
	s.set.Gate.DryRun = 0
	for i := range n {
		fmt.Fprintf(&zone, "_dmarc.spam%d.example. TXT \"v=DMARC1; p=none; rua=mailto:victim@other.example\"\n", i)
	}
	records := newReal(t, zone.String())
	for d := range 9 {
		for i := range n {
			s.receives(day(2+d, 12).Add(time.Duration(i)*time.Second), fmt.Sprintf("spam%d.example", i))
		}
		h := s.host(fmt.Sprint("day-", d))
		h.Records = records
		s.until(h, day(3+d, 0), 30*time.Minute)
		want := 0
		if d > 7 { // on the eighth day, all are known for seven
			want = int(s.set.Gate.Caps.PerHost)
		}
		if len(s.mails) != want || s.opened > want {
			t.Fatalf("%d mails, %d senders by the end of day %d; want %d mails", len(s.mails), s.opened, d+1, want)
		}
		h.Close()
	}
	for _, m := range s.mails {
		if m.to != "victim@other.example" {
			t.Errorf("a mail to %s", m.to)
		}
	}
	whys := map[string]int{}
	for _, r := range s.reports(queue.Filter{First: day(9, 0), Last: day(9, 0), Limit: n}) {
		whys[strings.TrimSpace(string(r.State)+" "+r.Why)]++
	}
	if whys["done"] != 100 || whys["withheld host_cap"] != n-100 {
		t.Errorf("reports about the day on which all were known for seven days: %v; want 100 sent, all others beyond the cap", whys)
	}
}
