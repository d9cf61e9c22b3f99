package dnscache

import (
	"fmt"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
)

const aheadZone = "example.com. 100 TXT old\nbrief.example.com. 9 TXT old\n"

// aheadOf makes a rig that knows what is in aheadZone, and moves its clock.
func aheadOf(t *testing.T, srv *dnstest.Server, age time.Duration) *rig {
	t.Helper()
	g := newRig(t, Config{}, srv)
	for _, name := range []string{"example.com", "brief.example.com"} {
		if _, err := g.View(SPF).TXT(background, name); err != nil {
			t.Fatal(err)
		}
	}
	g.clock.advance(age)
	return g
}

// ready waits until no flight is under way.
func (g *rig) ready(t *testing.T) {
	t.Helper()
	eventually(t, "all flights have landed", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.flights) == 0
	})
}

func TestPrefetchOfUsedName(t *testing.T) {
	remembered := func(g *rig) string {
		v, complete := g.View(SPF).Remembered()
		txts, err := v.TXT(background, "example.com")
		return fmt.Sprint(txts, err, complete())
	}
	plain := func(g *rig) string {
		txts, err := g.View(SPF).TXT(background, "example.com")
		return fmt.Sprint(txts, err, true)
	}
	for about, ask := range map[string]func(*rig) string{"a lookup": plain, "a view that remembers": remembered} {
		t.Run(about, func(t *testing.T) {
			srv := dnstest.New(t, aheadZone)
			g := aheadOf(t, srv, 90*time.Second-1)
			ask(g)
			g.ready(t)
			if n := count(srv, "example.com"); n != 1 {
				t.Fatalf("queried %d times before the last tenth of the TTL; want 1", n)
			}
			arrived, release := srv.Hold("example.com")
			g.clock.advance(1)
			for range 3 { // nobody waits, and nobody asks twice
				if got := ask(g); got != "[old] <nil> true" {
					t.Errorf("in the last tenth = %s; want the record at once", got)
				}
			}
			<-arrived
			g.replace(t, srv, "example.com. 100 TXT new")
			release()
			g.ready(t)
			if n := count(srv, "example.com"); n != 2 {
				t.Errorf("queried %d times; want 2", n)
			}
			g.clock.advance(20 * time.Second)
			if list := g.Show("example.com"); len(list) != 1 || list[0].Age != 20*time.Second || list[0].Stale {
				t.Errorf("Show = %+v; want the answer of 20 s ago", list)
			}
			if n := g.metric(t, "dmarcgate_dns_cache_requests_total", "spf", miss); n != 2 {
				t.Errorf("%v misses counted; want the two of the beginning", n)
			}
		})
	}
}

func TestPrefetchSkipsUnusedEntries(t *testing.T) {
	t.Run("an answer of a short TTL", func(t *testing.T) {
		srv := dnstest.New(t, aheadZone)
		g := aheadOf(t, srv, 9*time.Second-1)
		_, _ = g.View(SPF).TXT(background, "brief.example.com")
		g.ready(t)
		if n := count(srv, "brief.example.com"); n != 1 {
			t.Errorf("queried %d times; want 1", n)
		}
	})
	t.Run("one that the server counts down", func(t *testing.T) {
		srv := dnstest.New(t, "example.com. 1000 TXT x\nbrief.example.com. 9 TXT x")
		g := aheadOf(t, srv, 900*time.Second)
		g.replace(t, srv, "example.com. 100 TXT x")
		_, _ = g.View(SPF).TXT(background, "example.com")
		g.ready(t)
		g.clock.advance(95 * time.Second)
		_, _ = g.View(SPF).TXT(background, "example.com")
		g.ready(t)
		if n := count(srv, "example.com"); n != 2 {
			t.Errorf("queried %d times; want 2", n)
		}
	})
	t.Run("one too many", func(t *testing.T) {
		srv := dnstest.New(t, aheadZone)
		g := aheadOf(t, srv, 90*time.Second)
		g.mu.Lock()
		g.ahead = g.cfg.MaxInFlight / aheadShare
		g.mu.Unlock()
		_, _ = g.View(SPF).TXT(background, "example.com")
		g.ready(t)
		if n := count(srv, "example.com"); n != 1 {
			t.Errorf("queried %d times; want 1", n)
		}
	})
}

func TestPrefetchFailureIsSilent(t *testing.T) {
	srv := dnstest.New(t, aheadZone)
	g := aheadOf(t, srv, 96*time.Second)
	g.replace(t, srv, "!servfail example.com")
	for range 3 {
		if txts, err := g.View(SPF).TXT(background, "example.com"); len(txts) != 1 || err != nil {
			t.Errorf("TXT = %q, %v; want the record", txts, err)
		}
		g.ready(t)
	}
	if n := count(srv, "example.com"); n != 2 {
		t.Errorf("queried %d times while the failure is remembered; want 2", n)
	}
	g.clock.advance(4 * time.Second)
	if txts, err := g.View(SPF).TXT(background, "example.com"); len(txts) != 1 || !isStale(err) {
		t.Errorf("TXT past the TTL = %q, %v; want the old record", txts, err)
	}
	if n := count(srv, "example.com"); n != 2 {
		t.Errorf("queried %d times while the failure is remembered; want 2", n)
	}
	if g.ahead != 0 {
		t.Errorf("%d flights ahead of time left", g.ahead)
	}
}
