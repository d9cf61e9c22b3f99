package results

import (
	"math/rand/v2"
	"testing"
	"time"
)

var today = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// host is the clock of a host and its monotonic clock.
type host struct {
	right   time.Time // what the clock should say
	ahead   time.Duration
	elapsed time.Duration // since the start of the process
}

func (h *host) now() time.Time { return h.right.Add(h.ahead) }

func (h *host) pass(d time.Duration) { h.right, h.elapsed = h.right.Add(d), h.elapsed+d }

const month = 31 * 24 * time.Hour

// Whatever the clock does, a cut-off is never after what the clock says, never
// moves faster than a day an hour, and gets where it should be.
func TestPaceIsNeverFasterThanADayAnHour(t *testing.T) {
	const retention = 30 * 24 * time.Hour
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		h := host{right: today}
		p := NewPace(h.right.Add(-retention), h.right.Add(-retention), 0)
		oldest := h.right.Add(-retention)
		for range 200 {
			high, before, step := p.High, p.From, time.Duration(r.Int64N(int64(2*time.Hour)))
			h.pass(step)
			if r.IntN(3) == 0 {
				h.ahead = time.Duration(r.Int64N(int64(4*month))) - 2*month
			}
			target := h.now().Add(-retention)
			cut := p.Cut(target, oldest, h.elapsed)
			if free := earlier(high, oldest); cut.After(target) || cut.After(free) && cut.Sub(later(before, free)) > 24*step || cut != p.From || p.High.Before(high) {
				t.Fatalf("seed %d: cut-off moved from %v to %v in %v; the clock says %v", seed, before, cut, step, target)
			}
		}
		h.ahead = 0
		h.pass(200 * time.Hour) // more than what 60 days take
		if cut, want := p.Cut(h.right.Add(-retention), oldest, h.elapsed), h.right.Add(-retention); !cut.Equal(want) {
			t.Fatalf("seed %d: cut-off = %v, long after the clock is right; want %v", seed, cut, want)
		}
	}
}

func TestClockWatchTellsJumpsOfAnHour(t *testing.T) {
	for _, tt := range []struct {
		name        string
		wall, since time.Duration
		want        time.Duration
	}{
		{"nothing", 10 * time.Second, 10 * time.Second, 0},
		{"half an hour ahead", 30 * time.Minute, time.Second, 0},
		{"an hour ahead", time.Hour + time.Second, time.Second, time.Hour},
		{"a month ahead", month + time.Second, time.Second, month},
		{"a month back", time.Second - month, time.Second, -month},
		{"a host that slept for two days", 48 * time.Hour, time.Minute, 48*time.Hour - time.Minute},
		{"a round that came two days late", 48 * time.Hour, 48 * time.Hour, 0},
	} {
		var w ClockWatch
		if got := w.Jump(today, time.Hour); got != 0 {
			t.Errorf("%s: Jump() at first = %v; want 0", tt.name, got)
		}
		if got := w.Jump(today.Add(tt.wall), time.Hour+tt.since); got != tt.want {
			t.Errorf("%s: Jump() = %v; want %v", tt.name, got, tt.want)
		}
		if got := w.Jump(today.Add(tt.wall+time.Second), time.Hour+tt.since+time.Second); got != 0 {
			t.Errorf("%s: Jump() after it = %v; want 0", tt.name, got)
		}
	}
	// The monotonic reading of a time must not hide that the wall clock was set.
	var w ClockWatch
	now := time.Now()
	w.Jump(now, 0)
	if got := w.Jump(now.Add(month), 0); got != month {
		t.Errorf("Jump() of times with monotonic readings = %v; want %v", got, month)
	}
}
