package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"dmarcgate/dnscache/schedule"
	"dmarcgate/dnscache/wire"

	"github.com/miekg/dns"
)

// clientOf makes an account of a client of its own network.
func clientOf(n int) *schedule.Account {
	return schedule.NewAccount(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}))
}

func TestScheduleWaitingNeedsNoGoroutine(t *testing.T) {
	g := newRig(t, Config{Servers: []string{"192.0.2.1:53"}})
	release := g.fill()
	before := runtime.NumGoroutine()
	var ended atomic.Int64
	waiting := 0
	for i := range maxWaiting / 2 {
		_, err := g.Start(Request{
			Question: wire.Question{Type: dns.TypeTXT, Name: fmt.Sprintf("n%d.example%d.test", i, i)}, Bill: ownBill,
			Done: func(*wire.Answer, error) { ended.Add(1) },
		})
		if err == nil {
			waiting++
		}
	}
	if n := runtime.NumGoroutine() - before; waiting != maxWaiting/2 || ended.Load() != 0 || n > 10 {
		t.Errorf("%d lookups wait in %d goroutines; want %d in none", waiting, n, maxWaiting/2)
	}
	g.Close()
	release()
	if n := ended.Load(); n != int64(waiting) {
		t.Errorf("%d of %d lookups have ended after Close", n, waiting)
	}
}

// picky takes so many queries at once, and refuses the others in its way.
func picky(t testing.TB, limit int, reject func(peer), hold <-chan struct{}) (*fakeServer, *atomic.Int64) {
	places, rejected := make(chan struct{}, limit), new(atomic.Int64)
	return newFake(t, func(p peer) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			if !p.root() {
				<-hold
			}
			p.says("x")
		default:
			rejected.Add(1)
			reject(p)
		}
	}), rejected
}

func TestWindowIsHalvedAfterRefusal(t *testing.T) {
	for about, reject := range map[string]func(peer){
		"REFUSED":  func(p peer) { p.fails(dns.RcodeRefused) },
		"SERVFAIL": func(p peer) { p.fails(dns.RcodeServerFailure) },
	} {
		t.Run(about, func(t *testing.T) {
			const limit, lookups = 10, 24
			hold := make(chan struct{})
			srv, rejected := picky(t, limit, reject, hold)
			g := newRig(t, Config{Servers: []string{srv.addr}})
			done := make(chan error, lookups)
			for i := range lookups {
				go func() {
					_, err := g.View(DMARC).Charged(clientOf(i), schedule.Author).TXT(background, fmt.Sprintf("n%d.zone%d.test", i, i))
					done <- err
				}()
			}
			eventually(t, "a check query is refused, and the window halved", func() bool {
				s := g.Servers()[0]
				return rejected.Load() > 0 && s.Window < firstWindow && !s.Refusing.IsZero()
			})
			close(hold)
			for range lookups {
				if err := <-done; err != nil {
					t.Errorf("TXT failed: %v; want every lookup answered in the end", err)
				}
			}
			if s := g.Servers()[0]; s.Down {
				t.Errorf("%+v; want it up", s)
			}
		})
	}
}

func TestHealthChecksServerThatRefusesEverything(t *testing.T) {
	srv := newFake(t, func(p peer) { p.fails(dns.RcodeRefused) })
	g := newRig(t, Config{Servers: []string{srv.addr}})
	timers := newTimers(g.Pool)
	if e := failure(t, g.View(DMARC), "example.com"); e.Kind != wire.Refused || !e.Pressure() || e.Ours() {
		t.Errorf("%v, ours %v; want %v, not proven", e, e.Ours(), wire.Refused)
	}
	for g.Servers()[0].Window > 1 {
		timers.Next(t).Fire()
	}
	timer := timers.Next(t)
	s := g.Servers()[0]
	if s.Refusing.IsZero() || s.Refusal == "" || s.Down || s.FailingAtOne.IsZero() {
		t.Errorf("%+v; want it seen as refusing, and not down yet", s)
	}
	g.clock.advance(proofTime)
	timer.Fire()
	timers.Next(t)
	if s := g.Servers()[0]; !s.Down {
		t.Errorf("%+v; want it passed over, as it refuses everything for %v", s, proofTime)
	}
	if e := failure(t, g.View(DMARC), "example.com"); e.Kind != wire.Down || !e.Ours() {
		t.Errorf("%v, ours %v; want %v of ours", e, e.Ours(), wire.Down)
	}
}

func TestWindowIgnoresLameDomains(t *testing.T) {
	srv := newFake(t, func(p peer) {
		switch {
		case p.root():
			p.says("alive")
		default:
			p.fails(dns.RcodeServerFailure)
		}
	})
	g := newRig(t, Config{Servers: []string{srv.addr}})
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			_, _ = g.View(DKIM).Charged(clientOf(i), schedule.Class(i%2)).TXT(background, fmt.Sprintf("s.lame%d.test", i))
		})
	}
	wg.Wait()
	if s := g.Servers()[0]; s.Window < firstWindow || s.Down || !s.Refusing.IsZero() {
		t.Errorf("%+v; want a window of at least %d and a server that does not refuse", s, firstWindow)
	}
}

func TestScheduleFailsWaitingLookupsOfSilentServer(t *testing.T) {
	m := newMortal(t)
	m.dead.Store(true)
	cfg := hasty(m.addr)
	cfg.MaxInFlight = 2
	g := newRig(t, cfg)
	newTimers(g.Pool)
	const lookups = 20
	done := make(chan error, lookups)
	for i := range lookups {
		go func() {
			_, err := g.View(DMARC).Charged(clientOf(i), schedule.Author).TXT(background, fmt.Sprintf("n.zone%d.test", i))
			done <- err
		}()
	}
	for range lookups {
		var e *Error
		if err := <-done; !errors.As(err, &e) || e.Ours() || !e.Pressure() {
			t.Errorf("%v; want a failure that is not proven to be ours", err)
		}
	}
}

func TestSchedulePromotedLookupCanBeCancelled(t *testing.T) {
	g := newRig(t, Config{Servers: []string{"192.0.2.1:53"}})
	release := g.fill()
	ready := make(chan struct{})
	close(ready)
	if err := cancelled(t, ready, func(ctx context.Context) error {
		_, err := g.View(SPF).Charged(clientOf(1), schedule.Author).TXT(ctx, "example.com")
		return err
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("TXT = %v; want %v", err, context.Canceled)
	}
	g.Close()
	release()
}
