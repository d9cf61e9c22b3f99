package authres

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Claims reports whether a received Authentication-Results field with this
// body must be removed (RFC 8601, Section 5): its authserv-id is one of ids,
// or cannot be parsed, or the field has another version than 1. body is what
// stands after the colon, folds included; it should be raw, since a line break
// that is no fold makes a field unreadable.
//
// Ids are compared as a whole, without case, final dots, or difference between
// A-labels and U-labels. A quoted id with a job identifier behind a slash, as
// OpenDMARC writes with AuthservIDWithJobID, counts as the id before it.
//
// Where a lenient reader might see one of ids and a strict one none, Claims is
// true: to lose a third party's field costs nothing that anybody should rely on.
func Claims(body string, ids []string) bool {
	s, err := open(body)
	if err != nil {
		return true
	}
	for _, own := range ids {
		// The id of a field was cut at its slash, so ours is too.
		own, _, _ = strings.Cut(asciiID(own), "/")
		if canonical(own) == s.author {
			return true
		}
	}
	return false
}

// canonical returns the form in which ids are compared.
func canonical(ascii string) string {
	return strings.ToLower(strings.TrimRight(ascii, "."))
}

// asciiID returns a configured id as Format writes it.
func asciiID(id string) string {
	ascii, ok := toASCII(id)
	if !ok {
		ascii = id
	}
	ascii = clean(ascii)
	return ascii[:min(len(ascii), MaxID)]
}

var uLabels = idna.New(idna.MapForLookup(), idna.StrictDomainName(false), idna.BidiRule())

// toASCII returns s with U-labels as A-labels. ASCII text stays as it is.
func toASCII(s string) (string, bool) {
	for i := range len(s) {
		if s[i] < utf8.RuneSelf {
			continue
		}
		if len(s) > maxUnicodeID || !utf8.ValidString(s) {
			return "", false
		}
		ascii, err := uLabels.ToASCII(s)
		return ascii, err == nil
	}
	return s, true
}
