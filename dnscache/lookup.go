package dnscache

import (
	"context"
	"strings"
	"time"

	"dmarcgate/dnscache/schedule"
	"dmarcgate/dnscache/upstream"
)

// Outcomes of a lookup, in metrics and traces.
const (
	hit         = "hit"
	negativeHit = "negative_hit"
	stale       = "stale"  // an answer past its TTL
	failed      = "failed" // a remembered failure
	coalesced   = "coalesced"
	miss        = "miss"
)

const (
	// aheadPart is the last part of its TTL in which an answer that is queried
	// for is queried for again (as the prefetch of Unbound: a tenth).
	aheadPart = 10

	// aheadLeast is the least TTL of such an answer: of a shorter one the last
	// part is hardly longer than the query.
	aheadLeast = 10 * time.Second

	// aheadShare is the part of Config.MaxInFlight that such queries may take.
	aheadShare = 4

	// aheadNews is by how much an answer has to outlive the one before to be a
	// new one and not the server's own, with what is left of its TTL. That is
	// rounded to seconds (RFC 1035, Section 3.2.1), and on the way for some time.
	aheadNews = 2 * time.Second
)

// use is what a lookup is for.
type use struct {
	purpose Purpose
	parses  bool // the records are going to be parsed
	bill    schedule.Bill
}

// flight is a lookup under way. entry and err are set before done is closed.
type flight struct {
	began   time.Time        // by the clock of timers
	left    time.Time        // by Config.Now
	ahead   bool             // nobody waited for it when it began
	parses  bool             // of anybody who waits; this and the next are guarded by Resolver.mu
	flushed bool             // what it brings is not kept
	lookup  *upstream.Lookup // nil when it failed at once
	done    chan struct{}
	entry   *entry
	err     error
}

// wait returns what the flight brings, if it lands before ctx ends.
func (f *flight) wait(ctx context.Context) (*entry, error) {
	select {
	case <-f.done:
		return f.entry, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lookup answers k from the cache, from an equal lookup in flight or from a
// new one, and waits for the latter two no longer than ctx. The entry may be
// nil, but not beside a *StaleError.
func (r *Resolver) lookup(ctx context.Context, u use, k key) (*entry, string, error) {
	if e, now := r.cached(k); e.fresh(now) {
		r.used(u, k, e, now)
		outcome := e.outcome()
		r.metrics.CacheRequest(u.purpose.String(), outcome)
		return e, outcome, nil
	}
	e, f, outcome := r.find(u, k)
	if outcome == coalesced {
		f.lookup.Join(u.bill)
	}
	if f != nil && !e.known() {
		r.metrics.CacheRequest(u.purpose.String(), outcome)
		e, err := f.wait(ctx)
		return e, outcome, err
	}
	var err error
	switch {
	case f != nil:
		e, outcome, err = r.orOld(ctx, f, k, e, outcome)
	case outcome == failed:
		e, outcome, err = r.instead(e, outcome, e.failed.err)
	}
	r.metrics.CacheRequest(u.purpose.String(), outcome)
	return e, outcome, err
}

// find returns what the cache has, and the flight to wait for, if any.
func (r *Resolver) find(u use, k key) (*entry, *flight, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// The flight that was here a moment ago may have landed meanwhile.
	e, now := r.peek(k)
	if e.fresh(now) {
		return e, nil, e.outcome()
	}
	if e.failing(now) {
		return e, nil, failed
	}
	if f, ok := r.flights[k]; ok {
		f.parses = f.parses || u.parses
		return e, f, coalesced
	}
	return e, r.start(u, k, false), miss
}

// outcome of a lookup that finds the entry fresh.
func (e *entry) outcome() string {
	if e.Empty() {
		return negativeHit
	}
	return hit
}

// used asks ahead of time for an answer that is about to expire, since it is
// still queried for.
func (r *Resolver) used(u use, k key, e *entry, now int64) {
	if e.left(now) <= e.TTL/aheadPart && e.TTL >= aheadLeast && !e.settled && !e.failing(now) {
		r.askAhead(u, k, e)
	}
}

// askAhead starts a flight that nobody waits for, when not too many of them
// are under way. It may fail: the answer stays as long as it would have.
func (r *Resolver) askAhead(u use, k key, seen *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, _ := r.peek(k); e != seen || r.closed || r.flights[k] != nil || r.ahead >= max(1, r.cfg.MaxInFlight/aheadShare) {
		return
	}
	u.parses = u.parses || seen.hasSlot()
	u.bill = schedule.Bill{Class: schedule.Other}
	r.start(u, k, true)
}

// start begins a lookup of the resolver's own; r.mu is held. Without a free
// place it waits for one, or fails at once: then it is in no list.
func (r *Resolver) start(u use, k key, ahead bool) *flight {
	// The name may be a part of a message, which must not live as long.
	k.Name = strings.Clone(k.Name)
	f := &flight{began: time.Now(), left: r.now(), ahead: ahead, parses: u.parses, done: make(chan struct{})}
	l, err := r.pool.Start(upstream.Request{
		Purpose: u.purpose.String(), Question: k, Bill: u.bill, Hurries: ahead,
		Done: func(a *answer, err error) { r.ended(k, f, a, err) },
	})
	if err != nil {
		f.err = err
		close(f.done)
		return f
	}
	f.lookup = l
	r.flights[k] = f
	if ahead {
		r.ahead++
	}
	return f
}

// ended lands a flight, and tells those who wait for it.
func (r *Resolver) ended(k key, f *flight, a *answer, err error) {
	r.land(k, f, a, err)
	if err == nil || memorable(err) {
		r.measure()
	}
	close(f.done)
}

// land ends a flight. What it brought is in the cache before the flight is
// gone, so that no equal query starts in between.
func (r *Resolver) land(k key, f *flight, a *answer, err error) {
	now := r.clock.NowNano()
	if err == nil {
		f.entry = newEntry(r.cfg, a, now)
	}
	f.err = err
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.ahead {
		r.ahead--
	}
	if f.flushed {
		return
	}
	if err == nil {
		f.entry.parses = f.parses
		r.keep(k, f.entry)
	} else {
		r.remember(k, err, now)
	}
	delete(r.flights, k)
}

// keep puts a new answer into the place of the old one; r.mu is held.
func (r *Resolver) keep(k key, e *entry) {
	if e.TTL == 0 {
		r.cache.Invalidate(k) // whatever was there is not the last answer any more
		return
	}
	if old, _ := r.peek(k); old.known() {
		e.settled = e.expires <= old.expires+int64(aheadNews)
	}
	r.cache.Set(k, e)
}
