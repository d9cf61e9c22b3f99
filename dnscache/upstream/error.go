package upstream

import (
	"fmt"
	"strings"

	"dmarcgate/dnscache/wire"

	"github.com/miekg/dns"
)

// absent reports whether the kind may mean that nobody is there at all.
func absent(k wire.Kind) bool {
	switch k {
	case wire.Refused, wire.Timeout, wire.Network, wire.Closed, wire.Down:
		return true
	}
	return false
}

// tells ranks failures by what they tell: nothing of our side, of this host,
// of a server that is alive.
func tells(k wire.Kind) int {
	switch {
	case k == wire.Local:
		return 1
	case absent(k):
		return 0
	}
	return 2
}

// suspicious reports whether a dead server fails like this.
func suspicious(k wire.Kind) bool {
	return k == wire.Timeout || k == wire.Network || k == wire.Malformed
}

// retryable reports whether the same server, queried again, may well answer.
func retryable(k wire.Kind) bool { return k == wire.Timeout || k == wire.Network }

// Error is a lookup without a result. It is always temporary.
type Error struct {
	Name, Type string // the question; Name is foreign text
	Kind       wire.Kind
	Server     string // the server that Kind is about, "ip:port"; may be empty
	Err        error  // the cause below, or nil

	blame blame
}

func newError(k wire.Question, kind wire.Kind, err error) *Error {
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
