package dnscache

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dmarcgate/dnscache/schedule"
	"dmarcgate/internal/dnstest"
)

// clientOf makes an account of a client of its own network.
func clientOf(n int) *schedule.Account {
	return schedule.NewAccount(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}))
}

// fill takes all places that a class may have at srv, by lookups that srv holds
// until release. Each is of a client and a zone of its own, so that no share is
// exceeded.
func (g *rig) fill(t testing.TB, srv *dnstest.Server, c schedule.Class) (release func()) {
	t.Helper()
	places := g.Servers()[0].Window
	if c == schedule.Other {
		places -= places / 2 // the reserve of class Author
	}
	var opens []func()
	var wg sync.WaitGroup
	for range places {
		g.fillers++
		name, account := fmt.Sprintf("filler%d.test", g.fillers), clientOf(40_000+g.fillers)
		arrived, open := srv.Hold(name)
		opens = append(opens, open)
		wg.Go(func() { _, _ = g.View(DKIM).Charged(account, c).TXT(background, name) })
		select {
		case <-arrived:
		case <-time.After(generous):
			t.Fatalf("%s has no place", name)
		}
	}
	return func() {
		for _, open := range opens {
			open()
		}
		wg.Wait()
	}
}

func TestScheduleDroppedLookupIsNotCached(t *testing.T) {
	srv := dnstest.New(t, "example.com. 100 TXT x\n!any")
	g := newRig(t, Config{QueryTimeout: generous, Timeout: 5 * time.Second, MaxInFlight: 2}, srv) // of which a lookup waits a part
	v := g.View(SPF).Charged(clientOf(1), schedule.Other)
	release := g.fill(t, srv, schedule.Author)
	if e := failure(t, v, "example.com"); e.Kind != Pressure || !e.Pressure() || e.Ours() {
		t.Errorf("%v; want %v", e, Pressure)
	}
	if n := g.metric(t, "dmarcgate_dns_pressure_total", "other", "window"); n != 1 {
		t.Errorf("%v counted; want 1", n)
	}
	release()
	if txts, err := v.TXT(background, "example.com"); err != nil || len(txts) != 1 {
		t.Errorf("TXT = %q, %v; want the record at once", txts, err)
	}
	g.clock.advance(101 * time.Second)
	defer g.fill(t, srv, schedule.Author)()
	if txts, err := v.TXT(background, "example.com"); len(txts) != 1 || !isStale(err) {
		t.Errorf("TXT = %q, %v; want the old record", txts, err)
	}
}

func TestSchedulePromotesLookupJoinedByAuthor(t *testing.T) {
	srv := dnstest.New(t, "example.com. TXT x\n!any")
	g := newRig(t, Config{MaxInFlight: 20}, srv)
	arrived, release := srv.Hold("example.com")
	defer release()
	defer g.fill(t, srv, schedule.Other)() // class Author has places left
	done := make(chan error, 2)
	ask := func(c schedule.Class) {
		_, err := g.View(DKIM).Charged(clientOf(int(c)), c).TXT(background, "example.com")
		done <- err
	}
	go ask(schedule.Other)
	eventually(t, "the lookup waits", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.flights[key{Type: dns.TypeTXT, Name: "example.com"}] != nil
	})
	go ask(schedule.Author)
	<-arrived
	release()
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("TXT failed: %v", err)
		}
	}
	if n := count(srv, "example.com"); n != 1 {
		t.Errorf("queried %d times; want 1", n)
	}
}
