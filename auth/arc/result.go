// Package arc validates the ARC chain of a message (RFC 8617, Section 5.2).
//
// Start reads the chain from the header of a dkim.Run; the body goes to that
// Run, which hashes it for both; Finish fetches keys as far as they are needed
// and evaluates the chain. For a message whose decision does not need the chain,
// Unchecked returns the result without a lookup. A chain that passes proves only
// its sealers: anybody can seal false records (RFC 8617, Section 9), so the
// caller must know the sealers before it trusts their records, which are returned
// as text. The package does not seal.
//
//	d := dkim.Start(ctx, resolver, header, dkim.Options{})
//	a := arc.Start(ctx, d)
//	d.Write(body)
//	signatures, chain := d.Finish(), a.Finish(ctx)
//
// # Limits
//
// A chain has at most MaxSets sets, a field of ARC maxField bytes and all of
// them maxBytes; with more the chain fails, unread. The verdict needs the keys
// of all seals and of the newest ARC-Message-Signature. Older ones matter for
// OldestPass only, and so many are verified that it is maxTried in all: no
// chain costs more than MaxKeys lookups. They go from the newest to the oldest,
// and end with the first that does not verify: the newest ARC-Message-Signature
// alone, then seals, maxBatch at once, then one older signature after the
// other. A signature over another body, and a chain whose structure is wrong,
// cost no lookup. Work is linear in the size of the header, for the seals share one
// running hash. Keys, algorithms and l= are evaluated as by dkim.Options.
//
// # Failures
//
// Every error is permanent, a DNS failure included (RFC 8617, Section 5.2.1):
// the chain fails, and Err has the cause. A signature that verifies with a key
// from a stale answer is valid; a signature that does not verify makes the chain
// fail as with any other key. A panic in a lookup is raised by Finish. The zero
// Result is none.
package arc

const (
	// MaxSets is how many sets a chain may have (RFC 8617, Section 4.2.1).
	MaxSets = 50

	// MaxKeys is the most keys that are looked up for a chain: those of all
	// seals and of the signatures that are tried. RFC 8617, Section 9.2,
	// speaks of two for each set. It is no more than RFC 7208 allows SPF, and
	// with fewer a chain that is valid would fail.
	MaxKeys = MaxSets + maxTried
)

const (
	maxFields = 3 * MaxSets
	maxField  = 16 << 10  // bytes of one field; what large providers record has 2 KiB, and their signatures copy no fields
	maxBytes  = 256 << 10 // bytes of all (RFC 8617, Section 9.1): 50 sets of 5 KiB; one with keys of 4096 bits has 3 KiB
	maxBatch  = 4         // seals whose keys are fetched at once: a chain of 50 waits for 13 answers, one of five for two
	maxTried  = 10        // ARC-Message-Signatures verified; each costs what a DKIM signature does, see dkim.MaxSignatures
)

// Status is the result of a chain.
type Status uint8

// The results, RFC 8617, Section 4.4. The zero value vouches for nothing.
const (
	None Status = iota // no field of ARC
	Pass
	Fail
	NotChecked // there is a chain, and no key was fetched: not a word of RFC 8617
)

// String returns the word of RFC 8617, or not_checked.
func (s Status) String() string { return [...]string{"none", "pass", "fail", "not_checked"}[s] }

// Set is one hop of a chain, as its seal tells it. All of it but KeyBits is
// text of the message, and true only if the chain passes and the sealer is to
// be believed.
type Set struct {
	Instance  int    // from 1, the oldest
	Domain    string // d= of the seal, lower-case A-labels
	Selector  string // s= of the seal
	Algorithm string // a= of the seal, in lower case
	KeyBits   int    // size of the seal's key, 0 when it was not needed

	// Results is what the hop found when it received the message: the text of
	// ARC-Authentication-Results behind its instance, without the line breaks
	// of folds. White space and comments are kept. It is empty when it has
	// control characters, and has at most 16 KiB.
	Results string
}

// Result is what became of a chain.
type Result struct {
	Status Status
	Why    string // in words of ours, for all but none

	// OldestPass is, with Pass, 0 when each hop left what the first one signed
	// as it was, and otherwise the oldest instance whose
	// ARC-Message-Signature still verifies (RFC 8617, Section 5.2). Of a chain
	// with more sets than are tried it is the oldest that was, though an older
	// one might verify.
	OldestPass int

	Sets []Set // oldest first, if the structure is right, also when the chain failed or was not checked
	Err  error // the DNS failure for which the chain failed

	Stale bool // a key was that of a stale answer, because no newer one could be had
}
