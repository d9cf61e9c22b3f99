package dnscache

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const (
	// maxWaiting is how many lookups may wait for a place, half of them of
	// class Other. One that waits costs some 500 bytes and no goroutine; with
	// Config.MaxInFlight, which each cost a goroutine and a socket, it bounds
	// the lookups under way.
	maxWaiting = 2000

	// authorWait and otherWait are the parts of Config.Timeout that a lookup
	// waits for a place before it gives way: mail that hangs on it can wait
	// longer. Together with the lookup itself they stay below half of the 20 s
	// of a message.
	authorWait = 2
	otherWait  = 5

	// pokeEvery is how often a place is looked for that was held for a query
	// given up, while lookups wait. Nothing else tells when it is free.
	pokeEvery = 100 * time.Millisecond
)

// place is the right to one query in flight at a server.
type place struct {
	server *server
	charge charge
	sent   time.Time
	wasted bool // the query was given up, and is taken to be in flight still
	free   bool // given back
}

// ticket is a lookup in search of a place. What follows charge is of use only
// while it waits; all of it but the constant fields is guarded by scheduler.mu.
type ticket struct {
	zone    string       // constant
	granted func(*place) // called without locks, when it has waited; constant
	failed  func(*Error) // the same when it has to give way; constant

	hurries bool // it does not wait; constant

	bill    bill
	charge  charge
	servers []*server // any of them will do; the first with a free place is taken
	key     key
	timer   *time.Timer
	waits   bool
}

// scheduler hands out the places at the servers. A lookup finds one at once as
// long as there is no pressure; then shares decide (share.go).
type scheduler struct {
	now     func() time.Time
	timeout time.Duration            // Config.Timeout
	began   time.Time                // of tick 0
	lack    func(c Class, by string) // called when a lookup gives way
	full    func(*server)            // called without locks while lookups of class Author wait for a server's places

	mu     sync.Mutex
	books  [classes]book
	own    [classes]*account // the message of lookups that are not charged
	queue  []*ticket         // in the order in which they came
	queued [classes]int
	poking bool
	closed bool
}

func newScheduler(now func() time.Time, timeout time.Duration, lack func(Class, string), full func(*server)) *scheduler {
	return &scheduler{
		now: now, timeout: timeout, began: now(), lack: lack, full: full,
		books: [classes]book{newBook(), newBook()}, own: [classes]*account{{}, {}},
	}
}

// tick is the time in forgetTimes.
func (q *scheduler) tick(now time.Time) int64 { return int64(now.Sub(q.began) / forgetTime) }

// chargeOf finds the accounts of a bill; q.mu is held.
func (q *scheduler) chargeOf(b bill, zone string) charge {
	book := &q.books[b.class]
	c := charge{class: b.class, zone: find(book.zones, zone)}
	if b.account == nil {
		c.message = q.own[b.class]
		return c
	}
	c.message, c.client = b.account.message[b.class], find(book.clients, b.account.client)
	return c
}

// enter returns a place, or nil and why there is none. Then the ticket waits,
// and what comes of it is told by its functions, unless the error is not nil.
func (q *scheduler) enter(t *ticket, servers []*server) (*place, *Error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	t.charge, t.servers = q.chargeOf(t.bill, t.zone), servers
	if q.closed {
		return nil, newError(t.key, Closed, nil)
	}
	if !slices.ContainsFunc(servers, (*server).inUse) {
		return nil, newError(t.key, Down, nil)
	}
	if p, _ := q.take(t, now); p != nil {
		return p, nil
	}
	if t.hurries {
		return nil, newError(t.key, Pressure, nil)
	}
	if by := q.mayWait(t); by != "" {
		q.lack(t.charge.class, by)
		return nil, newError(t.key, Pressure, nil)
	}
	q.wait(t)
	return nil, nil
}

// take takes a place for a ticket, or says what is in the way.
func (q *scheduler) take(t *ticket, now time.Time) (*place, string) {
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
			return q.occupy(s, t.charge, now), ""
		}
	}
	return nil, byWindow
}

func (q *scheduler) occupy(s *server, c charge, now time.Time) *place {
	s.win.held[c.class]++
	c.each(func(a *account) { a.held++ })
	return &place{server: s, charge: c, sent: now}
}

// room returns how many places a class has at servers, and how many are free.
func (q *scheduler) room(servers []*server, c Class, now time.Time) (size, free int) {
	for _, s := range servers {
		if s.inUse() {
			q.expire(s, now)
			size, free = size+s.win.capacity(c), free+s.win.free(c, now)
		}
	}
	return size, free
}

// mayWait returns what keeps a ticket from waiting, or nothing.
func (q *scheduler) mayWait(t *ticket) string {
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
func (q *scheduler) wait(t *ticket) {
	t.waits = true
	q.queue = append(q.queue, t)
	q.queued[t.charge.class]++
	t.charge.each(func(a *account) { a.waiting++ })
	t.timer = time.AfterFunc(q.patience(t.charge.class), func() { q.giveUp(t) })
	q.pokeLater()
}

func (q *scheduler) patience(c Class) time.Duration {
	if c == Author {
		return q.timeout / authorWait
	}
	return q.timeout / otherWait
}

// unwait takes a ticket out of the queue.
func (q *scheduler) unwait(t *ticket) {
	t.waits = false
	i := slices.Index(q.queue, t)
	q.queue = slices.Delete(q.queue, i, i+1)
	q.queued[t.charge.class]--
	t.charge.each(func(a *account) { a.waiting-- })
	t.timer.Stop()
}

// giveUp is for a ticket that has waited long enough.
func (q *scheduler) giveUp(t *ticket) {
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
	t.failed(newError(t.key, Pressure, nil))
}

// leave gives up the search of a ticket, and reports whether it waited still.
func (q *scheduler) leave(t *ticket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !t.waits {
		return false
	}
	q.unwait(t)
	return true
}

// join lets a lookup that is under way profit from another for the same that
// came later: it is charged to the one that goes first.
func (q *scheduler) join(t *ticket, b bill) {
	q.mu.Lock()
	c := q.chargeOf(b, t.zone)
	if !t.waits {
		if b.class > t.bill.class {
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

func outcomeOf(kind Kind, withdrawn bool) outcome {
	switch {
	case kind == 0:
		return answered
	case withdrawn && kind == Timeout:
		return silent // whoever withdrew, the server goes on
	case withdrawn:
		return noSign
	case kind == ServFail, kind == Refused:
		return refusing
	case kind == Timeout:
		return silent
	case kind == Local:
		return shortage
	}
	return noSign
}

// done gives a place back, and reports whether the server may overflow.
func (q *scheduler) done(p *place, zone string, o outcome, withdrawn bool) (overflows bool) {
	q.mu.Lock()
	now, w := q.now(), &p.server.win
	switch {
	case withdrawn:
	case o == answered:
		p.server.signs.note(zone, false, now)
		w.answered(now)
	case o == refusing, o == silent:
		if p.server.signs.note(zone, true, now) {
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
func (q *scheduler) waste(p *place, now time.Time) {
	p.wasted = true
	w := &p.server.win
	w.waste = append(w.waste, waste{p.sent.Add(holdTime), p})
	w.lost[p.charge.class]++
	tick := q.tick(now)
	p.charge.each(func(a *account) { a.use(holdTime, true, tick) })
}

// recover frees the places of queries given up, as the server has answered the
// same question meanwhile.
func (q *scheduler) recover(list []*place, s *server) {
	if len(list) == 0 {
		return
	}
	q.mu.Lock()
	for _, p := range list {
		if p.server.health == s.health {
			q.release(p, q.now())
		}
	}
	q.dispatch()
}

// release frees a place.
func (q *scheduler) release(p *place, now time.Time) {
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
func (q *scheduler) expire(s *server, now time.Time) {
	w := &s.win
	for len(w.waste) > 0 && (w.waste[0].place.free || !now.Before(w.waste[0].until)) {
		q.release(w.waste[0].place, now)
		w.waste[0] = waste{}
		w.waste = w.waste[1:]
	}
}

// forgive frees all places of queries given up, as nobody works at them: the
// server was dead, or is none of ours any more.
func (q *scheduler) forgive(s *server) {
	q.mu.Lock()
	now := q.now()
	for _, x := range s.win.waste {
		q.release(x.place, now)
	}
	s.win.waste = nil
	q.dispatch()
}

// grant is a place for one who has waited.
type grant struct {
	ticket *ticket
	place  *place
	err    *Error
}

// dispatch gives free places to those who wait. It is called with q.mu held,
// and gives it up.
func (q *scheduler) dispatch() {
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
func (q *scheduler) next(now time.Time) *ticket {
	var (
		best  *ticket
		rooms [classes]struct{ size, free int } // all tickets of a class mostly have the same servers
		of    [classes]*ticket
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
func (q *scheduler) pokeLater() {
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
func (q *scheduler) wanted() []*server {
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

// desert fails those who wait for servers of which none is in use any more.
func (q *scheduler) desert() {
	q.fail(Down, func(t *ticket) bool { return !slices.ContainsFunc(t.servers, (*server).inUse) })
}

// close fails all who wait, and all who come.
func (q *scheduler) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.fail(Closed, func(*ticket) bool { return true })
}

func (q *scheduler) fail(kind Kind, which func(*ticket) bool) {
	q.mu.Lock()
	var list []*ticket
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
		t.failed(newError(t.key, kind, nil))
	}
}

// checkFailed tells the window of a server about a check query that failed, and
// reports whether it is at one. A server that has answered nothing at all
// meanwhile is taken to be dead.
func (q *scheduler) checkFailed(s *server, dead bool) (atOne bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if dead {
		s.win.collapse(now)
	} else {
		s.win.halve(now, 1)
	}
	return s.win.size == 1
}

// checkAnswered tells the window of a server about a check query that was
// answered.
func (q *scheduler) checkAnswered(s *server) {
	q.mu.Lock()
	s.win.proved(q.now())
	q.dispatch()
}

// important reports whether a lookup is of class Author by now.
func (q *scheduler) important(t *ticket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return t.bill.class == Author
}

// strained reports whether a server overflowed a short time ago.
func (q *scheduler) strained(s *server) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return s.win.strained(q.now())
}
