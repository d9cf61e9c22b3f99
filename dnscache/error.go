package dnscache

import (
	"fmt"
	"strings"
	"time"

	"dmarcgate/dnscache/wire"

	"github.com/miekg/dns"
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

// absent reports whether the kind may mean that nobody is there at all.
func absent(k Kind) bool {
	switch k {
	case Refused, Timeout, Network, Closed, Down:
		return true
	}
	return false
}

// tells ranks failures by what they tell: nothing of our side, of this host,
// of a server that is alive.
func tells(k Kind) int {
	switch {
	case k == Local:
		return 1
	case absent(k):
		return 0
	}
	return 2
}

// suspicious reports whether a dead server fails like this.
func suspicious(k Kind) bool { return k == Timeout || k == Network || k == Malformed }

// retryable reports whether the same server, asked again, may well answer.
func retryable(k Kind) bool { return k == Timeout || k == Network }

// Error is a lookup without a result. It is always temporary.
type Error struct {
	Name, Type string // the question; Name is foreign text
	Kind       Kind
	Server     string // the server that Kind is about, "ip:port"; may be empty
	Err        error  // the cause below, or nil

	blame blame
}

// blame is whose fault a failed lookup is.
type blame uint8

const (
	domains  blame = iota // the domain's
	unproven              // it is not known whether the name servers answer anybody, or this host had to do without the lookup
	ours                  // the name servers answer nobody
)

func newError(k key, kind Kind, err error) *Error {
	return &Error{Name: k.Name, Type: dns.TypeToString[k.Type], Kind: kind, Err: err}
}

// Error describes the failure in one line. The name is quoted.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dns: %s %q: %s", e.Type, e.Name, e.Kind)
	if e.Server != "" {
		fmt.Fprintf(&b, " (server %s)", e.Server)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the cause below.
func (e *Error) Unwrap() error { return e.Err }

// Temporary is true: another attempt may succeed.
func (e *Error) Temporary() bool { return true }

// Ours reports whether our side is to blame, not the domain: every server has
// failed every check query for proofTime (30 s) with its window at one, and has
// answered nothing else. No failure of a lookup leads there, nor anything else
// that a sender can arrange. A SERVFAIL to a check query is a failure, one to a
// lookup proves nothing.
func (e *Error) Ours() bool { return e.blame == ours }

// Pressure reports whether the failure says nothing of the domain, and is not
// (yet) proven to be ours either: the lookup gave way because too much was
// asked at once, this host had no socket for it, the resolver is closed, or the
// servers fail or overflow just now.
func (e *Error) Pressure() bool { return e.blame == unproven }

// StaleError comes with an answer: the last that was known, past its TTL, given
// because no newer one could be had (RFC 8767). Whoever cannot say what a stale
// answer may decide takes it for the failure that it is, too.
type StaleError struct {
	Age time.Duration // since the answer was given
	Err error         // why there is no newer one: an *Error
}

// Error tells the failure, and that there is an old answer.
func (e *StaleError) Error() string {
	return fmt.Sprintf("%v; an answer from %v ago was used", e.Err, e.Age.Round(time.Second))
}

// Unwrap returns the failure.
func (e *StaleError) Unwrap() error { return e.Err }

// Stale is true: there is an answer beside the error.
func (e *StaleError) Stale() bool { return true }
