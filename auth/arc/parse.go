package arc

import "strings"

// instance reads the value of i=: one or two digits, 1 to MaxSets (RFC 8617,
// Section 4.2.1). It is 0 for what is none.
func instance(text string) int {
	if len(text) == 0 || len(text) > 2 || strings.Trim(text, "0123456789") != "" {
		return 0
	}
	n := 0
	for i := range len(text) {
		n = 10*n + int(text[i]-'0')
	}
	if n > MaxSets {
		return 0
	}
	return n
}

// parseResults reads an unfolded ARC-Authentication-Results: its instance,
// which comes first, and what follows (RFC 8617, Section 4.1.1). The instance
// is 0 when there is none.
func parseResults(value string) (n int, payload string) {
	rest, ok := strings.CutPrefix(skip(value), "i")
	if rest = skip(rest); !ok || !strings.HasPrefix(rest, "=") {
		return 0, ""
	}
	rest = skip(rest[1:])
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	n = instance(rest[:digits])
	rest, ok = strings.CutPrefix(skip(rest[digits:]), ";")
	if n == 0 || !ok {
		return 0, ""
	}
	return n, unambiguous(rest)
}

// skip leaves out white space and comments (CFWS of RFC 5322, Section 3.2.2).
// A comment without end is left as it is.
func skip(s string) string {
	for {
		s = strings.TrimLeft(s, " \t")
		end := comment(s)
		if end == 0 {
			return s
		}
		s = s[end:]
	}
}

// comment returns the length of the comment that s begins with, or 0. Comments
// nest.
func comment(s string) int {
	if !strings.HasPrefix(s, "(") {
		return 0
	}
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case '\\':
			i++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// unambiguous returns text without control characters, and nothing for text that
// has any: what it says would depend on the reader.
func unambiguous(s string) string {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return ""
		}
	}
	return s
}
