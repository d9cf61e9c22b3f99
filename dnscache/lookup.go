package dnscache

import (
	"context"
	"fmt"

	"github.com/miekg/dns"
)

// Outcomes of a lookup, in metrics and traces.
const (
	hit         = "hit"
	negativeHit = "negative_hit"
	coalesced   = "coalesced"
	miss        = "miss"
)

// flight is a lookup that somebody waits for. ans and err are set before done
// is closed.
type flight struct {
	done chan struct{}
	ans  *answer
	err  error
}

// lookup answers k from the cache, from an equal lookup in flight or from a
// new one, and waits for the latter two no longer than ctx.
func (r *Resolver) lookup(ctx context.Context, p Purpose, k key) (*answer, string, error) {
	a, f, outcome := r.find(p, k)
	r.metrics.CacheRequest(p.String(), outcome)
	if f == nil {
		return a, outcome, nil
	}
	select {
	case <-f.done:
		return f.ans, outcome, f.err
	case <-ctx.Done():
		return nil, outcome, ctx.Err()
	}
}

// find returns a cached answer, or the flight to wait for.
func (r *Resolver) find(p Purpose, k key) (*answer, *flight, string) {
	if a, ok := r.cache.GetIfPresent(k); ok {
		return a, nil, hitOutcome(a)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.flights[k]; ok {
		return nil, f, coalesced
	}
	// The flight that was here a moment ago may have landed meanwhile.
	if a, ok := r.cache.GetIfPresent(k); ok {
		return a, nil, hitOutcome(a)
	}
	return nil, r.start(p, k), miss
}

func hitOutcome(a *answer) string {
	if a.empty() {
		return negativeHit
	}
	return hit
}

// start begins a lookup of the resolver's own; r.mu is held.
func (r *Resolver) start(p Purpose, k key) *flight {
	f := &flight{done: make(chan struct{})}
	if r.closed {
		f.err = k.failed(Closed, nil)
		close(f.done)
		return f
	}
	r.flights[k] = f
	r.wg.Go(func() { r.fly(p, k, f) })
	return f
}

// fly runs the lookup and tells those who wait. The answer is in the cache
// before the flight is gone, so that no equal query starts in between.
func (r *Resolver) fly(p Purpose, k key, f *flight) {
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.Timeout)
	defer cancel()
	f.ans, f.err = r.guarded(ctx, p, k)
	if f.err == nil {
		r.keep(k, f.ans)
	}
	r.mu.Lock()
	delete(r.flights, k)
	r.mu.Unlock()
	close(f.done)
}

// guarded turns a panic into an error: this goroutine is no message's, so no
// message's recover would catch it.
func (r *Resolver) guarded(ctx context.Context, p Purpose, k key) (a *answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			a, err = nil, k.failed(Internal, fmt.Errorf("panic: %v", v))
		}
	}()
	return r.resolve(ctx, p, k)
}

func (k key) failed(kind Kind, err error) *Error {
	return &Error{Name: k.name, Type: dns.TypeToString[k.qtype], Kind: kind, Err: err, ours: kind == Closed}
}
