package dnscache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"dmarcgate/dnscache/schedule"
	"dmarcgate/dnscache/wire"
)

const (
	// maxRounds is how often a silent server is asked, as "attempts" of
	// resolv.conf(5): one lost datagram should not fail a lookup.
	maxRounds = 2

	// maxRefused is how often a server that overflows is asked about a lookup
	// of class Author; refusedPause is the first of the pauses in between,
	// each twice as long as the one before.
	maxRefused   = 4
	refusedPause = 100 * time.Millisecond

	// recently is how old an answer may be to prove that the servers answer:
	// longer than a lookup takes.
	recently = 10 * time.Second
)

// errand is a lookup on its way through the servers.
type errand struct {
	purpose Purpose
	key     key
	servers []*server
	ticket  *schedule.Ticket // nil for check queries and probes, which need no place
	place   *schedule.Place  // for the first query, had beforehand; or nil
	wasted  []*schedule.Place

	launch func(*schedule.Place) // what to do with the first place, if it was waited for; nil when that is done
	fall   func(*Error)          // the same when there is none
	wake   chan grant            // later places that were waited for
}

// grant is a place for one who has waited, or why there is none.
type grant struct {
	place *schedule.Place
	err   *Error
}

// newErrand makes a lookup that is charged to b.
func newErrand(p Purpose, k key, b schedule.Bill, servers []*server) *errand {
	e := &errand{purpose: p, key: k, servers: servers, wake: make(chan grant, 1)}
	e.ticket = schedule.NewTicket(k.Name, b,
		func(p *schedule.Place) { e.tell(grant{place: p}) },
		func(kind Kind) { e.tell(grant{err: newError(k, kind, nil)}) })
	return e
}

// tell hands over what came of waiting.
func (e *errand) tell(g grant) {
	launch, fall := e.launch, e.fall
	e.launch, e.fall = nil, nil
	switch {
	case launch == nil:
		e.wake <- g
	case g.err != nil:
		fall(g.err)
	default:
		launch(g.place)
	}
}

// resolve asks the servers in their order until one answers, each when it has
// a free place. With all of them down it fails at once and sends nothing.
func (r *Resolver) resolve(ctx context.Context, e *errand) (*answer, error) {
	began := r.now()
	a, failure := r.ask(ctx, e)
	if failure == nil {
		return a, nil
	}
	return nil, r.gaveUp(ctx, failure, e.servers, began)
}

// ask asks the servers in rounds: in each the servers that may answer yet.
func (r *Resolver) ask(ctx context.Context, e *errand) (*answer, *Error) {
	var failure *Error
	servers, pause := e.servers, refusedPause
	for try := 1; ; try++ {
		a, again, err := r.round(ctx, e, servers, try)
		if err == nil {
			return a, nil
		}
		if err.Kind == Pressure {
			return nil, err // what came before may be for the same reason
		}
		failure = worse(failure, err)
		if len(again) == 0 || ctx.Err() != nil {
			return nil, failure
		}
		if try >= maxRounds || !retryable(err.Kind) {
			if !sleep(ctx, pause) {
				return nil, failure
			}
			pause *= 2
		}
		servers = again
	}
}

// sleep waits, and reports whether ctx is not done.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// round asks each of the servers once until one answers, and returns those to
// ask again.
func (r *Resolver) round(ctx context.Context, e *errand, servers []*server, try int) (_ *answer, again []*server, failure *Error) {
	for len(servers) > 0 {
		s, p, err := r.placeAt(ctx, e, servers)
		if err != nil && err.Kind == Down && failure != nil {
			break // those that are left went down meanwhile
		}
		if err != nil {
			return nil, nil, err
		}
		servers = without(servers, s)
		a, err := r.once(ctx, e, s, p)
		if err == nil {
			return a, nil, nil
		}
		failure = worse(failure, err)
		if ctx.Err() != nil || s.trusted && err.Kind == Bogus {
			return nil, nil, failure
		}
		if r.relents(ctx, e, s, err.Kind, try) {
			again = append(again, s)
		}
	}
	return nil, again, failure
}

// relents reports whether a server, asked once more, may well answer. Whether it
// refused because too much was asked at once is for its check query to show.
func (r *Resolver) relents(ctx context.Context, e *errand, s *server, kind Kind, try int) bool {
	switch {
	case retryable(kind):
		return try < maxRounds
	case e.ticket == nil || try >= maxRefused:
		return false
	case kind == Refused, kind == ServFail, kind == Local:
		s.settled(ctx)
		return r.sched.Important(e.ticket) && s.sched.Strained()
	}
	return false
}

func without(list []*server, s *server) []*server {
	i := slices.Index(list, s)
	return append(slices.Clone(list[:i]), list[i+1:]...)
}

// placeAt returns one of the servers and a place there, for which it may have to
// wait. A lookup without a ticket needs none.
func (r *Resolver) placeAt(ctx context.Context, e *errand, servers []*server) (*server, *schedule.Place, *Error) {
	if e.ticket == nil {
		return servers[0], nil, nil
	}
	p, err := e.place, (*Error)(nil)
	if e.place = nil; p == nil {
		p, err = r.waitForPlace(ctx, e, servers)
	}
	if err != nil {
		return nil, nil, err
	}
	return servers[slices.IndexFunc(servers, func(s *server) bool { return s.sched == p.Server() })], p, nil
}

// enter looks for a place at one of the servers. Without one and without an
// error the lookup waits.
func (r *Resolver) enter(e *errand, servers []*server) (*schedule.Place, *Error) {
	places := make([]*schedule.Server, len(servers))
	for i, s := range servers {
		places[i] = s.sched
	}
	p, kind := r.sched.Enter(e.ticket, places)
	if kind != 0 {
		return nil, newError(e.key, kind, nil)
	}
	return p, nil
}

func (r *Resolver) waitForPlace(ctx context.Context, e *errand, servers []*server) (*schedule.Place, *Error) {
	p, err := r.enter(e, servers)
	if p != nil || err != nil {
		return p, err
	}
	select {
	case g := <-e.wake:
		return g.place, g.err
	case <-ctx.Done():
	}
	if r.sched.Leave(e.ticket) {
		return nil, newError(e.key, Pressure, ctx.Err())
	}
	g := <-e.wake // it came at the same time
	return g.place, g.err
}

// worse keeps the failure that tells most: the first from a server that is
// alive, or else the first of this host, or else the first.
func worse(old, new *Error) *Error {
	if old != nil && tells(old.Kind) >= tells(new.Kind) {
		return old
	}
	return new
}

// gaveUp completes the failure of a lookup: the context's own error when the
// caller withdrew, or else whose fault it was. The check of a server that was
// silent or refused knows more about that, and is waited for.
func (r *Resolver) gaveUp(ctx context.Context, failure *Error, servers []*server, began time.Time) error {
	if absent(failure.Kind) || failure.Kind == ServFail {
		for _, s := range servers {
			s.settled(ctx)
		}
	}
	if r.ctx.Err() != nil {
		failure.Kind = Closed
	} else if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	failure.blame = r.blame(failure.Kind, servers, began)
	return failure
}

// blame says whose fault a failed lookup is that began at a time.
func (r *Resolver) blame(kind Kind, servers []*server, began time.Time) blame {
	switch kind {
	case Pressure, Local, Closed:
		return unproven
	case Timeout, Network, Refused, ServFail, Down:
	default:
		return domains
	}
	if r.nobodyAnswers(servers) {
		return ours
	}
	switch {
	case kind == Down, !slices.ContainsFunc(servers, (*server).answers):
		return unproven
	case kind != ServFail && !r.answeredSince(began.Add(-recently)):
		return unproven
	case slices.ContainsFunc(servers, (*server).strained):
		return unproven
	}
	return domains
}

// nobodyAnswers reports whether it is proven that our servers answer nobody.
func (r *Resolver) nobodyAnswers(servers []*server) bool {
	now := r.now()
	return !slices.ContainsFunc(servers, func(s *server) bool { return !s.proven(now) })
}

func (r *Resolver) answeredSince(t time.Time) bool {
	last := r.lastAnswer.Load()
	return last != 0 && last >= t.UnixNano()
}

// once asks one server once, and keeps account of it. p is the place there, which
// is nil for a lookup without a ticket.
func (r *Resolver) once(ctx context.Context, e *errand, s *server, p *schedule.Place) (*answer, *Error) {
	r.metrics.QueryInFlight(1)
	defer r.metrics.QueryInFlight(-1)

	began, seen := r.now(), s.asked()
	rep, kind, err := r.safely(ctx, s, e.key)
	r.metrics.Query(e.purpose.String(), rep.Word(kind), r.now().Sub(began))
	withdrawn := errors.Is(ctx.Err(), context.Canceled)
	overflows := e.giveBack(p, kind, withdrawn)
	if kind == 0 {
		return r.dated(rep, s), nil
	}
	failure := newError(e.key, kind, err)
	failure.Server = s.addr.String()
	if overflows && kind == Refused {
		s.refused(reason(failure), r.now())
	}
	if !withdrawn && (s.failed(seen, failure) || overflows || kind == Refused || kind == ServFail) {
		r.suspect(s, kind)
	}
	return nil, failure
}

// giveBack gives the place of a query back, if it had one, and reports whether
// the server seems to overflow.
func (e *errand) giveBack(p *schedule.Place, kind Kind, withdrawn bool) bool {
	if p == nil {
		return false
	}
	overflows := p.Done(kind, withdrawn)
	switch {
	case kind == 0:
		p.Server().Recovered(e.wasted)
	case kind == Timeout:
		e.wasted = append(e.wasted, p)
	}
	return overflows
}

// safely is exchange, with a panic turned into an error: the goroutines of
// checks and probes are no message's, so no message's recover would catch it.
func (r *Resolver) safely(ctx context.Context, s *server, k key) (rep wire.Reply, kind Kind, err error) {
	defer func() {
		if v := recover(); v != nil {
			rep, kind, err = wire.Reply{}, Internal, fmt.Errorf("panic: %v", v)
		}
	}()
	return r.exchange(ctx, s, k)
}

// dated makes the answer of a reply, its TTL under our ceilings.
func (r *Resolver) dated(rep wire.Reply, s *server) *answer {
	a := rep.Answer
	ceiling := r.cfg.MaxTTL
	if a.Empty() {
		ceiling = r.cfg.MaxNegativeTTL
	}
	a.TTL = min(a.TTL, ceiling)
	a.AD = a.AD && s.trusted
	return &a
}
