package upstream

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
	// maxRounds is how often a silent server is queried, as "attempts" of
	// resolv.conf(5): one lost datagram should not fail a lookup.
	maxRounds = 2

	// maxRefused is how often a server that overflows is queried about a lookup
	// of class Author; refusedPause is the first of the pauses in between,
	// each twice as long as the one before.
	maxRefused   = 4
	refusedPause = 100 * time.Millisecond
)

// resolve asks the servers in their order until one answers, each when it has
// a free place. With all of them down it fails at once and sends nothing.
func (pool *Pool) resolve(ctx context.Context, l *Lookup) (*wire.Answer, error) {
	began := pool.now()
	a, failure := pool.ask(ctx, l)
	if failure == nil {
		return a, nil
	}
	return nil, pool.gaveUp(ctx, failure, l.servers, began)
}

// ask asks the servers in rounds: in each the servers that may answer yet.
func (pool *Pool) ask(ctx context.Context, l *Lookup) (*wire.Answer, *Error) {
	var failure *Error
	servers, pause := l.servers, refusedPause
	for try := 1; ; try++ {
		a, again, err := pool.round(ctx, l, servers, try)
		if err == nil {
			return a, nil
		}
		if err.Kind == wire.Pressure {
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
func (pool *Pool) round(ctx context.Context, l *Lookup, servers []*server, try int) (_ *wire.Answer, again []*server, failure *Error) {
	for len(servers) > 0 {
		s, p, err := pool.placeAt(ctx, l, servers)
		if err != nil && err.Kind == wire.Down && failure != nil {
			break // those that are left went down meanwhile
		}
		if err != nil {
			return nil, nil, err
		}
		servers = without(servers, s)
		a, err := pool.once(ctx, l, s, p)
		if err == nil {
			return a, nil, nil
		}
		failure = worse(failure, err)
		if ctx.Err() != nil || s.trusted && err.Kind == wire.Bogus {
			return nil, nil, failure
		}
		if pool.relents(ctx, l, s, err.Kind, try) {
			again = append(again, s)
		}
	}
	return nil, again, failure
}

// relents reports whether a server, queried once more, may well answer. Whether it
// refused because too much was queried at once is for its check query to show.
func (pool *Pool) relents(ctx context.Context, l *Lookup, s *server, kind wire.Kind, try int) bool {
	switch {
	case retryable(kind):
		return try < maxRounds
	case l.ticket == nil || try >= maxRefused:
		return false
	case kind == wire.Refused, kind == wire.ServFail, kind == wire.Local:
		s.settled(ctx)
		return pool.sched.Important(l.ticket) && s.sched.Strained()
	}
	return false
}

func without(list []*server, s *server) []*server {
	i := slices.Index(list, s)
	return append(slices.Clone(list[:i]), list[i+1:]...)
}

// placeAt returns one of the servers and a place there, for which it may have to
// wait. A lookup without a ticket needs none.
func (pool *Pool) placeAt(ctx context.Context, l *Lookup, servers []*server) (*server, *schedule.Place, *Error) {
	if l.ticket == nil {
		return servers[0], nil, nil
	}
	p, err := l.place, (*Error)(nil)
	if l.place = nil; p == nil {
		p, err = pool.waitForPlace(ctx, l, servers)
	}
	if err != nil {
		return nil, nil, err
	}
	return servers[slices.IndexFunc(servers, func(s *server) bool { return s.sched == p.Server() })], p, nil
}

// enter looks for a place at one of the servers. Without one and without an
// error the lookup waits.
func (pool *Pool) enter(l *Lookup, servers []*server) (*schedule.Place, *Error) {
	places := make([]*schedule.Server, len(servers))
	for i, s := range servers {
		places[i] = s.sched
	}
	p, kind := pool.sched.Enter(l.ticket, places)
	if kind != 0 {
		return nil, newError(l.Question, kind, nil)
	}
	return p, nil
}

func (pool *Pool) waitForPlace(ctx context.Context, l *Lookup, servers []*server) (*schedule.Place, *Error) {
	p, err := pool.enter(l, servers)
	if p != nil || err != nil {
		return p, err
	}
	select {
	case g := <-l.wake:
		return g.place, g.err
	case <-ctx.Done():
	}
	if pool.sched.Leave(l.ticket) {
		return nil, newError(l.Question, wire.Pressure, ctx.Err())
	}
	g := <-l.wake // it came at the same time
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
func (pool *Pool) gaveUp(ctx context.Context, failure *Error, servers []*server, began time.Time) error {
	if absent(failure.Kind) || failure.Kind == wire.ServFail {
		for _, s := range servers {
			s.settled(ctx)
		}
	}
	if pool.ctx.Err() != nil {
		failure.Kind = wire.Closed
	} else if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	failure.blame = pool.blame(failure.Kind, servers, began)
	return failure
}

// once asks one server once, and keeps account of it. p is the place there, which
// is nil for a lookup without a ticket.
func (pool *Pool) once(ctx context.Context, l *Lookup, s *server, p *schedule.Place) (*wire.Answer, *Error) {
	pool.metrics.QueryInFlight(1)
	defer pool.metrics.QueryInFlight(-1)

	began, seen := pool.now(), s.queried()
	rep, kind, err := pool.safely(ctx, s, l.Question)
	pool.metrics.Query(l.Purpose, rep.Word(kind), pool.now().Sub(began))
	withdrawn := errors.Is(ctx.Err(), context.Canceled)
	overflows := l.giveBack(p, kind, withdrawn)
	if kind == 0 {
		return s.believed(rep), nil
	}
	failure := newError(l.Question, kind, err)
	failure.Server = s.addr.String()
	if overflows && kind == wire.Refused {
		s.refused(reason(failure), pool.now())
	}
	if !withdrawn && (s.failed(seen, failure) || overflows || kind == wire.Refused || kind == wire.ServFail) {
		pool.suspect(s, kind)
	}
	return nil, failure
}

// giveBack gives the place of a query back, if it had one, and reports whether
// the server seems to overflow.
func (l *Lookup) giveBack(p *schedule.Place, kind wire.Kind, withdrawn bool) bool {
	if p == nil {
		return false
	}
	overflows := p.Done(kind, withdrawn)
	switch {
	case kind == 0:
		p.Server().Recovered(l.wasted)
	case kind == wire.Timeout:
		l.wasted = append(l.wasted, p)
	}
	return overflows
}

// safely is exchange, with a panic turned into an error: the goroutines of
// checks and probes are no message's, so no message's recover would catch it.
func (pool *Pool) safely(ctx context.Context, s *server, k wire.Question) (rep wire.Reply, kind wire.Kind, err error) {
	defer func() {
		if v := recover(); v != nil {
			rep, kind, err = wire.Reply{}, wire.Internal, fmt.Errorf("panic: %v", v)
		}
	}()
	return pool.exchange(ctx, s, k)
}

// believed is the answer of a reply; only a trusted server says AD.
func (s *server) believed(rep wire.Reply) *wire.Answer {
	a := rep.Answer
	a.AD = a.AD && s.trusted
	return &a
}
