package authres

import "strings"

// IsHostID reports whether s is a full host name that can stand as an
// authserv-id without quotes (RFC 8601, Section 2.5): two labels or more of
// letters, digits, hyphens and underscores, at most MaxID bytes. The last label
// is not a number, so an address is none.
func IsHostID(s string) bool {
	if len(s) > MaxID {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || strings.ContainsFunc(l, func(r rune) bool { return !isHostRune(r) }) {
			return false
		}
	}
	return len(labels) > 1 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

func isHostRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}
