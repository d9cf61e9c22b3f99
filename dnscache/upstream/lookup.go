package upstream

import (
	"context"
	"fmt"
	"time"

	"dmarcgate/dnscache/schedule"
	"dmarcgate/dnscache/wire"
)

// Request is a lookup to make.
type Request struct {
	Purpose  string // as the metrics of queries spell it
	Question wire.Question
	Bill     schedule.Bill
	Hurries  bool // it fails at once when there is no free place

	// Done is called once, without locks, with what came of a lookup that Start
	// has begun: the answer, which is shared and never changed, or else an *Error.
	Done func(*wire.Answer, error)
}

// Lookup is a lookup on its way through the servers.
type Lookup struct {
	Request
	pool    *Pool
	began   time.Time
	servers []*server
	ticket  *schedule.Ticket // nil for check queries and probes, which need no place
	place   *schedule.Place  // for the first query, had beforehand; or nil
	wasted  []*schedule.Place

	flies bool       // its goroutine runs, and reads wake
	wake  chan grant // places that were waited for
}

// grant is a place for one who has waited, or why there is none.
type grant struct {
	place *schedule.Place
	err   *Error
}

func (pool *Pool) newLookup(r Request) *Lookup {
	l := &Lookup{Request: r, pool: pool, began: pool.now(), servers: *pool.servers.Load(), wake: make(chan grant, 1)}
	l.ticket = schedule.NewTicket(r.Question.Name, r.Bill,
		func(p *schedule.Place) { l.tell(grant{place: p}) },
		func(kind wire.Kind) { l.tell(grant{err: newError(r.Question, kind, nil)}) })
	l.ticket.Hurries = r.Hurries
	return l
}

// Start begins a lookup, in a goroutine of its own once it has a place. It
// returns an error at once when the lookup may not wait for one either, when all
// servers are down, or when the pool is closed; Done is not called then.
func (pool *Pool) Start(r Request) (*Lookup, *Error) {
	l := pool.newLookup(r)
	p, err := pool.enter(l, l.servers)
	if p != nil && !l.depart(p) {
		err = newError(r.Question, wire.Closed, nil)
	}
	if err != nil {
		err.blame = pool.blame(err.Kind, l.servers, l.began)
		return nil, err
	}
	return l, nil
}

// Join charges the lookup to b if that lets it go earlier: another who asks for
// the same has come.
func (l *Lookup) Join(b schedule.Bill) { l.pool.sched.Join(l.ticket, b) }

// tell hands over what came of waiting.
func (l *Lookup) tell(g grant) {
	switch {
	case l.flies:
		l.wake <- g
	case g.err != nil:
		l.fall(g.err)
	case !l.depart(g.place):
		l.fall(newError(l.Question, wire.Closed, nil))
	}
}

// depart runs the lookup with its first place, unless the pool is closed.
func (l *Lookup) depart(p *schedule.Place) bool {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	if l.pool.closed {
		return false
	}
	l.flies, l.place = true, p
	l.pool.wg.Go(l.fly)
	return true
}

// fall ends a lookup that never had a place.
func (l *Lookup) fall(err *Error) {
	err.blame = l.pool.blame(err.Kind, l.servers, l.began)
	l.Done(nil, err)
}

// fly makes the lookup.
func (l *Lookup) fly() {
	ctx, cancel := context.WithTimeout(l.pool.ctx, l.pool.cfg.Timeout)
	defer cancel()
	l.Done(l.pool.guarded(ctx, l))
}

// guarded turns a panic into an error: this goroutine is no message's, so no
// message's recover would catch it.
func (pool *Pool) guarded(ctx context.Context, l *Lookup) (a *wire.Answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			a, err = nil, newError(l.Question, wire.Internal, fmt.Errorf("panic: %v", v))
		}
	}()
	return pool.resolve(ctx, l)
}
