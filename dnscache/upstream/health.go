package upstream

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"dmarcgate/dnscache/schedule"
	"dmarcgate/dnscache/wire"

	"github.com/miekg/dns"
)

const (
	// firstRecheck and lastRecheck are how long a dead server is left alone
	// between two check queries: each time twice as long. The longest is what
	// a server that is back waits for its work. One that refuses is queried
	// after firstRecheck until its window is at one.
	firstRecheck = 500 * time.Millisecond
	lastRecheck  = 5 * time.Second

	// recheckJitter is the part by which these times differ at random, so
	// that several hosts do not ask in step.
	recheckJitter = 0.2

	// checkSpacing is the least time between two checks that refusals of mail's
	// lookups cause, or a full window: a sender may arrange any number of them.
	checkSpacing = 100 * time.Millisecond

	// proofTime is for how long every server must have failed every check
	// query, with its window at one, before a failure is ours: mail goes on
	// then without a verdict, and nothing that a sender does may lead there.
	proofTime = 30 * time.Second

	// refusingTime is for how long a server is shown as refusing after the
	// last time that it overflowed or refused a check query.
	refusingTime = time.Minute
)

// rootNS is the question of check queries and probes.
var rootNS = wire.Question{Type: dns.TypeNS}

// health is what is known of a server. That of a server not queried yet says
// that it is up. Make it with newHealth.
type health struct {
	sched *schedule.Server // its places

	mu       sync.Mutex
	retired  bool // in no list any more
	down     bool // by silence, or it refuses everything for proofTime
	refuses  bool // down for the latter reason
	since    time.Time
	answered uint64 // readable replies
	queries  uint64
	failures int           // since the last readable reply
	rtt      time.Duration // smoothed
	err      string        // of the last of failures
	checks   *checks       // under way, or nil
	lastTime time.Time     // of a check

	failing bool      // the last check query failed, and nothing was answered since
	atOne   time.Time // since when, with the window at one; zero when not

	refusing  time.Time // since when it refuses, with pauses of less than refusingTime; zero when it does not
	refusedAt time.Time // the last time
	refusal   string    // what it did then

	plainUntil time.Time // names are sent in lower case so long
	recased    int       // replies in another case since the last that was not, or since TCP told
}

func newHealth(s *schedule.Server) *health { return &health{sched: s} }

// checks is the goroutine that checks a server.
type checks struct {
	over    context.Context // done when there is no more to check
	end     context.CancelFunc
	cancel  context.CancelFunc // gives up the check query under way, too
	decided <-chan struct{}    // closed when the first check has shown something
	decide  context.CancelFunc
}

// isDown reports whether the server is passed over.
func (h *health) isDown() bool { return h.sched.Down() }

// strained reports whether the server overflowed a short time ago.
func (h *health) strained() bool { return h.sched.Strained() }

// setDown marks the server; h.mu is held.
func (h *health) setDown(down, refuses bool, now time.Time) {
	if down && !h.down {
		h.since = now
	}
	if !down {
		h.since = time.Time{}
	}
	h.down, h.refuses = down, refuses
	h.sched.SetDown(down)
}

// queried counts a query, and returns the count of replies before it.
func (h *health) queried() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queries++
	return h.answered
}

// replied notes a readable reply: the server is alive. useful is one that
// answers, which shows that it does not refuse everything either.
func (h *health) replied(took time.Duration, useful bool) (back bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answered++
	h.failures, h.err = 0, ""
	if useful {
		h.failing, h.atOne = false, time.Time{}
	}
	if h.down && (useful || !h.refuses) {
		h.setDown(false, false, time.Time{})
		back = true
	}
	if useful {
		h.endChecks()
	}
	if h.rtt == 0 {
		h.rtt = took
		return back
	}
	h.rtt += (took - h.rtt) / 8 // the gain of RFC 6298, Section 2
	return back
}

// failed notes a query without a readable reply, and reports whether there was
// none to any other query since that one began.
func (h *health) failed(seen uint64, err *Error) bool {
	if !suspicious(err.Kind) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures++
	h.err = reason(err)
	return h.answered == seen
}

func reason(err *Error) string {
	if err.Err == nil {
		return err.Kind.String()
	}
	return err.Kind.String() + ": " + err.Err.Error()
}

// answers reports whether the server, as far as is known, answers somebody.
func (h *health) answers() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.failing
}

// proven reports whether the server has failed every check query for
// proofTime, with its window at one, and has answered nothing else.
func (h *health) proven(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.provenAt(now)
}

func (h *health) provenAt(now time.Time) bool {
	return h.failing && !h.atOne.IsZero() && now.Sub(h.atOne) >= proofTime
}

// refused notes that the server refuses or overflows.
func (h *health) refused(how string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refusedNow(how, now)
}

func (h *health) refusedNow(how string, now time.Time) {
	if h.refusing.IsZero() || now.Sub(h.refusedAt) >= refusingTime {
		h.refusing = now
	}
	h.refusedAt, h.refusal = now, how
}

// mixes reports whether names are sent in mixed case.
func (h *health) mixes(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !now.Before(h.plainUntil)
}

// noteCase notes what the server does with the case of letters: whether a
// datagram came in another case, and whether the same over TCP, if that was
// possible. Only TCP is a proof at once: a datagram may be forged.
func (h *health) noteCase(datagram, overTCP, tcp bool, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case overTCP && !tcp:
		h.recased = 0
	case overTCP:
		h.recased = maxRecased
	case datagram:
		h.recased++
	}
	if h.recased >= maxRecased {
		h.recased, h.plainUntil = 0, now.Add(caseTime)
	}
}

// retire ends the checks of a server that is in no list any more.
func (h *health) retire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retired = true
	if h.checks != nil {
		h.checks.cancel()
		h.checks = nil
	}
}

// endChecks ends the checks under way, but for the query that is in flight: it
// may show that the server overflows. h.mu is held.
func (h *health) endChecks() {
	if h.checks != nil {
		h.checks.end()
		h.checks = nil
	}
}

// begin makes checks under ctx and the context of their queries, or returns
// nil when there are some, none are wanted, or the last one because of kind was
// a moment ago.
func (h *health) begin(ctx context.Context, kind wire.Kind, now time.Time) (context.Context, *checks) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checks != nil || h.retired || !suspicious(kind) && now.Sub(h.lastTime) < checkSpacing {
		return nil, nil
	}
	h.lastTime = now
	ctx, cancel := context.WithCancel(ctx)
	over, end := context.WithCancel(ctx)
	first, decide := context.WithCancel(over)
	h.checks = &checks{over: over, end: end, cancel: cancel, decided: first.Done(), decide: decide}
	return ctx, h.checks
}

// checked is what a failed check query was.
type checked struct {
	err   *Error
	dead  bool // no reply to any query since it was sent
	atOne bool // the window of the server is at one
}

// evaluate notes that a check query failed, and reports whether to go on checking.
// A failure of this host proves nothing about the server.
func (h *health) evaluate(c *checks, got checked, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	mine := h.checks == c
	if got.err.Kind == wire.Local || got.err.Kind == wire.Internal {
		c.decide()
		return mine && (h.down || h.failing)
	}
	if !got.dead {
		h.refusedNow(reason(got.err), now)
	}
	if !mine {
		return false // an answer has ended them
	}
	h.failing = true
	if got.atOne && h.atOne.IsZero() {
		h.atOne = now
	}
	switch {
	case got.dead:
		h.setDown(true, false, now)
	case h.provenAt(now):
		h.setDown(true, true, now)
	}
	c.decide()
	return true
}

// finish is the end of checks.
func (h *health) finish(c *checks) {
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

// suspect checks a server that did not answer: whether it is dead or refuses
// everything, or only what it was queried cannot be resolved. Mail chooses the
// names that are looked up, and a third party's silent domain must not take our
// servers away.
func (pool *Pool) suspect(s *server, kind wire.Kind) {
	ctx, c := s.begin(pool.ctx, kind, pool.now())
	if c == nil {
		return
	}
	pool.mu.Lock()
	defer pool.mu.Unlock()
	if pool.closed {
		c.cancel()
		return
	}
	pool.wg.Go(func() { pool.check(ctx, s, c) })
}

// full checks a server of which lookups of class Author wait for a place, if it
// is in use still.
func (pool *Pool) full(at *schedule.Server) {
	for _, s := range *pool.servers.Load() {
		if s.sched == at {
			pool.suspect(s, wire.Pressure)
		}
	}
}

// check sends check queries to a server until it answers.
func (pool *Pool) check(ctx context.Context, s *server, c *checks) {
	defer s.finish(c)
	for delay := firstRecheck; ; {
		atOne, on := pool.checkOnce(ctx, s, c)
		if !on {
			return
		}
		select {
		case <-pool.after(jitter(delay)):
		case <-c.over.Done():
			return
		}
		if atOne {
			delay = min(2*delay, lastRecheck)
		}
	}
}

// checkOnce sends one check query, and reports whether the window of the server
// is at one and whether to send more.
func (pool *Pool) checkOnce(ctx context.Context, s *server, c *checks) (atOne, on bool) {
	seen := s.replies()
	l := &Lookup{Request: Request{Purpose: probe, Question: rootNS}}
	_, err := pool.once(ctx, l, s, nil)
	if err == nil {
		s.sched.CheckAnswered()
	}
	if err == nil || ctx.Err() != nil {
		return false, false
	}
	got := checked{err: err, dead: suspicious(err.Kind) && s.replies() == seen}
	if err.Kind != wire.Local && err.Kind != wire.Internal {
		got.atOne = s.sched.CheckFailed(got.dead)
	}
	on = s.evaluate(c, got, pool.now())
	if s.isDown() {
		pool.sched.FailStranded()
	}
	return got.atOne, on
}

func (h *health) replies() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.answered
}

func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + recheckJitter*(2*rand.Float64()-1)))
}
