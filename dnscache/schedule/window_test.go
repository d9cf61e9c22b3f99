package schedule

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// use puts queries in flight.
func (w *window) use(n int) { w.held[Other] = n }

func TestWindowGrowsByAnswersAsTCPDoes(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newWindow(1000)
	if w.size != firstWindow {
		t.Fatalf("size = %d; want %d at first", w.size, firstWindow)
	}
	for range firstThreshold - firstWindow { // slow start: one for each answer
		w.use(w.size)
		w.answered(now)
	}
	if w.size != firstThreshold {
		t.Fatalf("size after slow start = %d; want %d", w.size, firstThreshold)
	}
	for range firstThreshold { // then one for each window
		w.use(w.size)
		w.answered(now)
	}
	if w.size != firstThreshold+1 {
		t.Errorf("size after a window full of answers = %d; want %d", w.size, firstThreshold+1)
	}
	w.use(w.size/2 - 1)
	for range 10 * w.size {
		w.answered(now)
	}
	if w.size != firstThreshold+1 {
		t.Errorf("size of a window that is not used = %d; want it as before", w.size)
	}
	small := newWindow(7)
	small.use(7)
	for range 100 {
		small.answered(now)
		small.proved(now)
	}
	if small.size != 7 {
		t.Errorf("size = %d; want the ceiling, 7", small.size)
	}
}

func TestWindowIsHalvedOnceForEachWindowOfQueries(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newWindow(1000)
	w.size = 400
	w.use(400)
	if !w.overflow(now.Add(-time.Second), now, 1) || w.size != 200 {
		t.Fatalf("size after an overflow = %d; want 200", w.size)
	}
	if w.overflow(now.Add(-time.Millisecond), now.Add(time.Second), 1) || w.size != 200 {
		t.Errorf("size after the overflow of a query sent before = %d; want 200 still", w.size)
	}
	if !w.overflow(now.Add(time.Millisecond), now.Add(time.Second), firstThreshold) || w.size != firstThreshold {
		t.Errorf("size after a later one = %d; want %d", w.size, firstThreshold)
	}
	if w.overflow(now.Add(time.Minute), now.Add(time.Minute), firstThreshold) || w.size != firstThreshold {
		t.Errorf("size = %d; want it not below what mail's lookups may lead to, %d", w.size, firstThreshold)
	}
	for w.size > 1 {
		before := w.size
		w.use(0)
		w.halve(now, 1)
		if w.size != before/2 && w.size != firstWindow/2 {
			t.Fatalf("size after %d = %d; want half of it", before, w.size)
		}
	}
	w.halve(now, 1)
	if w.size != 1 {
		t.Errorf("size = %d; want 1", w.size)
	}
}

func TestWindowStaysBelowWhereItOverflowed(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newWindow(1000)
	w.size = 160
	w.use(160)
	w.overflow(now, now, 1)
	grow := func(at time.Time) int {
		for range 100_000 {
			w.use(w.size)
			w.answered(at)
			w.proved(at)
		}
		return w.size
	}
	if got, want := grow(now), 160*kneePart/8; got != want {
		t.Errorf("size = %d; want it to grow to %d for %v", got, want, kneeMemory)
	}
	if got := grow(now.Add(kneeMemory)); got != 1000 {
		t.Errorf("size after %v = %d; want the ceiling", kneeMemory, got)
	}
}

func TestWindowOfADeadServerIsOneAndGrowsSoon(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newWindow(1000)
	w.collapse(now)
	if w.size != 1 {
		t.Fatalf("size = %d; want 1", w.size)
	}
	n := 0
	for ; w.size < firstThreshold/4; n++ {
		w.use(w.size)
		w.answered(now)
	}
	if n > 100 {
		t.Errorf("%d answers until the window is at %d; want at most 100", n, w.size)
	}
}

func TestWindowReserveIsForClassAuthor(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		about               string
		size, other, author int
		lost                int // of author
		cut                 bool
		wantOther, wantAuth int
	}{
		{"an empty window", 50, 0, 0, 0, false, 25, 50},
		{"others have their part", 50, 25, 0, 0, false, 0, 25},
		{"authors have the reserve", 50, 0, 25, 0, false, 25, 25},
		{"authors have more", 50, 0, 40, 0, false, 10, 10},
		{"full", 50, 20, 30, 0, false, 0, 0},
		{"just halved, others overhang", 50, 100, 0, 0, true, 0, 25},
		{"just halved, authors overhang", 50, 0, 100, 0, true, 0, 0},
		{"just halved, and all were given up", 50, 0, 100, 100, true, 0, 50/lanePart + 1},
		{"given up long after the last overflow", 50, 0, 50, 50, false, 0, 0},
		{"a window of one", 1, 0, 0, 0, true, 1, 1},
		{"a window of one, taken by others", 1, 1, 0, 0, true, 0, 1},
		{"a window of one, taken by authors", 1, 0, 1, 0, true, 0, 0},
	} {
		w := newWindow(1000)
		w.size, w.held, w.lost[Author] = tt.size, [classes]int{tt.other, tt.author}, tt.lost
		if tt.cut {
			w.lastCut = now
		}
		if o, a := w.free(Other, now), w.free(Author, now); o != tt.wantOther || a != tt.wantAuth {
			t.Errorf("%s: free for others %d, for authors %d; want %d and %d", tt.about, o, a, tt.wantOther, tt.wantAuth)
		}
	}
}

func TestWindowIgnoresEvidenceOfFewZones(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		about      string
		zones, bad int // failures in turn of so many zones
		good       int
		pause      time.Duration // between failures
		want       bool
	}{
		{"one lame domain", 1, 1000, 0, 0, false},
		{"two", 2, 1000, 0, 0, false},
		{"many at once", 3, 3, 0, 0, true},
		{"many beside many more that are answered", 50, 50, 1000, 0, false},
		{"many beside some that are answered", 50, 50, 60, 0, true},
		{"many, but not at once", 50, 50, 0, evidenceTime / 2, false},
	} {
		var e evidence
		at, got := now, false
		for range tt.good {
			e.note("good", false, at)
		}
		for i := range tt.bad {
			got = e.note(fmt.Sprint(i%tt.zones), true, at) || got
			at = at.Add(tt.pause)
		}
		if got != tt.want {
			t.Errorf("%s: overflow = %v; want %v", tt.about, got, tt.want)
		}
	}
}

// Whatever happens, a window stays between one and its ceiling.
func TestWindowKeepsItsBounds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		ceiling := 1 + rnd.IntN(300)
		w, now := newWindow(ceiling), time.Unix(1000, 0)
		for range 500 {
			now = now.Add(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			w.held = [classes]int{rnd.IntN(ceiling + 1), rnd.IntN(ceiling + 1)}
			switch rnd.IntN(5) {
			case 0:
				w.overflow(now, now, 1+rnd.IntN(100))
			case 1:
				w.collapse(now)
			case 2:
				w.proved(now)
			default:
				w.answered(now)
			}
			if w.size < 1 || w.size > ceiling || w.free(Other, now) < 0 || w.free(Author, now) < 0 || w.reserve() < 1 {
				t.Fatalf("%+v; want a size from 1 to %d", w, ceiling)
			}
		}
	}
}
