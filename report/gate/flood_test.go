package gate

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"dmarcgate/report/consent"
)

// ledger counts mails as the queue does, over restarts of the daemon.
type ledger struct {
	hosts  map[string]bool // that ever had a mail
	day    time.Time
	today  map[string]int64 // mails by host
	fresh  int64
	total  int64
	recent []time.Time
}

func (l *ledger) held(host string, now time.Time) Held {
	if d := now.Truncate(day); d != l.day {
		l.day, l.today, l.fresh, l.total = d, map[string]int64{}, 0, 0
	}
	for len(l.recent) > 0 && now.Sub(l.recent[0]) >= time.Minute {
		l.recent = l.recent[1:]
	}
	return Held{Read: true, HostKnown: l.hosts[host], NewHosts: l.fresh, ToHost: l.today[host], Today: l.total, LastMinute: int64(len(l.recent))}
}

func (l *ledger) note(host string, now time.Time) {
	if !l.hosts[host] {
		l.hosts[host] = true
		l.fresh++
	}
	l.today[host]++
	l.total++
	l.recent = append(l.recent, now)
}

// flood is a day on which each of 5,000 fresh domains, all authenticated, names a
// mailbox. It returns the mails of that day by host.
func flood(t *testing.T, l *ledger, start time.Time, first time.Time, to func(i int) string) map[string]int64 {
	t.Helper()
	g := openGate() // a new one each day: caps survive a restart
	now := start
	for i := range 5000 {
		domain := fmt.Sprintf("spam%d.example", i)
		g.Verified.At, g.Enabled = now, first.Add(-30*day)
		r := Report{PolicyDomain: domain, Org: domain, FirstSeen: first, RecordSince: first, Passed: true, Ordinary: 9}
		if g.Report(r, now) != Open {
			continue
		}
		uri := to(i)
		addr, _ := consent.MailtoAddress(uri)
		for _, d := range Destinations([]consent.Destination{granted(uri, hostOf(addr))}) {
			why := RateCap
			for why.Waits() { // as fast as the gate allows
				now = now.Add(100 * time.Millisecond)
				why = g.Delivery(Delivery{PolicyDomain: domain, Org: domain, Destination: d, Waiting: start, Held: l.held(d.Counted, now)}, now)
			}
			if why == Open {
				l.note(d.Counted, now)
				if n := len(l.recent); n > 60 {
					t.Fatalf("%d mails in a minute", n)
				}
			}
		}
	}
	if now.Sub(start) >= day {
		t.Fatalf("the day took %v", now.Sub(start))
	}
	return l.today
}

func TestSpamFlood(t *testing.T) {
	tests := []struct {
		name      string
		to        func(i int) string
		wantTotal int64 // of the first day with the age passed
		wantHost  int64 // of one host at most
	}{
		{"one mailbox of a third party", func(int) string { return "mailto:victim@other.example" }, 100, 100},
		{"the mailbox in any writing", func(i int) string {
			return []string{"mailto:Victim@other.example", "mailto:%76ictim@OTHER.example!1m", "mailto:%22victim%22@other.example?x"}[i%3]
		}, 100, 100},
		{"a mailbox for each domain at one host", func(i int) string { return fmt.Sprintf("mailto:v%d@other.example", i) }, 100, 100},
		{"a host for each domain", func(i int) string { return fmt.Sprintf("mailto:v@other%d.example", i) }, 50, 1},
		{"a host for each domain below one domain", func(i int) string { return fmt.Sprintf("mailto:v@h%d.other.example", i) }, 100, 100},
	}
	first := noon.Truncate(day)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := &ledger{hosts: map[string]bool{}}
			for n := range 10 {
				today := flood(t, l, first.Add(time.Duration(n)*day), first, tt.to)
				if n < 7 && l.total != 0 {
					t.Fatalf("%d mails on day %d; want none before the domains are known for 7 days", l.total, n)
				}
				if n == 7 && l.total != tt.wantTotal {
					t.Errorf("%d mails on day %d; want %d", l.total, n, tt.wantTotal)
				}
				for host, sent := range today {
					if sent > tt.wantHost {
						t.Errorf("%d mails to %s on day %d; want %d at most", sent, host, n, tt.wantHost)
					}
				}
				if l.fresh > 50 || l.total > 5000 {
					t.Errorf("day %d: %d new hosts, %d mails", n, l.fresh, l.total)
				}
			}
		})
	}
}

// Domains that were known before keep their place beside a flood: the attack takes
// the cap of its victim's host and of new hosts, and no other.
func TestSpamFloodLeavesKnownHosts(t *testing.T) {
	l := &ledger{hosts: map[string]bool{"bank.example": true}}
	first := noon.Add(-30 * day).Truncate(day)
	start := noon.Truncate(day)
	flood(t, l, start, first, func(i int) string { return fmt.Sprintf("mailto:v@other%d.example", i) })
	now := start.Add(6 * time.Hour)
	g, d := openGate(), goodDelivery()
	g.Verified.At, d.Held = now, l.held("bank.example", now)
	if got := g.Delivery(d, now); got != Open || l.fresh != 50 {
		t.Errorf("Delivery to a known host after a flood with %d new hosts = %q; want open", l.fresh, got)
	}
}

// Caps are for who was known before: a flood at the host where others have their
// mailboxes, too, comes after them.
func TestSpamFloodComesAfterOrganizationsKnownForLonger(t *testing.T) {
	start := noon.Truncate(day)
	var reports []Report
	add := func(n int, name string, seen time.Time) {
		for i := range n {
			domain := fmt.Sprintf("%s%d.example", name, i)
			reports = append(reports, Report{PolicyDomain: domain, Org: domain, FirstSeen: seen, RecordSince: noon.Add(-60 * day), Passed: !seen.IsZero(), Ordinary: 1})
		}
	}
	add(500, "parked", time.Time{})
	add(5000, "spam", start.Add(-8*day))
	add(80, "customer", start.Add(-90*day))
	slices.SortFunc(reports, Report.Compare)
	g, l, now := openGate(), &ledger{hosts: map[string]bool{}}, start
	sent := map[string]int{}
	for _, r := range reports {
		now = now.Add(time.Second)
		g.Verified.At = now
		d := Destinations([]consent.Destination{granted("mailto:rua@reports.vendor.example", "reports.vendor.example")})
		if g.Report(r, now) == Open && g.Delivery(Delivery{PolicyDomain: r.PolicyDomain, Org: r.Org, Destination: d[0], Waiting: start, Held: l.held(d[0].Counted, now)}, now) == Open {
			l.note(d[0].Counted, now)
			sent[r.Org[:4]]++
		}
	}
	if sent["cust"] != 80 || sent["spam"] != 20 || sent["park"] != 0 {
		t.Errorf("mails by kind of domain = %v; want all 80 of customers, and 20 of the flood up to the cap of 100", sent)
	}
}
