package schedule

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"dmarcgate/dnscache/wire"
)

const (
	// maxWaiting is how many lookups may wait for a place, half of them of
	// class Other. One that waits costs some 500 bytes and no goroutine; with
	// the windows, where each query costs a goroutine and a socket, it bounds
	// the lookups under way.
	maxWaiting = 2000

	// authorWait and otherWait are the parts of the time of a lookup that it
	// waits for a place before it gives way: mail that hangs on it can wait
	// longer. Together with the lookup itself they stay below half of the 20 s
	// of a message.
	authorWait = 2
	otherWait  = 5

	// pokeEvery is how often a place is looked for that was held for a query
	// given up, while lookups wait. Nothing else tells when it is free.
	pokeEvery = 100 * time.Millisecond
)

// Place is the right to one query in flight at a server.
type Place struct {
	server *Server
	zone   string
	charge charge
	sent   time.Time
	wasted bool // the query was given up, and is taken to be in flight still
	free   bool // given back
}

// Server is the server at which the place is.
func (p *Place) Server() *Server { return p.server }

// Ticket is a lookup in search of a place. What follows Hurries is of use only
// while it waits; all of it but the constant fields is guarded by Scheduler.mu.
type Ticket struct {
	zone    string          // constant
	granted func(*Place)    // called without locks, when it has waited; constant
	failed  func(wire.Kind) // the same when it has to give way; constant

	// Hurries means that it does not wait. It is set before the first Enter.
	Hurries bool

	counted bool // among the lookups of its message; used by its lookup alone
	bill    Bill
	charge  charge
	servers []*Server // any of them will do; the first with a free place is taken
	timer   *time.Timer
	waits   bool
}

// NewTicket makes the ticket of a lookup of a clean name. One that had to wait
// is told by granted that it has a place, or by failed why it has none: Pressure,
// Down or Closed. They are called once for each Enter that let it wait.
func NewTicket(name string, b Bill, granted func(*Place), failed func(wire.Kind)) *Ticket {
	return &Ticket{zone: zoneOf(name), bill: b, granted: granted, failed: failed}
}

// Scheduler hands out the places at the servers. A lookup finds one at once as
// long as there is no pressure; then shares decide (share.go).
type Scheduler struct {
	now     func() time.Time
	timeout time.Duration
	began   time.Time // of tick 0
	lack    func(c Class, by string)
	full    func(*Server)

	mu     sync.Mutex
	books  [classes]book
	own    [classes]*account // the message of lookups that are not charged
	queue  []*Ticket         // in the order in which they came
	queued [classes]int
	poking bool
	closed bool
}

// New makes a scheduler. now is the clock of places; timeout is the time of one
// lookup, of which a part may be spent waiting. lack is called with the reason
// when a lookup gives way, and full, without locks, for each server of which
// lookups of class Author wait for a place.
func New(now func() time.Time, timeout time.Duration, lack func(c Class, by string), full func(*Server)) *Scheduler {
	return &Scheduler{
		now: now, timeout: timeout, began: now(), lack: lack, full: full,
		books: [classes]book{newBook(), newBook()}, own: [classes]*account{{}, {}},
	}
}

// tick is the time in forgetTimes.
func (q *Scheduler) tick(now time.Time) int64 { return int64(now.Sub(q.began) / forgetTime) }

// chargeOf finds the accounts of a bill; q.mu is held.
func (q *Scheduler) chargeOf(b Bill, zone string) charge {
	book := &q.books[b.Class]
	c := charge{class: b.Class, zone: find(book.zones, zone)}
	if b.Account == nil {
		c.message = q.own[b.Class]
		return c
	}
	c.message, c.client = b.Account.message[b.Class], find(book.clients, b.Account.client)
	return c
}

// Enter returns a place at one of the servers, or nil and why there is none.
// When the reason is 0 the ticket waits, and its functions tell what comes of it.
// The first Enter of a ticket counts among the lookups of its message.
func (q *Scheduler) Enter(t *Ticket, servers []*Server) (*Place, wire.Kind) {
	if !t.counted && !t.bill.spend() {
		q.lack(t.bill.Class, byMessage)
		return nil, wire.Pressure
	}
	t.counted = true
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	t.charge, t.servers = q.chargeOf(t.bill, t.zone), servers
	if q.closed {
		return nil, wire.Closed
	}
	if !slices.ContainsFunc(servers, (*Server).inUse) {
		return nil, wire.Down
	}
	if p, _ := q.take(t, now); p != nil {
		return p, 0
	}
	if t.Hurries {
		return nil, wire.Pressure
	}
	if by := q.mayWait(t); by != "" {
		q.lack(t.charge.class, by)
		return nil, wire.Pressure
	}
	q.wait(t)
	return nil, 0
}

// take takes a place for a ticket, or says what is in the way.
func (q *Scheduler) take(t *Ticket, now time.Time) (*Place, string) {
	size, free := q.room(t.servers, t.charge.class, now)
	if free < 1 {
		return nil, byWindow
	}
	tick := q.tick(now)
	if by := t.charge.obstacle(func(a *account) bool { return a.fits(size, free, tick) }); by != "" {
		return nil, by
	}
	for _, s := range t.servers {
		if s.inUse() && s.win.free(t.charge.class, now) > 0 {
			return q.occupy(s, t, now), ""
		}
	}
	return nil, byWindow
}

func (q *Scheduler) occupy(s *Server, t *Ticket, now time.Time) *Place {
	s.win.held[t.charge.class]++
	t.charge.each(func(a *account) { a.held++ })
	return &Place{server: s, zone: t.zone, charge: t.charge, sent: now}
}

// room returns how many places a class has at servers, and how many are free.
func (q *Scheduler) room(servers []*Server, c Class, now time.Time) (size, free int) {
	for _, s := range servers {
		if s.inUse() {
			q.expire(s, now)
			size, free = size+s.win.capacity(c), free+s.win.free(c, now)
		}
	}
	return size, free
}

// mayWait returns what keeps a ticket from waiting, or nothing.
func (q *Scheduler) mayWait(t *Ticket) string {
	size, c := maxWaiting, t.charge.class
	free := size - len(q.queue)
	if c == Other {
		size = maxWaiting / 2
		free = min(free, size-q.queued[Other])
	}
	if free < 1 {
		return byQueue
	}
	return t.charge.obstacle(func(a *account) bool { return a.waits(size, free) })
}

// wait puts a ticket into the queue.
func (q *Scheduler) wait(t *Ticket) {
	t.waits = true
	q.queue = append(q.queue, t)
	q.queued[t.charge.class]++
	t.charge.each(func(a *account) { a.waiting++ })
	t.timer = time.AfterFunc(q.patience(t.charge.class), func() { q.giveUp(t) })
	q.pokeLater()
}

func (q *Scheduler) patience(c Class) time.Duration {
	if c == Author {
		return q.timeout / authorWait
	}
	return q.timeout / otherWait
}

// unwait takes a ticket out of the queue.
func (q *Scheduler) unwait(t *Ticket) {
	t.waits = false
	i := slices.Index(q.queue, t)
	q.queue = slices.Delete(q.queue, i, i+1)
	q.queued[t.charge.class]--
	t.charge.each(func(a *account) { a.waiting-- })
	t.timer.Stop()
}

// giveUp is for a ticket that has waited long enough.
func (q *Scheduler) giveUp(t *Ticket) {
	q.mu.Lock()
	if !t.waits {
		q.mu.Unlock()
		return
	}
	size, free := q.room(t.servers, t.charge.class, q.now())
	by := byWindow
	if free > 0 {
		tick := q.tick(q.now())
		by = cmp.Or(t.charge.obstacle(func(a *account) bool { return a.fits(size, free, tick) }), byWindow)
	}
	q.unwait(t)
	q.mu.Unlock()
	q.lack(t.charge.class, by)
	t.failed(wire.Pressure)
}

// Leave gives up the search of a ticket, and reports whether it waited still.
func (q *Scheduler) Leave(t *Ticket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !t.waits {
		return false
	}
	q.unwait(t)
	return true
}

// Join lets a lookup that is under way profit from another for the same that
// came later: it is charged to the one that goes first.
func (q *Scheduler) Join(t *Ticket, b Bill) {
	q.mu.Lock()
	c := q.chargeOf(b, t.zone)
	if !t.waits {
		if b.Class > t.bill.Class {
			t.bill = b // for what it may have to ask again
		}
		q.mu.Unlock()
		return
	}
	if !c.before(t.charge, q.tick(q.now())) {
		q.mu.Unlock()
		return
	}
	if c.class > t.charge.class {
		t.timer.Reset(q.patience(c.class))
	}
	t.charge.each(func(a *account) { a.waiting-- })
	c.each(func(a *account) { a.waiting++ })
	q.queued[t.charge.class]--
	q.queued[c.class]++
	t.bill, t.charge = b, c
	q.dispatch()
}

// outcome is what came of a query, as its server's window sees it.
type outcome uint8

const (
	noSign   outcome = iota // it was withdrawn, or tells nothing
	answered                // NOERROR or NXDOMAIN
	refusing                // REFUSED or SERVFAIL: there was too much, or the domain is broken
	silent                  // no reply in time: the same, and the query is in flight still
	shortage                // this host had no socket for it
)

func outcomeOf(kind wire.Kind, withdrawn bool) outcome {
	switch {
	case kind == 0:
		return answered
	case withdrawn && kind == wire.Timeout:
		return silent // whoever withdrew, the server goes on
	case withdrawn:
		return noSign
	case kind == wire.ServFail, kind == wire.Refused:
		return refusing
	case kind == wire.Timeout:
		return silent
	case kind == wire.Local:
		return shortage
	}
	return noSign
}

// Done gives a place back, and reports whether the server may overflow. kind is
// how the query failed, or 0; withdrawn means that the caller gave it up.
func (p *Place) Done(kind wire.Kind, withdrawn bool) (overflows bool) {
	return p.server.sched.done(p, outcomeOf(kind, withdrawn), withdrawn)
}

func (q *Scheduler) done(p *Place, o outcome, withdrawn bool) (overflows bool) {
	q.mu.Lock()
	now, w := q.now(), &p.server.win
	switch {
	case withdrawn:
	case o == answered:
		p.server.signs.note(p.zone, false, now)
		w.answered(now)
	case o == refusing, o == silent:
		if p.server.signs.note(p.zone, true, now) {
			overflows = true
			w.overflow(p.sent, now, firstThreshold)
		}
	case o == shortage:
		w.overflow(p.sent, now, leastThreshold)
	}
	if o == silent {
		q.waste(p, now)
	} else {
		q.release(p, now)
	}
	q.dispatch()
	return overflows
}

// waste keeps the place of a query that was given up as long as the server may
// work at it.
func (q *Scheduler) waste(p *Place, now time.Time) {
	p.wasted = true
	w := &p.server.win
	w.waste = append(w.waste, waste{p.sent.Add(holdTime), p})
	w.lost[p.charge.class]++
	tick := q.tick(now)
	p.charge.each(func(a *account) { a.use(holdTime, true, tick) })
}

// release frees a place.
func (q *Scheduler) release(p *Place, now time.Time) {
	if p.free {
		return
	}
	p.free = true
	p.server.win.held[p.charge.class]--
	if p.wasted {
		p.server.win.lost[p.charge.class]--
	}
	tick := q.tick(now)
	p.charge.each(func(a *account) {
		a.held--
		if !p.wasted {
			a.use(now.Sub(p.sent), false, tick)
		}
	})
}

// expire frees the places of queries that the server has given up as well.
func (q *Scheduler) expire(s *Server, now time.Time) {
	w := &s.win
	for len(w.waste) > 0 && (w.waste[0].place.free || !now.Before(w.waste[0].until)) {
		q.release(w.waste[0].place, now)
		w.waste[0] = waste{}
		w.waste = w.waste[1:]
	}
}

// grant is a place for one who has waited.
type grant struct {
	ticket *Ticket
	place  *Place
}

// dispatch gives free places to those who wait. It is called with q.mu held,
// and gives it up.
func (q *Scheduler) dispatch() {
	var list []grant
	now := q.now()
	for len(q.queue) > 0 {
		t := q.next(now)
		if t == nil {
			break
		}
		p, _ := q.take(t, now)
		if p == nil {
			break // cannot be: next has looked
		}
		q.unwait(t)
		list = append(list, grant{ticket: t, place: p})
	}
	q.mu.Unlock()
	for _, g := range list {
		g.ticket.granted(g.place)
	}
}

// next returns the first of those who wait and may have a place.
func (q *Scheduler) next(now time.Time) *Ticket {
	var (
		best  *Ticket
		rooms [classes]struct{ size, free int } // all tickets of a class mostly have the same servers
		of    [classes]*Ticket
		tick  = q.tick(now)
	)
	for _, t := range q.queue {
		c := t.charge.class
		room := &rooms[c]
		if of[c] == nil || !slices.Equal(of[c].servers, t.servers) {
			of[c] = t
			room.size, room.free = q.room(t.servers, c, now)
		}
		if room.free < 1 || best != nil && !t.charge.before(best.charge, tick) {
			continue
		}
		if t.charge.obstacle(func(a *account) bool { return a.fits(room.size, room.free, tick) }) == "" {
			best = t
		}
	}
	return best
}

// pokeLater looks for expired places while lookups wait; q.mu is held.
func (q *Scheduler) pokeLater() {
	if q.poking || len(q.queue) == 0 || q.closed {
		return
	}
	q.poking = true
	time.AfterFunc(pokeEvery, func() {
		q.mu.Lock()
		q.poking = false
		q.pokeLater()
		wanted := q.wanted()
		q.dispatch()
		for _, s := range wanted {
			q.full(s)
		}
	})
}

// wanted returns the servers that lookups of class Author wait for.
func (q *Scheduler) wanted() []*Server {
	if q.queued[Author] == 0 {
		return nil
	}
	for _, t := range q.queue {
		if t.charge.class == Author {
			return t.servers
		}
	}
	return nil
}

// FailStranded fails those who wait for servers that are all down by now.
func (q *Scheduler) FailStranded() {
	q.fail(wire.Down, func(t *Ticket) bool { return !slices.ContainsFunc(t.servers, (*Server).inUse) })
}

// Close fails all who wait, and all who come, with Closed.
func (q *Scheduler) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.fail(wire.Closed, func(*Ticket) bool { return true })
}

func (q *Scheduler) fail(kind wire.Kind, which func(*Ticket) bool) {
	q.mu.Lock()
	var list []*Ticket
	for _, t := range q.queue {
		if which(t) {
			list = append(list, t)
		}
	}
	for _, t := range list {
		q.unwait(t)
	}
	q.mu.Unlock()
	for _, t := range list {
		t.failed(kind)
	}
}

// Important reports whether a lookup is of class Author by now.
func (q *Scheduler) Important(t *Ticket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return t.bill.Class == Author
}
