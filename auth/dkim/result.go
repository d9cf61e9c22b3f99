// Package dkim verifies the DKIM signatures of a message (RFC 6376, with RFC
// 8301 and RFC 8463).
//
// Start begins all key lookups at once, Write takes the body, Finish judges.
// The verification itself is github.com/emersion/go-msgauth/dkim.
//
// # Limits
//
// MaxSignatures signatures are judged, the topmost ones; header fields of
// more than maxField bytes or maxLines lines are not handed over, so a
// signature over one of them does not verify; of the body, maxBody bytes are
// held, and nothing is verified when there is more.
//
// # Failures
//
// A key that could not be fetched is temperror with the failure in Err, never
// fail. The zero Result is none.
package dkim

// MaxSignatures is how many signatures of one message are judged. A sender
// chooses their number, and each costs a lookup and a public key operation.
const MaxSignatures = 8

const (
	maxField = 64 << 10 // bytes of one header field, more than any MTA hands over (Postfix: 60,000)
	maxLines = 500      // lines of one folded field: unfolding costs the square of them
	maxBody  = 50 << 20 // bytes held, the usual message_size_limit of large sites
)

// Status is the result of one signature.
type Status uint8

// The results, RFC 8601, Section 2.7.1. The zero value authenticates nobody.
const (
	None Status = iota
	Pass
	Fail
	Policy
	Neutral
	TempError
	PermError
)

// String returns the word of RFC 8601.
func (s Status) String() string {
	return [...]string{"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"}[s]
}

// Result is what became of one signature.
type Result struct {
	Status    Status
	Domain    string // d=, lower-case A-labels; empty when it is not a domain
	Selector  string // s=, text of the message
	Algorithm string // a=, text of the message
	B         string // the first characters of b=, to tell signatures apart (RFC 6008)
	KeyBits   int    // size of the key, 0 when none was seen
	Testing   bool   // the key record says t=y
	Reason    string // in words of ours
	Err       error  // with TempError: the failure of DNS
}
