package dnscache

import (
	"fmt"
	"strings"
	"time"
)

// Kind says how a lookup failed.
type Kind uint8

// The zero Kind is no kind of failure and never in an Error that this package returns.
const (
	ServFail  Kind = iota + 1 // the server tried and failed: SERVFAIL, or another code that is no answer
	Refused                   // the server does not resolve for us: REFUSED, or a referral
	Timeout                   // no answer in time
	Network                   // the server could not be reached
	Malformed                 // an answer to our question that cannot be read
	Closed                    // the resolver is closed
	Bogus                     // the server has the answer, and its DNSSEC signatures are wrong (RFC 8914, Section 4.7)
	Down                      // no query was sent: every server was found dead, or to refuse everything, and has not come back
	Internal                  // a bug
	Local                     // no query was sent: this host has no descriptor, memory or port left for it
	Pressure                  // no query was sent, or it was given up: too much was asked at once, and this lookup had to give way
)

var kinds = [...]string{
	ServFail: "servfail", Refused: "refused", Timeout: "timeout", Network: "network",
	Malformed: "malformed", Closed: "closed", Internal: "internal",
	Bogus: "bogus", Down: "down", Local: "local", Pressure: "pressure",
}

// String returns the name of the kind, as in the metrics.
func (k Kind) String() string {
	if int(k) < len(kinds) && kinds[k] != "" {
		return kinds[k]
	}
	return "unknown"
}

// silent reports whether the kind may mean that nobody is there at all.
func (k Kind) silent() bool {
	switch k {
	case Refused, Timeout, Network, Closed, Down:
		return true
	}
	return false
}

// tells ranks failures by what they tell: nothing of our side, of this host,
// of a server that is alive.
func (k Kind) tells() int {
	switch {
	case k == Local:
		return 1
	case k.silent():
		return 0
	}
	return 2
}

// suspicious reports whether a dead server fails like this.
func (k Kind) suspicious() bool { return k == Timeout || k == Network || k == Malformed }

// retryable reports whether the same server, asked again, may well answer.
func (k Kind) retryable() bool { return k == Timeout || k == Network }

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
