package spf

import "time"

// The limits of RFC 7208, Section 4.6.4. They count over the whole check,
// through every include and redirect.
const (
	maxTerms = 10 // include, a, mx, ptr, exists, redirect and the macro p
	maxVoids = 2  // terms of which a lookup found nothing
	maxMX    = 10 // mail hosts of one mx; more are a permerror
	maxPTR   = 10 // names of the client; more are ignored
)

// Limits of the DNS (RFC 1035, Section 2.3.4; RFC 7208, Section 7.3).
const (
	maxName  = 253
	maxLabel = 63
)

// Limits of ours, where the RFC names none.
const (
	// maxValue cuts local part and HELO name before they are used in macros.
	// RFC 5321, Section 4.5.3.1, allows 64 and 255.
	maxValue = 512

	// maxTerm and maxExplanation cut what is kept of other people's text.
	maxTerm        = 128
	maxExplanation = 500

	// keptTerms, and one more for keptBytes bytes of the TXT records, are how
	// many terms of a record are kept as read, with some 80 bytes each. Records
	// in use have fewer: a term with a network or a name is longer.
	keptTerms = 2
	keptBytes = 16

	// explanationTime bounds the lookups for exp: nothing depends on them.
	explanationTime = 2 * time.Second
)
