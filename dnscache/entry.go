package dnscache

import (
	"sync/atomic"
	"time"
)

// entry is what the cache holds of a question: the last answer, a failure to
// get one, or both. Only its slot ever changes; news are a new entry.
type entry struct {
	answer        // its ttl is 0 when there is none, or none that may be kept
	expires int64 // when the answer is no longer fresh, by the resolver's clock
	failed  *remembered
	slot    atomic.Pointer[slot]

	// parses: who queried first will fill the slot, which is weighed beforehand.
	parses bool

	// settled: the server gave the answer that it had given before, with what
	// was left of its TTL. To ask it ahead of time once more is of no use.
	settled bool
}

// remembered is a lookup that brought nothing, kept in mind so that nobody repeats
// it at once (RFC 9520).
type remembered struct {
	err       error
	at, until int64
}

// slot is what a reader made of the records.
type slot struct {
	purpose Purpose
	value   any
}

// newEntry dates an answer, with its TTL under our ceilings. An answer with TTL 0 serves those who wait for it
// and nobody else (RFC 1035, Section 3.2.1), unless the floor lifts it.
func newEntry(cfg Config, a *answer, now int64) *entry {
	e := &entry{answer: *a}
	if a.Empty() {
		e.TTL = min(a.TTL, cfg.MaxNegativeTTL)
	} else {
		e.TTL = max(min(a.TTL, cfg.MaxTTL), min(cfg.MinTTL, cfg.MaxTTL))
	}
	e.TTL = max(e.TTL, 0)
	e.expires = now + int64(e.TTL)
	return e
}

// withFailure is the entry beside a failure of now; old may be nil.
func (old *entry) withFailure(f *remembered) *entry {
	if !old.known() {
		return &entry{failed: f}
	}
	e := &entry{answer: old.answer, expires: old.expires, settled: old.settled, parses: old.parses, failed: f}
	e.slot.Store(old.slot.Load())
	return e
}

// known reports whether there is an answer, fresh or stale. Like its
// neighbours it may be queried of nil.
func (e *entry) known() bool { return e != nil && e.TTL > 0 }

func (e *entry) fresh(now int64) bool { return e.known() && now < e.expires }

func (e *entry) failing(now int64) bool {
	return e != nil && e.failed != nil && now < e.failed.until
}

// age returns how long ago the answer was given.
func (e *entry) age(now int64) time.Duration {
	return max(0, time.Duration(now-e.expires)+e.TTL)
}

// left returns how long the answer stays fresh.
func (e *entry) left(now int64) time.Duration {
	if !e.known() {
		return 0
	}
	return max(0, time.Duration(e.expires-now))
}

// gone returns when the entry is of no more use: a failure when it is
// forgotten, an answer when it is no longer given even as a stale one.
func (e *entry) gone(cfg Config) int64 {
	switch {
	case !e.known():
		return e.failed.until
	case e.Empty():
		return e.expires + int64(cfg.StaleNegTTL)
	}
	return e.expires + int64(cfg.StaleTTL)
}

// hasSlot reports whether the slot is in use, or soon will be.
func (e *entry) hasSlot() bool { return e.parses || e.slot.Load() != nil }

// parsed returns what purpose has made of the records, or makes it. filled is
// true when that now is in the slot.
func (e *entry) parsed(p Purpose, parse func([]string) any) (value any, filled bool) {
	if s := e.slot.Load(); s != nil && s.purpose == p {
		return s.value, false
	}
	made := &slot{p, parse(e.Records)}
	if e.slot.CompareAndSwap(nil, made) {
		return made.value, true
	}
	if s := e.slot.Load(); s.purpose == p { // somebody was faster
		return s.value, false
	}
	return made.value, false
}
