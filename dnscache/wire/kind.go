package wire

// Kind says how a query, or a lookup as a whole, failed.
type Kind uint8

// The zero Kind is no failure.
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
	Pressure                  // no query was sent, or it was given up: too much was queried at once, and this lookup had to give way
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
