package schedule

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"dmarcgate/dnscache/wire"
)

// fakeClock is a clock that moves when told.
type fakeClock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// desk is a scheduler without any network.
type desk struct {
	sched   *Scheduler
	clock   *fakeClock
	servers []*Server
	granted []*Ticket // in the order in which they had a place after they had waited
	places  map[*Ticket]*Place
	failed  map[*Ticket]wire.Kind
}

func newDesk(t testing.TB, servers int) *desk {
	t.Helper()
	clock := &fakeClock{t: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	d := &desk{
		sched: New(clock.now, time.Hour, func(Class, string) {}, func(*Server) {}),
		clock: clock, places: make(map[*Ticket]*Place), failed: make(map[*Ticket]wire.Kind),
	}
	t.Cleanup(d.sched.Close)
	for range servers {
		d.servers = append(d.servers, d.sched.NewServer(1000))
	}
	d.sched.poking = true // by poke alone
	return d
}

// state is the load of a server.
type state struct{ window, inFlight, givenUp int }

func (d *desk) state(i int) state {
	w, f, g := d.servers[i].Load()
	return state{w, f, g}
}

// fill takes all places at the servers, as queries in flight do, until release.
func (d *desk) fill() (release func()) {
	var list []*Place
	q := d.sched
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range d.servers {
		for s.win.free(Author, q.now()) > 0 {
			list = append(list, q.occupy(s, &Ticket{charge: charge{class: Author}}, q.now()))
		}
	}
	return func() {
		for _, p := range list {
			q.done(p, noSign, true)
		}
	}
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
func (d *desk) ask(a *Account, c Class, zone string) *Ticket {
	var t *Ticket
	t = NewTicket(zone, Bill{a, c},
		func(p *Place) { d.places[t] = p; d.granted = append(d.granted, t) },
		func(kind wire.Kind) { d.failed[t] = kind })
	p, kind := d.sched.Enter(t, d.servers)
	if p != nil {
		d.places[t] = p
	}
	if kind != 0 {
		d.failed[t] = kind
	}
	return t
}

func (d *desk) end(t *Ticket, o outcome) {
	p := d.places[t]
	delete(d.places, t)
	d.sched.done(p, o, false)
}

func TestScheduleReserveIsKeptFromOthers(t *testing.T) {
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

func TestScheduleLeavesHalfToOthers(t *testing.T) {
	for about, ask := range map[string]func(d *desk, i int) *Ticket{
		"a message": func() func(d *desk, i int) *Ticket {
			a := clientOf(1)
			return func(d *desk, i int) *Ticket { return d.ask(a, Author, fmt.Sprintf("z%d.test", i)) }
		}(),
		"a client": func(d *desk, i int) *Ticket { return d.ask(clientOf(1), Author, fmt.Sprintf("z%d.test", i)) },
		"a zone":   func(d *desk, i int) *Ticket { return d.ask(clientOf(i), Author, "z.test") },
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

func TestScheduleSharesOnlyUnderPressure(t *testing.T) {
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
func TestScheduleServesNewAccountSoon(t *testing.T) {
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
			if n > soon || d.failed[victim] != 0 {
				t.Fatalf("round %d, step %d: %d networks, %d zones, %.0f %% lost: somebody new has no place after %d queries ended (%v); %+v",
					round, step, networks, zones, 100*loss, n, d.failed[victim], d.state(0))
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

func TestSchedulePrefersAccountsWithoutLosses(t *testing.T) {
	d := newDesk(t, 1)
	bad, good := clientOf(1), clientOf(2)
	for range 3 {
		d.end(d.ask(bad, Author, "bad.test"), silent)
	}
	release := d.fill()
	first, second := d.ask(bad, Author, "bad.test"), d.ask(good, Author, "good.test")
	release()
	if !slices.Equal(d.granted, []*Ticket{second, first}) {
		t.Errorf("granted in the order in which they came; want the one that lost nothing first")
	}
}

func TestSchedulePrefersAuthorLookups(t *testing.T) {
	d := newDesk(t, 1)
	release := d.fill()
	other, author := d.ask(clientOf(1), Other, "a.test"), d.ask(clientOf(2), Author, "b.test")
	release()
	if !slices.Equal(d.granted, []*Ticket{author, other}) {
		t.Error("a lookup of class Other went first")
	}
}

func TestScheduleCountsAbandonedQuery(t *testing.T) {
	d := newDesk(t, 1)
	a := d.ask(clientOf(1), Other, "slow.test")
	d.clock.advance(2 * time.Second)
	d.end(a, silent)
	if s := d.state(0); s.inFlight != 0 || s.givenUp != 1 {
		t.Errorf("%+v; want one query given up", s)
	}
	d.clock.advance(holdTime - 2*time.Second - 1)
	if s := d.state(0); s.givenUp != 1 {
		t.Errorf("%+v; want it to hold its place for %v from when it was sent", s, holdTime)
	}
	d.clock.advance(1)
	if s := d.state(0); s.givenUp != 0 {
		t.Errorf("%+v; want the place free", s)
	}
	b := d.ask(clientOf(1), Other, "slow.test")
	d.end(b, silent)
	d.servers[0].Forgive()
	if s := d.state(0); s.givenUp != 0 {
		t.Errorf("%+v; want no place taken at a server that was dead", s)
	}
	for _, acc := range []*account{b.charge.message, b.charge.client, b.charge.zone} {
		if !acc.idle() || acc.lost == 0 {
			t.Errorf("account %+v; want it to hold nothing, and to have lost something", acc)
		}
	}
}

func TestScheduleQueueIsBounded(t *testing.T) {
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
	if d.failed[x] != 0 {
		t.Errorf("somebody new may not even wait: %v", d.failed[x])
	}
	for _, kind := range d.failed {
		if kind != wire.Pressure {
			t.Fatalf("%v; want %v", kind, wire.Pressure)
		}
	}
	release()
	if d.places[x] == nil {
		t.Error("somebody new is not among the first when there are places")
	}
}

func TestScheduleForgetsAccounts(t *testing.T) {
	d := newDesk(t, 1)
	for i := range 3 * maxAccounts {
		d.end(d.ask(clientOf(i), Other, fmt.Sprintf("z%d.test", i)), answered)
	}
	if b := d.sched.books[Other]; len(b.clients) > maxAccounts || len(b.zones) > maxAccounts {
		t.Errorf("%d clients and %d zones are remembered; want at most %d", len(b.clients), len(b.zones), maxAccounts)
	}
}

func TestClientsOfOneNetworkShare(t *testing.T) {
	d := newDesk(t, 1)
	for i := range 3 * firstWindow {
		d.ask(NewAccount(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})), Author, fmt.Sprintf("z%d.test", i))
	}
	if n := len(d.places); n < firstWindow/2 || n > firstWindow/2+1 {
		t.Errorf("%d of %d places for the clients of a /24; want half of them", n, firstWindow)
	}
}

func TestLookupsDoNotWaitForServersThatAreDown(t *testing.T) {
	d := newDesk(t, 2)
	defer d.fill()()
	waits := d.ask(clientOf(1), Author, "a.test")
	d.servers[0].SetDown(true)
	d.sched.FailStranded()
	if kind := d.failed[waits]; kind != 0 {
		t.Errorf("%v, though one server is up; want it to wait on", kind)
	}
	d.servers[1].SetDown(true)
	d.sched.FailStranded()
	late := d.ask(clientOf(2), Author, "b.test")
	if d.failed[waits] != wire.Down || d.failed[late] != wire.Down {
		t.Errorf("one that waited: %v, one that came later: %v; want %v", d.failed[waits], d.failed[late], wire.Down)
	}
}
