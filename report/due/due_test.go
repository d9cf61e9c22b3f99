package due

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/dnscache"
	"dmarcgate/internal/dnstest"
	"dmarcgate/report"
	"dmarcgate/report/gate"
	"dmarcgate/report/queue"
)

var now = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

// openGate lets every report through that the facts speak for.
func openGate() gate.Gate {
	id := gate.Identity{
		Organization: "R", Email: "dmarc@receiver.example", Submitter: "receiver.example", BounceDomain: "receiver.example", Selector: "r1", Key: "k", Smarthost: "h:25",
	}
	return gate.Gate{Send: true, Identity: id, Verified: gate.Verified{Identity: id, At: now}, MinAge: 7 * queue.Day, Enabled: now}
}

func TestFactsAskForTheRecordOnlyWhenItMatters(t *testing.T) {
	for _, tt := range []struct {
		name          string
		seen, record  time.Duration // ago; 0 is not known
		passed        int64
		messages      int64
		want          gate.Why
		askedOfRecord bool
	}{
		{"known, and a message passed", 8 * queue.Day, 0, 1, 2, gate.Open, false},
		{"new, with a new record", queue.Day, queue.Day, 1, 2, gate.TooNew, true},
		{"known without a pass, and a record that is not known", 8 * queue.Day, 0, 0, 2, gate.NoRelation, true},
		{"parked: the record is known for 30 days, and nothing passed", 0, 30 * queue.Day, 0, 2, gate.Open, true},
		{"parked, one second less", 0, 30*queue.Day - time.Second, 0, 2, gate.TooNew, true},
		{"parked, with report traffic alone", 0, 31 * queue.Day, 0, 0, gate.ReportTraffic, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ago := func(d time.Duration) (at time.Time) {
				if d > 0 {
					at = now.Add(-d)
				}
				return at
			}
			asked := false
			f := Facts{
				Gate: openGate(), Now: now,
				KnownSince:  func(context.Context, string) (time.Time, error) { return ago(tt.seen), nil },
				RecordSince: func(context.Context, string) (time.Time, error) { asked = true; return ago(tt.record), nil },
			}
			r := &report.Report{PolicyDomain: "bank.example", Org: "bank.example", Passed: tt.passed, Messages: tt.messages}
			if _, why, err := f.Of(t.Context(), r); why != tt.want || err != nil || asked != tt.askedOfRecord {
				t.Errorf("Of = %q, %v, asked since when the record is known: %v; want %q, %v", why, err, asked, tt.want, tt.askedOfRecord)
			}
		})
	}
}

func TestFactsAskOnceForEachOrganization(t *testing.T) {
	asked, broken := 0, errors.New("the store is closed")
	f := Facts{Gate: openGate(), Now: now, KnownSince: func(_ context.Context, org string) (time.Time, error) {
		if asked++; org == "broken.example" {
			return time.Time{}, broken
		}
		return now.Add(-8 * queue.Day), nil
	}}
	for _, domain := range []string{"bank.example", "mail.bank.example", ""} {
		if _, _, err := f.Of(t.Context(), &report.Report{PolicyDomain: domain, Org: "bank.example"}); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := f.Of(t.Context(), &report.Report{PolicyDomain: "x.example"}); err != nil || asked != 1 {
		t.Errorf("asked %d times, %v; want once", asked, err)
	}
	if _, _, err := f.Of(t.Context(), &report.Report{Org: "broken.example"}); !errors.Is(err, broken) {
		t.Errorf("err = %v; want that of the store", err)
	}
}

func TestActiveLeavesOutWhatIsOver(t *testing.T) {
	got := Active([]queue.Suppression{
		{Kind: queue.SuppressHost, What: "a.example", Until: now}, {Kind: queue.SuppressHost, What: "b.example", Until: now.Add(time.Second)}, {Kind: queue.SuppressAddr, What: "c@c.example"},
	}, now)
	if len(got) != 2 || got[0].What != "b.example" || got[1].What != "c@c.example" || !got[1].Until.IsZero() {
		t.Errorf("Active = %+v; want b.example and c@c.example", got)
	}
}

// counted answers for records, and counts how many are asked for at once.
type counted struct{ at, most atomic.Int64 }

func (c *counted) Wanted(_ context.Context, domain string) Wanted {
	if n := c.at.Add(1); n > c.most.Load() {
		c.most.Store(n)
	}
	defer c.at.Add(-1)
	return Wanted{Org: domain}
}

func TestAskAllKeepsOrderAndLimit(t *testing.T) {
	var domains []string
	for i := range 3*lookups + 1 {
		domains = append(domains, fmt.Sprintf("d%d.example", i))
	}
	c := &counted{}
	steps := 0
	all, err := AskAll(t.Context(), c, domains, func(done int) error { steps = done; return nil })
	if err != nil || len(all) != len(domains) || steps != len(domains) || c.most.Load() > lookups {
		t.Fatalf("%d answers, %v, last step %d, %d at once; want %d, at most %d at once", len(all), err, steps, c.most.Load(), len(domains), lookups)
	}
	for i, want := range domains {
		if all[i].Org != want {
			t.Errorf("answer %d is about %s; want %s", i, all[i].Org, want)
		}
	}
	stop := errors.New("stop")
	if _, err := AskAll(t.Context(), c, domains, func(int) error { return stop }); err != stop {
		t.Errorf("err = %v; want that of the step", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := AskAll(ctx, c, domains, func(int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v after the context ended", err)
	}
}

func TestDNSTakesOnlyTheRecordOfTheDomainItself(t *testing.T) {
	dns, err := dnscache.New(dnscache.Config{Servers: []string{dnstest.New(t, `
_dmarc.bank.example. TXT "v=DMARC1; p=reject; rua=mailto:rua@bank.example"
!any
`).Addr()}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	records := NewDNS(dns, nil)
	if w := Ask(t.Context(), records, "bank.example"); len(w.To) != 1 || w.To[0].Address != "rua@bank.example" || w.Org != "bank.example" {
		t.Errorf("bank.example wants %+v; want one address", w)
	}
	if w := Ask(t.Context(), records, "mail.bank.example"); len(w.To) != 0 || w.Org != "bank.example" || w.Unknown {
		t.Errorf("mail.bank.example wants %+v; want nothing: the record is about bank.example", w)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w := Ask(ctx, records, "shop.example"); !w.Unknown {
		t.Errorf("without an answer shop.example wants %+v; want unknown", w)
	}
}
