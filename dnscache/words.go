package dnscache

import (
	"errors"
	"fmt"
	"time"

	"dmarcgate/term"
)

// State is how old an entry is, and how long it may still be used.
func (e Entry) State() string {
	state := ages(e.Age, e.TTL)
	if e.AD {
		state += ", AD"
	}
	if e.Stale {
		state += ", stale"
	}
	return state
}

// HasAnswer reports whether an entry holds an answer, and not only a failure.
func (e Entry) HasAnswer() bool {
	return e.Failure == "" || e.Stale || e.NXDomain || len(e.Records) > 0
}

// String is the answer or the failure of an entry with its state, printable on
// one line.
func (e Entry) String() string {
	state := " (" + e.State() + ")"
	if !e.HasAnswer() {
		return term.Printable(e.Failure) + state
	}
	words := term.FoundWords(e.Records, e.NXDomain) + state
	if e.Failure != "" {
		words += "; the last lookup failed: " + term.Printable(e.Failure)
	}
	return words
}

// State is how the cache served a lookup, and how old its answer is.
func (l Lookup) State() string {
	state := l.Outcome
	if l.Err == nil || l.Stale() {
		state += ", " + ages(l.Age, l.TTL)
	}
	if l.AD {
		state += ", AD"
	}
	return state
}

// Stale reports whether a lookup that failed has a stale answer all the same.
func (l Lookup) Stale() bool {
	var stale *StaleError
	return errors.As(l.Err, &stale)
}

func ages(age, ttl time.Duration) string {
	return fmt.Sprintf("age %s, TTL %s", age.Round(time.Second), ttl.Round(time.Second))
}
