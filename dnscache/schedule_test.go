package dnscache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"

	"github.com/miekg/dns"
)

// desk is a scheduler without any network.
type desk struct {
	*rig
	servers []*server
	granted []*ticket // in the order in which they had a place after they had waited
	places  map[*ticket]*place
	failed  map[*ticket]*Error
}

func newDesk(t testing.TB, servers int) *desk {
	t.Helper()
	cfg := Config{Timeout: time.Hour}
	for i := range servers {
		cfg.Servers = append(cfg.Servers, fmt.Sprintf("192.0.2.%d:53", i+1))
	}
	cfg.QueryTimeout = generous
	g := newRig(t, cfg)
	g.sched.poking = true // by poke alone
	return &desk{rig: g, servers: *g.servers.Load(), places: make(map[*ticket]*place), failed: make(map[*ticket]*Error)}
}

// poke looks for places that are free by now.
func (d *desk) poke() {
	d.sched.mu.Lock()
	d.sched.dispatch()
}

// clientOf makes an account of a client of its own network.
func clientOf(n int) *Account {
	return NewAccount(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}))
}

// ask enters a lookup, and reports whether it has a place at once.
func (d *desk) ask(a *Account, c Class, zone string) *ticket {
	t := &ticket{zone: zone, bill: bill{a, c}, key: key{Type: dns.TypeTXT, Name: zone}}
	t.granted = func(p *place) { d.places[t] = p; d.granted = append(d.granted, t) }
	t.failed = func(err *Error) { d.failed[t] = err }
	p, err := d.sched.enter(t, d.servers)
	if p != nil {
		d.places[t] = p
	}
	if err != nil {
		d.failed[t] = err
	}
	return t
}

func (d *desk) end(t *ticket, o outcome) {
	p := d.places[t]
	delete(d.places, t)
	d.sched.done(p, t.zone, o, false)
}

func TestOthersNeverTakeTheReserve(t *testing.T) {
	d := newDesk(t, 1)
	for i := range 1000 {
		d.ask(clientOf(i), Other, fmt.Sprintf("z%d.test", i))
	}
	if n := len(d.places); n > firstWindow/2 {
		t.Errorf("%d places taken by class Other; want at most %d", n, firstWindow/2)
	}
	for i := range firstWindow / 8 {
		if a := d.ask(clientOf(5000+i), Author, fmt.Sprintf("a%d.test", i)); d.places[a] == nil {
			t.Fatalf("lookup %d of class Author has no place at once", i)
		}
	}
}

func TestOneWhoTakesAllThereIsLeavesHalfOfIt(t *testing.T) {
	for about, ask := range map[string]func(d *desk, i int) *ticket{
		"a message": func() func(d *desk, i int) *ticket {
			a := clientOf(1)
			return func(d *desk, i int) *ticket { return d.ask(a, Author, fmt.Sprintf("z%d.test", i)) }
		}(),
		"a client": func(d *desk, i int) *ticket { return d.ask(clientOf(1), Author, fmt.Sprintf("z%d.test", i)) },
		"a zone":   func(d *desk, i int) *ticket { return d.ask(clientOf(i), Author, "z.test") },
	} {
		d := newDesk(t, 1)
		for i := range 3 * firstWindow {
			ask(d, i)
		}
		if n := len(d.places); n < firstWindow/2 || n > firstWindow/2+1 {
			t.Errorf("%s has %d of %d places; want half of them", about, n, firstWindow)
		}
	}
}

func TestNobodySharesWithoutPressure(t *testing.T) {
	d := newDesk(t, 2)
	a := clientOf(1)
	for i := range firstWindow {
		if x := d.ask(a, Author, "z.test"); d.places[x] == nil {
			t.Fatalf("lookup %d waits, though more than half of the places at two servers are free", i)
		}
	}
	first := 0
	for _, p := range d.places {
		if p.server == d.servers[0] {
			first++
		}
	}
	if first != firstWindow {
		t.Errorf("%d of %d queries go to the first server; want all of them, as it has places", first, firstWindow)
	}
}

// Attackers of random number, networks, zones and habits do what they can. A
// lookup of class Author, by a message, client and zone of which nothing is
// known, has a place at once, or soon.
func TestSomebodyNewSoonHasAPlace(t *testing.T) {
	const soon = 10 // queries of attackers that end meanwhile, every 0.2 s
	rnd := rand.New(rand.NewPCG(3, 4))
	for round := range 60 {
		d := newDesk(t, 1+rnd.IntN(2))
		networks, zones, loss := 1+rnd.IntN(45), 1+rnd.IntN(1000), rnd.Float64()
		for step := range 600 {
			d.clock.advance(time.Duration(rnd.IntN(40)) * time.Millisecond)
			class := Class(rnd.IntN(2))
			a := NewAccount(netip.AddrFrom4([4]byte{10, 0, byte(rnd.IntN(networks)), byte(step)}))
			for range 1 + rnd.IntN(10) {
				d.ask(a, class, fmt.Sprintf("z%d.test", rnd.IntN(zones)))
			}
			d.endOne(rnd, loss)
			if step%50 != 49 {
				continue
			}
			d.sched.mu.Lock()
			for _, s := range d.servers {
				s.win.proved(d.clock.now()) // its check queries are answered
			}
			d.sched.dispatch()
			victim := d.ask(clientOf(9000+step), Author, fmt.Sprintf("victim%d.test", step))
			n := 0
			for ; d.places[victim] == nil && n <= soon; n++ {
				d.clock.advance(200 * time.Millisecond)
				d.endOne(rnd, loss)
				d.poke()
			}
			if n > soon || d.failed[victim] != nil {
				t.Fatalf("round %d, step %d: %d networks, %d zones, %.0f %% lost: somebody new has no place after %d queries ended (%v); %+v",
					round, step, networks, zones, 100*loss, n, d.failed[victim], d.Servers())
			}
			d.end(victim, answered)
		}
	}
}

// endOne ends one of the queries in flight, answered or given up.
func (d *desk) endOne(rnd *rand.Rand, loss float64) {
	for t := range d.places {
		if t.zone[0] == 'v' {
			continue
		}
		if rnd.Float64() < loss {
			d.end(t, silent)
		} else {
			d.end(t, answered)
		}
		return
	}
}

func TestWhoLostNothingGoesBeforeWhoLostMuch(t *testing.T) {
	d := newDesk(t, 1)
	bad, good := clientOf(1), clientOf(2)
	for range 3 {
		d.end(d.ask(bad, Author, "bad.test"), silent)
	}
	release := d.fill()
	first, second := d.ask(bad, Author, "bad.test"), d.ask(good, Author, "good.test")
	release()
	if !slices.Equal(d.granted, []*ticket{second, first}) {
		t.Errorf("granted in the order in which they came; want the one that lost nothing first")
	}
}

func TestAuthorsGoBeforeOthers(t *testing.T) {
	d := newDesk(t, 1)
	release := d.fill()
	other, author := d.ask(clientOf(1), Other, "a.test"), d.ask(clientOf(2), Author, "b.test")
	release()
	if !slices.Equal(d.granted, []*ticket{author, other}) {
		t.Error("a lookup of class Other went first")
	}
}

func TestAQueryGivenUpHoldsItsPlace(t *testing.T) {
	d := newDesk(t, 1)
	a := d.ask(clientOf(1), Other, "slow.test")
	d.clock.advance(2 * time.Second)
	d.end(a, silent)
	if s := d.Servers()[0]; s.InFlight != 0 || s.GivenUp != 1 {
		t.Errorf("%+v; want one query given up", s)
	}
	d.clock.advance(holdTime - 2*time.Second - 1)
	if s := d.Servers()[0]; s.GivenUp != 1 {
		t.Errorf("%+v; want it to hold its place for %v from when it was sent", s, holdTime)
	}
	d.clock.advance(1)
	if s := d.Servers()[0]; s.GivenUp != 0 {
		t.Errorf("%+v; want the place free", s)
	}
	b := d.ask(clientOf(1), Other, "slow.test")
	d.end(b, silent)
	d.sched.forgive(d.servers[0])
	if s := d.Servers()[0]; s.GivenUp != 0 {
		t.Errorf("%+v; want no place taken at a server that was dead", s)
	}
	for _, acc := range []*account{b.charge.message, b.charge.client, b.charge.zone} {
		if !acc.idle() || acc.lost == 0 {
			t.Errorf("account %+v; want it to hold nothing, and to have lost something", acc)
		}
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	d := newDesk(t, 1)
	release := d.fill()
	for i := range 3 * maxWaiting {
		d.ask(clientOf(i%40), Other, fmt.Sprintf("z%d.test", i))
		d.ask(clientOf(i%40), Author, fmt.Sprintf("z%d.test", i))
	}
	if n := len(d.sched.queue); n > maxWaiting || d.sched.queued[Other] > maxWaiting/2 {
		t.Errorf("%d lookups wait, %d of class Other; want at most %d and %d", n, d.sched.queued[Other], maxWaiting, maxWaiting/2)
	}
	x := d.ask(clientOf(7000), Author, "new.test")
	if d.failed[x] != nil {
		t.Errorf("somebody new may not even wait: %v", d.failed[x])
	}
	for _, err := range d.failed {
		if err.Kind != Pressure {
			t.Fatalf("%v; want %v", err, Pressure)
		}
	}
	release()
	if d.places[x] == nil {
		t.Error("somebody new is not among the first when there are places")
	}
}

func TestAccountsAreForgotten(t *testing.T) {
	d := newDesk(t, 1)
	for i := range 3 * maxAccounts {
		d.end(d.ask(clientOf(i), Other, fmt.Sprintf("z%d.test", i)), answered)
	}
	if b := d.sched.books[Other]; len(b.clients) > maxAccounts || len(b.zones) > maxAccounts {
		t.Errorf("%d clients and %d zones are remembered; want at most %d", len(b.clients), len(b.zones), maxAccounts)
	}
}

func TestNetworkOfClients(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7": "192.0.2.0/24", "::ffff:192.0.2.7": "192.0.2.0/24", "2001:db8:1:2::3": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48",
	} {
		if got := networkOf(netip.MustParseAddr(addr)); got != netip.MustParsePrefix(want) {
			t.Errorf("networkOf(%s) = %v; want %s", addr, got, want)
		}
	}
	if got := networkOf(netip.Addr{}); got.IsValid() {
		t.Errorf("networkOf of no address = %v; want none", got)
	}
}

// The rest is about lookups as a whole.

func TestLookupsThatWaitCostNoGoroutine(t *testing.T) {
	g := newRig(t, Config{Servers: []string{"192.0.2.1:53"}})
	release := g.fill()
	before := runtime.NumGoroutine()
	g.mu.Lock()
	for i := range maxWaiting / 2 {
		g.start(use{bill: bill{class: Author}}, key{Type: dns.TypeTXT, Name: fmt.Sprintf("n%d.example%d.test", i, i)}, false)
	}
	waiting := len(g.flights)
	g.mu.Unlock()
	if n := runtime.NumGoroutine() - before; waiting != maxWaiting/2 || n > 10 {
		t.Errorf("%d lookups wait in %d goroutines; want %d in none", waiting, n, maxWaiting/2)
	}
	g.Close()
	release()
	if len(g.flights) != 0 {
		t.Errorf("%d lookups are left after Close", len(g.flights))
	}
}

func TestALookupThatGivesWayIsNotRemembered(t *testing.T) {
	srv := dnstest.New(t, "example.com. 100 TXT x")
	g := newRig(t, Config{}, srv)
	v := g.View(SPF).Charged(clientOf(1), Other)
	g.sched.timeout = brief
	release := g.fill()
	if e := failure(t, v, "example.com"); e.Kind != Pressure || !e.Pressure() || e.Ours() {
		t.Errorf("%v; want %v", e, Pressure)
	}
	if n := g.metric(t, "dmarcgate_dns_pressure_total", "other", byWindow); n != 1 {
		t.Errorf("%v counted; want 1", n)
	}
	release()
	if txts, err := v.TXT(background, "example.com"); err != nil || len(txts) != 1 {
		t.Errorf("TXT = %q, %v; want the record at once", txts, err)
	}
	g.clock.advance(101 * time.Second)
	defer g.fill()()
	if txts, err := v.TXT(background, "example.com"); len(txts) != 1 || !isStale(err) {
		t.Errorf("TXT = %q, %v; want the old record", txts, err)
	}
}

func TestALookupThatAnAuthorJoinsIsPromoted(t *testing.T) {
	srv := dnstest.New(t, "example.com. TXT x")
	g := newRig(t, Config{MaxInFlight: 20}, srv)
	arrived, release := srv.Hold("example.com")
	defer release()
	q := g.sched
	q.mu.Lock()
	s := (*g.servers.Load())[0]
	for s.win.free(Other, q.now()) > 0 { // class Other has no place left, Author has
		q.occupy(s, charge{class: Other}, q.now())
	}
	q.mu.Unlock()
	done := make(chan error, 2)
	ask := func(c Class) {
		_, err := g.View(DKIM).Charged(clientOf(int(c)), c).TXT(background, "example.com")
		done <- err
	}
	go ask(Other)
	eventually(t, "the lookup waits", func() bool { q.mu.Lock(); defer q.mu.Unlock(); return len(q.queue) == 1 })
	go ask(Author)
	<-arrived
	release()
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("TXT failed: %v", err)
		}
	}
	if n := count(srv, "example.com"); n != 1 {
		t.Errorf("asked %d times; want 1", n)
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

func TestAServerThatRefusesHasItsWindowHalvedAndIsAskedAgain(t *testing.T) {
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
					_, err := g.View(DMARC).Charged(clientOf(i), Author).TXT(background, fmt.Sprintf("n%d.zone%d.test", i, i))
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

func TestAServerThatRefusesEverythingIsCheckedAndSeen(t *testing.T) {
	srv := newFake(t, func(p peer) { p.fails(dns.RcodeRefused) })
	g := newRig(t, Config{Servers: []string{srv.addr}})
	timers := newTimers(g.Resolver)
	if e := failure(t, g.View(DMARC), "example.com"); e.Kind != Refused || !e.Pressure() || e.Ours() {
		t.Errorf("%v, ours %v; want %v, not proven", e, e.Ours(), Refused)
	}
	for g.Servers()[0].Window > 1 {
		timers.next(t).fire()
	}
	timer := timers.next(t)
	s := g.Servers()[0]
	if s.Refusing.IsZero() || s.Refusal == "" || s.Down || s.FailingAtOne.IsZero() {
		t.Errorf("%+v; want it seen as refusing, and not down yet", s)
	}
	g.clock.advance(proofTime)
	timer.fire()
	timers.next(t)
	if s := g.Servers()[0]; !s.Down {
		t.Errorf("%+v; want it passed over, as it refuses everything for %v", s, proofTime)
	}
	if e := failure(t, g.View(DMARC), "example.com"); e.Kind != Down || !e.Ours() {
		t.Errorf("%v, ours %v; want %v of ours", e, e.Ours(), Down)
	}
}

func TestLameDomainsDoNotNarrowTheWindow(t *testing.T) {
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
			_, _ = g.View(DKIM).Charged(clientOf(i), Class(i%2)).TXT(background, fmt.Sprintf("s.lame%d.test", i))
		})
	}
	wg.Wait()
	if s := g.Servers()[0]; s.Window < firstWindow || s.Down || !s.Refusing.IsZero() {
		t.Errorf("%+v; want a window of at least %d and a server that does not refuse", s, firstWindow)
	}
}

func TestASilentServersLookupsThatWaitFailAtOnce(t *testing.T) {
	m := newMortal(t)
	m.dead.Store(true)
	cfg := hasty(m.addr)
	cfg.MaxInFlight = 2
	g := newRig(t, cfg)
	newTimers(g.Resolver)
	const lookups = 20
	done := make(chan error, lookups)
	for i := range lookups {
		go func() {
			_, err := g.View(DMARC).Charged(clientOf(i), Author).TXT(background, fmt.Sprintf("n.zone%d.test", i))
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

func TestAPromotedLookupIsCancelledCleanly(t *testing.T) {
	g := newRig(t, Config{Servers: []string{"192.0.2.1:53"}})
	release := g.fill()
	ready := make(chan struct{})
	close(ready)
	if err := cancelled(t, ready, func(ctx context.Context) error {
		_, err := g.View(SPF).Charged(clientOf(1), Author).TXT(ctx, "example.com")
		return err
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("TXT = %v; want %v", err, context.Canceled)
	}
	g.Close()
	release()
}
