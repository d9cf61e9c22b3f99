package dnstest

import (
	"testing"
	"time"
)

// Timers stand in for time.After: a test sees who waits for how long, and ends the
// wait.
type Timers struct{ started chan Timer }

// Timer is one wait.
type Timer struct {
	D time.Duration // how long
	c chan time.Time
}

// NewTimers returns timers of which none has started. At most 100 can be started
// before Next takes them.
func NewTimers() *Timers { return &Timers{started: make(chan Timer, 100)} }

// After starts a timer.
func (f *Timers) After(d time.Duration) <-chan time.Time {
	timer := Timer{d, make(chan time.Time, 1)}
	f.started <- timer
	return timer.c
}

// Next returns the timer that was started first, and waits up to a minute for one.
func (f *Timers) Next(t testing.TB) Timer {
	t.Helper()
	select {
	case timer := <-f.started:
		return timer
	case <-time.After(time.Minute):
		t.Fatal("no timer is started")
		return Timer{}
	}
}

// Started returns how many timers Next has not taken.
func (f *Timers) Started() int { return len(f.started) }

// Fire ends the wait.
func (f Timer) Fire() { f.c <- time.Time{} }
