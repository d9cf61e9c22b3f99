package dnscache

import (
	"fmt"
	"time"

	"dmarcgate/dnscache/upstream"
	"dmarcgate/dnscache/wire"
)

// Kind says how a lookup failed.
type Kind = wire.Kind

// What a Kind of an Error may be; the comments of wire say what each means.
const (
	ServFail  = wire.ServFail
	Refused   = wire.Refused
	Timeout   = wire.Timeout
	Network   = wire.Network
	Malformed = wire.Malformed
	Closed    = wire.Closed
	Bogus     = wire.Bogus
	Down      = wire.Down
	Internal  = wire.Internal
	Local     = wire.Local
	Pressure  = wire.Pressure
)

// Error is a lookup without a result. It is always temporary.
type Error = upstream.Error

// StaleError comes with an answer: the last that was known, past its TTL, given
// because no newer one could be had (RFC 8767). Whoever cannot say what a stale
// answer may decide takes it for the failure that it is, too.
type StaleError struct {
	Age time.Duration // since the answer was given
	Err error         // why there is no newer one: an *Error
}

// Error tells the failure, and that there is a stale answer.
func (e *StaleError) Error() string {
	return fmt.Sprintf("%v; an answer from %v ago was used", e.Err, e.Age.Round(time.Second))
}

// Unwrap returns the failure.
func (e *StaleError) Unwrap() error { return e.Err }

// Stale is true: there is an answer beside the error.
func (e *StaleError) Stale() bool { return true }
