// Package message reads the parts of RFC 5322 that a DMARC receiver needs: header
// fields with their bytes unchanged, and the Author Domain.
//
// Fields keep their bytes, because signatures cover them; unfolding and
// trimming give copies. [ParseAuthor] finds the domains of the From field. It
// is tolerant of what mail readers tolerate, for a field that a reader shows
// and a checker cannot read is a way around DMARC, and it names its doubts:
// whatever has two plausible readings with different domains is Unparsable or
// has several domains, never the reading that suits the author.
//
// [ParseReceived] reads the client from a Received field of one's own relay.
// [ParseClaims] reads claims that anybody can forge: that a message came from a
// mailing list or was written automatically.
//
// It is not for showing mail, for other address fields, or for the body, and
// it decodes no encoded-words: what they hide is a display name.
//
// # Limits
//
// [MaxFromBytes], [MaxMailboxes], [MaxCommentDepth] and [MaxAuthorDomains]; 255
// bytes of a list identifier. Work is linear in the bytes looked at.
//
// # Failures
//
// Nothing here panics on input or returns a temporary error. The zero
// [Outcome] is Unparsable.
package message
