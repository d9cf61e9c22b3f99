package dnscache

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// firstRecheck and lastRecheck are how long a dead server is left alone
	// between two check queries: each time twice as long. The longest is what
	// a server that is back waits for its work.
	firstRecheck = 500 * time.Millisecond
	lastRecheck  = 5 * time.Second

	// recheckJitter is the part by which these times differ at random, so
	// that several hosts do not ask in step.
	recheckJitter = 0.2
)

// health is what is known of a server. The zero health is that of a server
// not asked yet: it is up.
type health struct {
	mu       sync.Mutex
	retired  bool // in no list any more
	down     bool
	since    time.Time // of down
	answers  uint64    // readable replies
	queries  uint64
	failures int           // since the last readable reply
	rtt      time.Duration // smoothed
	err      string        // of the last of failures
	checks   *checks       // under way, or nil
}

// checks is the goroutine that checks a server.
type checks struct {
	cancel  context.CancelFunc // ends it
	decided <-chan struct{}    // closed when the first check has shown something
	decide  context.CancelFunc
}

func (h *health) status() ServerStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	return ServerStatus{Down: h.down, Since: h.since, Failures: h.failures, Queries: h.queries, RTT: h.rtt, Err: h.err}
}

func (h *health) isDown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

// asked counts a query, and returns the count of replies before it.
func (h *health) asked() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queries++
	return h.answers
}

// answered notes a readable reply of any kind: the server is alive.
func (h *health) answered(took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers++
	h.failures, h.err = 0, ""
	h.down, h.since = false, time.Time{}
	h.endChecks()
	if h.rtt == 0 {
		h.rtt = took
		return
	}
	h.rtt += (took - h.rtt) / 8 // the gain of RFC 6298, Section 2
}

// failed notes a query without a readable reply, and reports whether there was
// none to any other query since that one began.
func (h *health) failed(seen uint64, err *Error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures++
	h.err = err.Kind.String()
	if err.Err != nil {
		h.err += ": " + err.Err.Error()
	}
	return h.answers == seen
}

// retire ends the checks of a server that is in no list any more.
func (h *health) retire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retired = true
	h.endChecks()
}

// endChecks ends the checks under way; h.mu is held.
func (h *health) endChecks() {
	if h.checks != nil {
		h.checks.cancel()
		h.checks = nil
	}
}

// begin makes checks under ctx and the context that ends them, or returns nil
// when there are some or none are wanted.
func (h *health) begin(ctx context.Context) (context.Context, *checks) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checks != nil || h.retired {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	first, decide := context.WithCancel(ctx)
	h.checks = &checks{cancel: cancel, decided: first.Done(), decide: decide}
	return ctx, h.checks
}

// judge notes that a check failed, and reports whether to go on checking. A
// failure of this host proves nothing about the server.
func (h *health) judge(c *checks, err *Error, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checks != c {
		return false // a reply has ended them
	}
	if err.Kind.suspicious() && !h.down {
		h.down, h.since = true, now
	}
	c.decide()
	return h.down
}

// end is the end of checks.
func (h *health) end(c *checks) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.cancel()
	if h.checks == c {
		h.checks = nil
	}
}

// settled waits until the first check under way, if any, has shown whether the
// server is alive.
func (h *health) settled(ctx context.Context) {
	h.mu.Lock()
	c := h.checks
	h.mu.Unlock()
	if c == nil {
		return
	}
	select {
	case <-c.decided:
	case <-ctx.Done():
	}
}

// suspect checks a server that did not answer: whether it is dead, or only
// what it was asked cannot be resolved. Mail chooses the names that are looked
// up, and a stranger's silent domain must not take our servers away.
func (r *Resolver) suspect(s *server) {
	ctx, c := s.begin(r.ctx)
	if c == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		c.cancel()
		return
	}
	r.wg.Go(func() { r.check(ctx, s, c) })
}

// check sends check queries to a server until it answers.
func (r *Resolver) check(ctx context.Context, s *server, c *checks) {
	defer s.end(c)
	for delay := firstRecheck; ; delay = min(2*delay, lastRecheck) {
		_, err := r.once(ctx, probe, s, rootNS)
		if err == nil || ctx.Err() != nil || !s.judge(c, err, r.now()) {
			return
		}
		select {
		case <-r.after(jitter(delay)):
		case <-ctx.Done():
			return
		}
	}
}

func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + recheckJitter*(2*rand.Float64()-1)))
}
