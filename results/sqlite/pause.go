package sqlite

import (
	"math"
	"sync/atomic"
	"time"
)

// The bounds of a pause.
const (
	ackPause   = 4 * time.Millisecond  // answers wait for the commit
	asyncPause = 20 * time.Millisecond // no answer waits
)

// pause is what the writer waits after a commit before it looks into the queue
// again, so that the rows of a busy host share a transaction: one costs as much
// as ten rows, most of it for waking up and writing pages.
//
// How long is worth waiting follows from who waits for an answer. A caller hands
// over its next row only after the commit of the last one, so the rows of a group
// and those that came while it was written are of as many callers. The pause ends
// when so many rows wait again: nobody is known who could add one. A single
// caller never waits, and whoever comes beside it is noticed by the row that
// comes during a commit. When fewer rows come, the pause ends at its bound, which
// counts from the begin of the commit before. The next pause expects an eighth
// fewer: a moment without processor time makes a small group, and the callers
// are still there.
//
// So a row waits for others no longer than the bound, whatever they do, and one
// that comes later than that after the last commit does not wait at all.
type pause struct {
	most   time.Duration
	all    bool         // no caller waits for its commit: pauses are never cut short
	enough atomic.Int64 // how many rows in the queue end the pause
	wake   chan struct{}
	timer  *time.Timer

	callers int // how many are known; the writer's
}

// never is more rows than a queue has.
const never = math.MaxInt64

func newPause(durability Durability) *pause {
	p := &pause{most: ackPause, wake: make(chan struct{}, 1), timer: time.NewTimer(0)}
	if durability == Async {
		p.most, p.all = asyncPause, true
	}
	p.enough.Store(never)
	return p
}

// added tells that there are so many rows in the queue. The writer is woken up
// once, for the last row that it waits for: to wake up for each would cost what
// the pause saves.
func (p *pause) added(rows int) {
	if int64(rows) < p.enough.Load() {
		return
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// rest is the pause after a group of so many rows whose commit began then.
func (p *pause) rest(queue <-chan *op, begin time.Time, group int, closing <-chan struct{}) {
	left := p.most - time.Since(begin)
	p.callers = min(max(group+len(queue), p.callers*7/8), maxGroup, cap(queue))
	if left <= 0 || !p.all && p.callers <= 1 {
		return
	}
	if !p.all {
		select {
		case <-p.wake: // of an earlier pause
		default:
		}
		p.enough.Store(int64(p.callers))
		defer p.enough.Store(never)
		if len(queue) >= p.callers {
			return
		}
	}
	p.timer.Reset(left)
	defer p.timer.Stop()
	select {
	case <-p.timer.C:
	case <-p.wake:
	case <-closing:
	}
}
