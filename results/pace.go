package results

import "time"

// pacePerHour is how far a cut-off moves at most in an hour of monotonic time. A
// clock that is wrong for an hour costs the rows of one day at most; after a
// month without the daemon, what is too old is gone within 30 hours.
const pacePerHour = 24 * time.Hour

// Pace bounds how fast a cut-off moves: rows before it are deleted, or shortened,
// for good. The clock of a host may jump by weeks and come back. The monotonic
// clock does not, and is all that Pace goes by. The zero value has no cut-off yet:
// it begins with the oldest row that there is, or with what it is told.
type Pace struct {
	From  time.Time     // the cut-off as it was last
	High  time.Time     // the latest that it has been
	since time.Duration // monotonic time of From
}

// NewPace returns a Pace that goes on from a cut-off, at or before high.
func NewPace(from, high time.Time, elapsed time.Duration) Pace { return Pace{from, high, elapsed} }

// Cut moves the cut-off to target, or as far towards it as it may move, and
// returns it. It moves back as far as it is told: that deletes nothing. A clock
// that was at 1970 for a moment must not stop deletion for years, so it moves at
// once to where it has been, or to the oldest row if that is before: there is
// nothing in between.
func (p *Pace) Cut(target, oldest time.Time, elapsed time.Duration) time.Time {
	if p.From.IsZero() {
		*p = NewPace(earlier(target, oldest), earlier(target, oldest), elapsed)
	}
	most := p.From.Add((elapsed - p.since) * (pacePerHour / time.Hour))
	most = later(most, earlier(p.High, oldest))
	p.From, p.since = earlier(target, most), elapsed
	p.High = later(p.High, p.From)
	return p.From
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// MaxClockJump is the difference between clocks from which on it is told: time
// services correct by less, and a change to or from summer time is none.
const MaxClockJump = time.Hour

// ClockWatch finds jumps of a clock against monotonic time.
type ClockWatch struct {
	at    time.Time
	since time.Duration
}

// Jump returns how far the clock has jumped since the last call, ahead if it is
// positive; 0 when that is less than MaxClockJump, and for the first call.
func (w *ClockWatch) Jump(now time.Time, elapsed time.Duration) time.Duration {
	now = now.Round(0) // without its monotonic reading, which never jumps
	before := *w
	w.at, w.since = now, elapsed
	if before.at.IsZero() {
		return 0
	}
	return JumpOf(now.Sub(before.at) - (elapsed - before.since))
}

// JumpOf returns a difference between clocks, and 0 for a difference that is no jump.
func JumpOf(d time.Duration) time.Duration {
	if d.Abs() < MaxClockJump {
		return 0
	}
	return d
}
