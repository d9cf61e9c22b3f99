package dnscache

import (
	"context"
	"errors"
	"time"
)

// instead is what there is without news: the stale answer beside the reason, or
// the reason alone.
func (r *Resolver) instead(old *entry, outcome string, err error) (*entry, string, error) {
	err = r.pool.Reviewed(err)
	if !old.known() {
		return nil, outcome, err
	}
	return old, stale, &StaleError{Age: old.age(r.clock.NowNano()), Err: err}
}

// orOld waits for a flight no longer than until it is StaleAfter old; then the
// stale answer is given, and the flight goes on without its passengers (RFC 8767,
// Section 5, the client response timer). So it is when ctx runs out of time.
func (r *Resolver) orOld(ctx context.Context, f *flight, k key, old *entry, outcome string) (*entry, string, error) {
	timer := time.NewTimer(time.Until(f.began.Add(r.cfg.StaleAfter)))
	defer timer.Stop()
	select {
	case <-f.done:
		if f.err != nil {
			return r.instead(old, outcome, f.err)
		}
		return f.entry, outcome, nil
	case <-timer.C:
		return r.instead(old, outcome, r.pool.TimedOut(k, f.left, nil))
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, outcome, ctx.Err()
		}
		return r.instead(old, outcome, r.pool.TimedOut(k, f.left, ctx.Err()))
	}
}

// remember keeps a failure in mind, beside the stale answer when there is one;
// r.mu is held.
func (r *Resolver) remember(k key, err error, now int64) {
	if !memorable(err) {
		return
	}
	old, _ := r.peek(k)
	r.cache.Set(k, old.withFailure(&remembered{err: err, at: now, until: now + int64(r.cfg.FailureTTL)}))
}

// memorable reports whether the same lookup, repeated at once, would fail in
// the same way. Of the other failures the moment is to blame, or the servers,
// whose health is remembered elsewhere (Down).
func memorable(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Kind {
	case ServFail, Refused, Timeout, Network, Malformed, Bogus:
		return true
	}
	return false
}
