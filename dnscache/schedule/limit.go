package schedule

import "sync/atomic"

const (
	// maxLookups is how many lookups that the cache does not answer one message
	// may begin, and maxOtherLookups how many of them in class Other. RFC 7208,
	// Section 4.6.4, alone allows ten terms with up to ten names of mail hosts
	// each, for each of two identities; five author domains have 40 names of
	// walks, ten signatures their keys, a chain of ARC has 60. The largest good
	// message known to us needs some 85: 30 for SPF of a provider that names
	// many others, 10 for HELO, 4 signatures, ten ARC sets, two walks. What is
	// above gives way: a message that really needs more gets it at its next
	// attempts, as the cache has the first answers then.
	maxLookups      = 150
	maxOtherLookups = 100
)

// spent counts the lookups that a message has begun.
type spent struct{ all, other atomic.Int32 }

// spend counts a lookup, and reports whether the message may have it.
func (b Bill) spend() bool {
	if b.Account == nil {
		return true
	}
	s := &b.Account.spent
	if b.Class == Other && s.other.Add(1) > maxOtherLookups {
		return false
	}
	return s.all.Add(1) <= maxLookups
}
