package dmarc

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// parseURI reads one destination, "mailto:reports@example.com!10m". Schemes we
// cannot serve are kept: to ignore them is the reporter's duty (RFC 9989,
// Section 4.7), and they make a broken record usable.
func parseURI(s string) (URI, bool) {
	text, limit, limited := strings.Cut(s, "!")
	if len(text) > MaxURIBytes || !isURI(text) {
		return URI{}, false
	}
	if !limited {
		return URI{Text: text}, true
	}
	size, ok := parseSize(limit)
	return URI{text, size}, ok
}

// parseSize reads a number of bytes with a unit that is a power of two (RFC
// 7489, Sections 6.2 and 6.4). What does not fit 64 bits is as good as no limit
// and becomes the largest number.
func parseSize(s string) (uint64, bool) {
	shift := 0
	if n := len(s); n > 0 {
		if unit := strings.IndexByte("kmgt", s[n-1]|0x20); unit >= 0 {
			shift, s = 10*(unit+1), s[:n-1]
		}
	}
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || bits.Len64(n)+shift > 64 {
		return math.MaxUint64, true
	}
	return n << shift, true
}

// isURI reports whether s has the syntax of RFC 3986: a scheme and characters
// that a URI may have. A mailto must name a mailbox (RFC 6068, Section 2):
// "mailto:" alone is a common slip and no destination.
func isURI(s string) bool {
	scheme, rest, found := strings.Cut(s, ":")
	if !found || rest == "" || !isScheme(scheme) || !hasURIChars(rest) {
		return false
	}
	if lower(scheme) != "mailto" {
		return true
	}
	mailbox, _, _ := strings.Cut(rest, "?")
	at := strings.LastIndexByte(mailbox, '@')
	return at > 0 && at < len(mailbox)-1
}

func isScheme(s string) bool {
	if s == "" || !isAlpha(s[:1]) {
		return false
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && !strings.ContainsRune("+-.", rune(s[i])) {
			return false
		}
	}
	return true
}

// hasURIChars allows the characters of RFC 3986, Appendix A, without "," and
// "!", which must be escaped here (RFC 9989, Section 4.8).
func hasURIChars(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case isAlphanumeric(c):
		case c == '%':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return false
			}
		case strings.IndexByte("-._~:/?#[]@$&'()*+=", c) < 0:
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}
