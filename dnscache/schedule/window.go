package schedule

import "time"

// The window of a server follows the congestion control of TCP (RFC 5681): it
// grows by answers and is halved by overflow.
const (
	// firstWindow is how many queries may be in flight at a server that
	// nothing is known of. It is a third of the lowest default limit that we
	// know of a forwarder (dnsmasq, dns-forward-max: 150), and enough for some
	// 1,500 lookups a second at 30 ms each.
	firstWindow = 50

	// firstThreshold is where slow start ends at such a server (RFC 5681,
	// Section 3.1, ssthresh): below that limit of 150. What mail's own lookups
	// show never takes the window below it, as mail can be made to fail; only
	// a check query that failed does.
	firstThreshold = 100

	// leastThreshold is the least that the threshold falls to, so that a
	// server that comes back is used again soon.
	leastThreshold = 10

	// kneeMemory is how long the window keeps below the number of queries at
	// which the server last overflowed (kneePart of it). Without it each round
	// of growth would end in refused queries.
	kneeMemory = 10 * time.Minute

	// kneePart is the part of that number that may be used, in eighths.
	kneePart = 7

	// lanePart is the part of the window that class Author may use after an
	// overflow, whatever was given up.
	lanePart = 8

	// holdTime is for how long a query is taken to occupy the server when no
	// reply came: a forwarder waits for its own upstream longer than we wait
	// for it. It is counted from the sending. dnsmasq keeps a query for 10 s
	// (TIMEOUT in its config.h), and so does BIND (resolver-query-timeout).
	holdTime = 10 * time.Second

	// strainTime is for how long after an overflow a refusal or a timeout is
	// taken for a sign of it, rather than for the domain's doing.
	strainTime = 10 * time.Second
)

// window is how many queries may be in flight at a server, and how many are. It
// decides nothing by the clock but what it is told the time for. Its zero value
// is not ready; make it with newWindow.
type window struct {
	ceiling   int // of Scheduler.NewServer
	size      int
	threshold int // slow start below, additive growth from there on
	credit    int // answers since the last growth in additive growth
	knee      int // in flight at the last overflow
	kneeUntil time.Time
	lastCut   time.Time
	held      [classes]int // queries in flight or given up, by class
	lost      [classes]int // of held, those given up
	waste     []waste      // the same, the oldest first, with some that are free already
}

// waste is a place at a server that a query holds after it was given up.
type waste struct {
	until time.Time
	place *Place
}

func newWindow(ceiling int) window {
	return window{ceiling: ceiling, size: min(firstWindow, ceiling), threshold: firstThreshold}
}

// used returns how many places are taken.
func (w *window) used() int { return w.held[Other] + w.held[Author] }

// reserve is the part of the window that class Other never takes.
func (w *window) reserve() int { return max(1, w.size/2) }

// capacity is how many places a class may have at most.
func (w *window) capacity(c Class) int {
	if c == Author {
		return w.size
	}
	return max(1, w.size-w.reserve())
}

// free is how many more queries of a class may be sent. The reserve of class
// Author is not consumed by what others hold, not even just after the window
// was halved. Nor is a small lane of it then by queries that were given up: the
// server may have dropped them, and there would be no place for all of holdTime.
func (w *window) free(c Class, now time.Time) int {
	left := w.size - w.used()
	if c == Other {
		return max(0, min(left, w.capacity(Other)-w.held[Other]))
	}
	free := max(0, left, w.reserve()-w.held[Author])
	if w.overflowed(now) {
		free = max(free, w.size/lanePart+1-(w.held[Author]-w.lost[Author]))
	}
	return free
}

// answered lets the window grow, if it was in use (RFC 7661 has the reason why
// an unused window tells nothing): by one for each answer in slow start, then
// by one for each window full of them (RFC 5681, Section 3.1).
func (w *window) answered(now time.Time) {
	if 2*w.used() < w.size || w.size >= w.limit(now) {
		return
	}
	if w.size < w.threshold {
		w.size++
		return
	}
	if w.credit++; w.credit >= w.size {
		w.size, w.credit = w.size+1, 0
	}
}

// proved lets the window grow because a check query was answered while it was
// full: to twice its size in slow start, then by one. Mail's lookups may all be
// for names that are never answered; a window that grows by answers alone would
// stay full of them.
func (w *window) proved(now time.Time) {
	limit := w.limit(now)
	switch {
	case 2*w.used() < w.size || w.size >= limit:
	case w.size < w.threshold:
		w.size = min(2*w.size, w.threshold, limit)
	default:
		w.size++
	}
}

// limit is what the window may grow to.
func (w *window) limit(now time.Time) int {
	if now.Before(w.kneeUntil) {
		return min(w.ceiling, max(1, w.knee*kneePart/8))
	}
	return w.ceiling
}

// overflow halves the window, or what is used of a larger one (RFC 5681, Section
// 3.1, FlightSize), but not below least, when the query that shows it
// was sent after the last time: the queries of one window are one sign (RFC
// 5681, Section 3.2; RFC 6582). It reports whether that is so.
func (w *window) overflow(sent, now time.Time, least int) bool {
	if !w.lastCut.IsZero() && !sent.After(w.lastCut) {
		return false
	}
	if w.size <= least {
		return false
	}
	w.halve(now, least)
	return true
}

// halve halves the window whatever was before.
func (w *window) halve(now time.Time, least int) {
	used := min(w.size, w.used())
	half := max(1, min(w.size, max(used, firstWindow))/2, min(least, w.size))
	if used >= firstWindow {
		w.knee, w.kneeUntil = used, now.Add(kneeMemory)
	}
	w.threshold = max(half, leastThreshold)
	w.size, w.credit, w.lastCut = min(half, w.ceiling), 0, now
}

// collapse is for a server that is silent altogether: one query at a time (RFC
// 5681, Section 3.1, the loss window), until it answers.
func (w *window) collapse(now time.Time) {
	w.threshold = max(w.size/2, leastThreshold)
	w.size, w.credit, w.lastCut = 1, 0, now
}

// strained reports whether the server overflowed a short time ago, or may well
// overflow now.
func (w *window) strained(now time.Time) bool {
	return w.used() > firstWindow || w.overflowed(now)
}

func (w *window) overflowed(now time.Time) bool {
	return !w.lastCut.IsZero() && now.Sub(w.lastCut) < strainTime
}

// evidence collects what replies to mail's lookups tell about the load of a
// server, for evidenceTime at a time. One domain that fails tells nothing, and
// many that fail beside many more that do not tell little.
type evidence struct {
	since   time.Time
	replies int // of any kind, and timeouts
	bad     int // refusals, SERVFAIL and timeouts among them
	zones   [zonesOfProof]string
	seen    int // zones in use
}

const (
	evidenceTime = time.Second

	// zonesOfProof is how many zones must fail within evidenceTime before a
	// server may be taken to overflow.
	zonesOfProof = 3

	// badPart is the part of the replies that must be failures.
	badPart = 4
)

// note counts a reply, and reports whether the server seems to overflow.
func (e *evidence) note(zone string, bad bool, now time.Time) bool {
	if now.Sub(e.since) >= evidenceTime || now.Before(e.since) {
		*e = evidence{since: now}
	}
	e.replies++
	if !bad {
		return false
	}
	e.bad++
	e.add(zone)
	return e.seen == zonesOfProof && e.bad*badPart >= e.replies
}

func (e *evidence) add(zone string) {
	for _, z := range e.zones[:e.seen] {
		if z == zone {
			return
		}
	}
	if e.seen < zonesOfProof {
		e.zones[e.seen] = zone
		e.seen++
	}
}
