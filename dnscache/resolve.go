package dnscache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// maxRounds is how often a silent server is asked, as "attempts" of
	// resolv.conf(5): one lost datagram should not fail a lookup.
	maxRounds = 2

	// recently is how old an answer may be to prove that the servers answer:
	// longer than a lookup takes.
	recently = 10 * time.Second
)

// resolve asks the servers in their order until one answers, when there is a
// free slot. With all of them down it fails at once and sends nothing.
func (r *Resolver) resolve(ctx context.Context, p Purpose, k key) (*answer, error) {
	began := r.now()
	servers := *r.servers.Load()
	a, failure := r.inSlot(ctx, p, k, servers)
	if failure == nil {
		return a, nil
	}
	return nil, r.gaveUp(ctx, failure, servers, began)
}

// inSlot is ask with a slot, which is one query in flight.
func (r *Resolver) inSlot(ctx context.Context, p Purpose, k key, servers []*server) (*answer, *Error) {
	if allDown(servers) {
		return nil, k.failed(Down, nil)
	}
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, k.failed(Overload, ctx.Err())
	}
	defer func() { <-r.slots }()
	return r.ask(ctx, p, k, servers)
}

// ask asks the servers in their order until one answers. Those that are down
// are passed over, except by a probe.
func (r *Resolver) ask(ctx context.Context, p Purpose, k key, servers []*server) (*answer, *Error) {
	var failure *Error
	for range maxRounds {
		var again []*server
		for _, s := range servers {
			if p != probe && s.isDown() {
				continue
			}
			a, err := r.once(ctx, p, s, k)
			if err == nil {
				return a, nil
			}
			failure = worse(failure, err)
			if ctx.Err() != nil || s.trusted && err.Kind == Bogus {
				return nil, failure
			}
			if err.Kind.retryable() {
				again = append(again, s)
			}
		}
		servers = again
	}
	if failure == nil { // all went down meanwhile
		failure = k.failed(Down, nil)
	}
	return nil, failure
}

// worse keeps the failure that tells most: the first from a server that is
// alive, or else the first of this host, or else the first.
func worse(old, new *Error) *Error {
	if old != nil && old.Kind.tells() >= new.Kind.tells() {
		return old
	}
	return new
}

// gaveUp completes the failure of a lookup: the context's own error when the
// caller withdrew, or else whose fault it was. The check of a server that was
// silent knows more about that, and is waited for.
func (r *Resolver) gaveUp(ctx context.Context, failure *Error, servers []*server, began time.Time) error {
	if failure.Kind.silent() {
		for _, s := range servers {
			s.settled(ctx)
		}
	}
	if r.ctx.Err() != nil {
		failure.Kind, failure.ours = Closed, true
		return failure
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	nobody := allDown(servers) || !r.answeredSince(began.Add(-recently))
	failure.ours = failure.Kind.local() || failure.Kind.silent() && nobody
	return failure
}

func (r *Resolver) answeredSince(t time.Time) bool {
	last := r.lastAnswer.Load()
	return last != 0 && last >= t.UnixNano()
}

// once asks one server once, and keeps account of it.
func (r *Resolver) once(ctx context.Context, p Purpose, s *server, k key) (*answer, *Error) {
	r.metrics.QueryInFlight(1)
	defer r.metrics.QueryInFlight(-1)

	began, seen := r.now(), s.asked()
	rep, kind, err := r.safely(ctx, s, k)
	r.metrics.Query(p.String(), rep.word(kind), r.now().Sub(began))
	if kind == 0 {
		return r.dated(rep, s), nil
	}
	e := k.failed(kind, err)
	e.Server = s.addr.String()
	withdrawn := errors.Is(ctx.Err(), context.Canceled)
	if kind.suspicious() && !withdrawn && s.failed(seen, e) {
		r.suspect(s)
	}
	return nil, e
}

// safely is exchange, with a panic turned into an error: the goroutines of
// checks and probes are no message's, so no message's recover would catch it.
func (r *Resolver) safely(ctx context.Context, s *server, k key) (rep reply, kind Kind, err error) {
	defer func() {
		if v := recover(); v != nil {
			rep, kind, err = reply{}, Internal, fmt.Errorf("panic: %v", v)
		}
	}()
	return r.exchange(ctx, s, k)
}

// dated makes the answer of a reply, its TTL under our ceilings.
func (r *Resolver) dated(rep reply, s *server) *answer {
	a := rep.answer
	ceiling := r.cfg.MaxTTL
	if a.empty() {
		ceiling = r.cfg.MaxNegativeTTL
	}
	a.ttl = min(a.ttl, ceiling)
	a.ad = rep.ad && s.trusted
	return &a
}
