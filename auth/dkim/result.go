// Package dkim verifies the DKIM signatures of a message (RFC 6376, with RFC
// 8301 and RFC 8463).
//
// Start reads the signatures and begins the key lookups, Write takes
// the body as it comes, Finish evaluates. Of the body nothing is kept: there is
// one running hash for each canonicalization, shared by all signatures. Those
// of ARC share it too, with the header and the keys, as Links. It is not for
// signing, and it does not know DMARC: which signature counts for an author
// domain is decided elsewhere.
//
// # Limits
//
// Of all signatures MaxSignatures are verified, those first that could be
// aligned with an author domain; MaxResults are reported. Of their keys
// maxFetched are fetched at once, in the same order. A signature field is
// read up to maxField bytes, the tags that taglist takes and maxNames names in h=; of the TXT
// records at the name of a key maxKeys keys are tried; RSA keys have minRSA to
// Options.MaxKeyBits bits. Work is linear in the size of the message, memory
// does not depend on the body.
//
// # Failures
//
// If a key cannot be fetched, the result is temperror with the failure in Err,
// never fail. A signature that does not verify with a key from a stale answer is
// temperror, too. A body hash that differs is fail in any case, and a signature
// with l= is policy unless Options.BodyLength allows it. The zero Result is none.
package dkim

import "time"

const (
	// MaxSignatures is how many signatures of one message are verified. A
	// sender chooses their number, and each costs a lookup, a hash of the
	// header and a public key operation (RFC 6376, Section 4.2).
	MaxSignatures = 10

	// MaxResults is how many signatures of one message are reported. Those
	// that are not verified have come for nothing, and each one makes the
	// Authentication-Results field longer.
	MaxResults = 20

	// ClockSkew is how far a sender's clock may differ from ours before t= is
	// in the future or x= in the past. OpenDKIM allows the same.
	ClockSkew = 5 * time.Minute
)

const (
	// maxField is how many bytes a DKIM-Signature field may have. z= copies the
	// signed fields (RFC 6376, Section 3.5): with hundreds of recipients it has
	// tens of kilobytes. Postfix hands over 59,990 bytes of a longer value.
	maxField = 60_000

	// mtaCut and mtaLine tell a field of which the MTA may have handed over a
	// part: Postfix 3.7 shows a milter the lines that fit into 60,000 bytes, name
	// and colon included, and breaks lines at 2,048 (line_length_limit).
	mtaCut  = 60_000
	mtaLine = 2_048

	// usualField is how long a field is without z=: with two 4096-bit values it
	// has 2 KiB. Of a longer one the tags that are used are kept, not the text.
	usualField = 8 << 10

	maxNames = 200 // names in h=; over-signing doubles the number of fields

	maxFetched = 4 // keys of a message fetched at once: few good messages have more signatures (Google, Microsoft and mailing lists make one to three)

	maxRecord = 8 << 10 // bytes of a key record; a 4096-bit key has 736 characters
	maxKeys   = 4       // keys tried at one name: how many is undefined (RFC 6376, Section 6.1.2)
	minRSA    = 1024    // RFC 8301, Section 3.2: a smaller key verifies nothing
	usualRSA  = 4096    // the same: larger ones need not be supported, and their cost grows with the square
	maxRSA    = 8192    // what Options.MaxKeyBits may allow: 3 ms for a signature

	shownB = 8 // characters of Result.B (RFC 6008, Section 4)
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
	Identity  string // domain of i=, in the same form; that of d= without i=
	Selector  string // s=, text of the message; empty when it is not a name
	Algorithm string // a=, in lower case; empty when it is no word
	Canon     string // c= with its default, as "relaxed/simple": header, then body
	B         string // the first characters of b=, to tell signatures apart (RFC 6008)
	KeyBits   int    // size of the key, 0 when none was seen
	Testing   bool   // the key record says t=y
	Strict    bool   // the key record says t=s

	// HeaderOK says that the signature over the header verified, with the
	// From field in it, whatever became of the body. With Fail, somebody
	// changed the body only, as mailing lists do.
	HeaderOK bool

	// CutByMTA says that with Fail the body is as it was signed, the header is
	// not, and a signed field is so long that the MTA may have handed over a
	// part of it (mtaCut): it is not known whether the signature is good.
	CutByMTA bool

	SignedAt time.Time // t=, zero without it
	Why      string    // in words of ours
	Err      error     // with TempError: the failure of DNS
	Stale    bool      // the key is that of a stale answer, because no newer one could be had
}

// finding is a status with its reason. The zero finding has found nothing
// wrong.
type finding struct {
	status Status
	why    string
}

func permanent(reason string) finding { return finding{PermError, reason} }
