package milter

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"dmarcgate/metrics"
)

const (
	// freeHeader is how much of a header is not counted: ordinary mail never
	// waits for the mail of others. It is twice the longest header that
	// Sendmail takes by default (MaxHeadersLength, 32 KiB), whose patience with
	// a filter that does not read may be shorter than headerPatience.
	freeHeader = 64 << 10
	// headerPatience is how long a message waits for memory. Postfix waits
	// 300 s for a filter that does not read (milter_content_timeout).
	headerPatience = 30 * time.Second
	// headerRate is how many bytes per second all headers beyond freeHeader may
	// grow together: 16 of the largest. Our choice, about a fifth of what one
	// processor can take in. Without it, a hundred sessions that always have a
	// frame to read keep all processors busy, and ordinary mail waits for them:
	// p99 of 1 ms became 280 ms.
	headerRate = 64 << 20
	// leastSlow is the shortest wait for headerRate: a timer for each of 70,000
	// small fields would cost more than the fields. Our choice.
	leastSlow = time.Millisecond
	// headerLogEvery is the shortest time between two log lines that say that
	// messages wait: our choice, against a log as long as an attack.
	headerLogEvery = time.Minute
)

// errHeaderMemory refuses a header for which there is no memory.
var errHeaderMemory = errors.New("no memory for the header")

// HeaderMemory bounds the memory that the headers of all messages take
// together, over all servers that share it. A session whose message has to
// wait reads no further, so that the MTA waits, too.
//
// The smallest message that waits goes first: a large header is rarer, and
// more often meant to do harm. The oldest of the messages that have taken
// memory is never made to wait, so at least one comes to its end; the memory
// in use can be above the limit by what that one takes. When a message has
// waited for 30 seconds in all, larger ones that wait are refused until there
// is enough for it; without a larger one it is refused itself.
//
// Large headers grow by 64 MiB per second together. A nil HeaderMemory has no
// limit.
type HeaderMemory struct {
	limit    int64
	patience time.Duration
	rate     int64 // headerRate
	metrics  *metrics.Metrics
	log      *slog.Logger

	mu      sync.Mutex
	used    int64
	claims  []*claim // those that have taken memory or wait for it, oldest first
	waiting int
	told    time.Time // when it was logged that messages wait
	pace    time.Time // when the next header may grow
}

// NewHeaderMemory returns memory of limit bytes. m and log may be nil.
func NewHeaderMemory(limit int64, m *metrics.Metrics, log *slog.Logger) *HeaderMemory {
	if log == nil {
		log = slog.Default()
	}
	return &HeaderMemory{limit: limit, patience: headerPatience, rate: headerRate, metrics: m, log: log}
}

// claim is the part of one message. Its zero value has taken nothing.
type claim struct {
	held    int64
	want    int64      // more than that; 0 unless it waits
	settled chan error // of the last wait: nil, or errHeaderMemory; nil before the first growth
	waited  time.Duration
}

// grow takes memory for a header that will cost that many bytes in all. When
// there is not enough it waits. The error is errHeaderMemory, or the cause of
// ctx; the claim is empty then.
func (m *HeaderMemory) grow(ctx context.Context, c *claim, cost int, listener string) error {
	n := int64(cost) - freeHeader - c.held
	if m == nil || n <= 0 {
		return nil
	}
	if !m.take(c, n) {
		m.metrics.HeaderWaits(listener)
		m.say(listener)
		if err := m.wait(ctx, c); err != nil {
			return err
		}
	}
	return m.slow(ctx, n)
}

// slow waits until n more bytes keep to headerRate.
func (m *HeaderMemory) slow(ctx context.Context, n int64) error {
	if m == nil {
		return nil
	}
	wait := m.turn(time.Now(), n)
	if wait < leastSlow {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// turn returns how long n bytes have to wait for those before them.
func (m *HeaderMemory) turn(now time.Time, n int64) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	wait := max(0, m.pace.Sub(now))
	m.pace = now.Add(wait + time.Duration(n)*time.Second/time.Duration(m.rate))
	return wait
}

// take takes n bytes, or has c wait for them.
func (m *HeaderMemory) take(c *claim, n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.held == 0 {
		m.claims = append(m.claims, c)
	}
	c.want, c.settled = n, make(chan error, 1)
	m.waiting++
	m.settle()
	return c.want == 0
}

// say logs that messages wait.
func (m *HeaderMemory) say(listener string) {
	m.mu.Lock()
	now, used, waiting := time.Now(), m.used, m.waiting
	quiet := now.Sub(m.told) < headerLogEvery
	if !quiet {
		m.told = now
	}
	m.mu.Unlock()
	if !quiet {
		m.log.Warn("limits.header_memory exhausted; messages with large headers are waiting", "listener", listener,
			"limit", m.limit, "used", used, "waiting", waiting)
	}
}

// wait waits until c gets what it wants, its time is over, or ctx is done.
func (m *HeaderMemory) wait(ctx context.Context, c *claim) error {
	began := time.Now()
	defer func() { c.waited += time.Since(began) }()
	timer := time.NewTimer(m.patience - c.waited)
	defer timer.Stop()
	select {
	case err := <-c.settled:
		return err
	case <-ctx.Done():
		m.release(c)
		return context.Cause(ctx)
	case <-timer.C:
		m.expire(c)
		return <-c.settled
	}
}

// expire ends the wait of c: those that wait and have taken the most are refused
// until it has what it wants. When none has taken more than c itself, c is.
func (m *HeaderMemory) expire(c *claim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c.want > 0 {
		victim := m.largest()
		if victim.held <= c.held {
			victim = c
		}
		m.drop(victim, errHeaderMemory)
		m.settle()
	}
}

// release gives back what c has taken, at the end of its message, and ends its
// wait.
func (m *HeaderMemory) release(c *claim) {
	if m == nil || c.settled == nil { // it has never asked
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(c, context.Canceled)
	m.settle()
}

// drop forgets a claim. mu is held, as for all that follow.
func (m *HeaderMemory) drop(c *claim, why error) {
	waited := c.want > 0
	m.used -= c.held
	c.held, c.want = 0, 0
	m.claims = slices.DeleteFunc(m.claims, func(o *claim) bool { return o == c })
	if waited {
		m.waiting--
		c.settled <- why // its session may read c from here on
	}
}

// settle gives what it can to those that wait: to the oldest in any case, then
// to the smallest.
func (m *HeaderMemory) settle() {
	if len(m.claims) > 0 && m.claims[0].want > 0 {
		m.grant(m.claims[0])
	}
	for c := m.smallest(); c != nil && m.fits(c); c = m.smallest() {
		m.grant(c)
	}
	m.metrics.HeaderMemory(m.used, m.waiting)
}

func (m *HeaderMemory) grant(c *claim) {
	c.held += c.want
	m.used += c.want
	c.want = 0
	m.waiting--
	c.settled <- nil
}

func (m *HeaderMemory) fits(c *claim) bool { return m.used+c.want <= m.limit }

// smallest returns, of those that wait, the one that would be the smallest with
// what it wants, or nil.
func (m *HeaderMemory) smallest() *claim {
	return m.extreme(func(a, b *claim) bool { return a.held+a.want < b.held+b.want })
}

// largest returns, of those that wait, the one that has taken the most.
func (m *HeaderMemory) largest() *claim {
	return m.extreme(func(a, b *claim) bool { return a.held > b.held })
}

func (m *HeaderMemory) extreme(better func(a, b *claim) bool) *claim {
	var found *claim
	for _, c := range m.claims {
		if c.want > 0 && (found == nil || better(c, found)) {
			found = c
		}
	}
	return found
}
