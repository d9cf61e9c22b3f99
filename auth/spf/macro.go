package spf

import (
	"slices"
	"strings"

	text "dmarcgate/term"
)

// The macro letters of RFC 7208, Section 7.2: c, r and t are for the text of
// an explanation only.
const (
	lettersOfTerms = "slodiphv"
	lettersOfText  = lettersOfTerms + "crt"
)

const delimiters = ".-+,/_="

// token is a part of a macro string: text that stands for itself, or a macro.
type token struct {
	literal string
	plain   bool   // the literal is no "%%", "%_" or "%-"
	letter  byte   // of a macro, in lower case; 0: a literal
	escape  bool   // the letter was a capital
	keep    int    // parts to keep, from the right; 0: all
	reverse bool   // before that
	delims  string // where to split; empty: at dots
}

// nextToken reads the token that s, which is not empty, begins with.
func nextToken(s, letters string) (tok token, rest string, d defect) {
	switch i := strings.IndexByte(s, '%'); {
	case i < 0:
		return token{literal: s, plain: true}, "", ""
	case i > 0:
		return token{literal: s[:i], plain: true}, s[i:], ""
	case len(s) == 1:
		return token{}, "", badMacro
	}
	switch s[1] {
	case '%':
		return token{literal: "%"}, s[2:], ""
	case '_':
		return token{literal: " "}, s[2:], ""
	case '-':
		return token{literal: "%20"}, s[2:], ""
	case '{':
		end := strings.IndexByte(s, '}')
		if end < len("%{x") {
			return token{}, "", badMacro
		}
		tok, d = readMacro(s[2:end], letters)
		return tok, s[end+1:], d
	}
	return token{}, "", badMacro
}

// readMacro reads what stands between "%{" and "}"; s is not empty.
func readMacro(s, letters string) (token, defect) {
	tok := token{letter: s[0] | 0x20, escape: 'A' <= s[0] && s[0] <= 'Z'}
	if !isLetter(s[0]) || strings.IndexByte(letters, tok.letter) < 0 {
		return token{}, badMacro
	}
	s = s[1:]
	hasDigits := s != "" && isDigit(s[0])
	for ; s != "" && isDigit(s[0]); s = s[1:] {
		// RFC 7208, Section 7.3, wants up to 127; no name has more parts.
		tok.keep = min(10*tok.keep+int(s[0]-'0'), maxValue+1)
	}
	if hasDigits && tok.keep == 0 {
		return token{}, badMacro
	}
	if s != "" && s[0]|0x20 == 'r' {
		tok.reverse, s = true, s[1:]
	}
	if strings.Trim(s, delimiters) != "" {
		return token{}, badMacro
	}
	tok.delims = s
	return tok, ""
}

// checkMacros checks the macros of s, and returns the literal text behind the
// last of them.
func checkMacros(s, letters string) (tail string, d defect) {
	for s != "" {
		var tok token
		if tok, s, d = nextToken(s, letters); d != "" {
			return "", d
		}
		tail = ""
		if tok.plain {
			tail = tok.literal
		}
	}
	return tail, ""
}

// uses reports whether s, which was checked, has a macro of one of these letters.
func uses(s, letters string) bool {
	for s != "" {
		var tok token
		tok, s, _ = nextToken(s, lettersOfText)
		if tok.letter != 0 && strings.IndexByte(letters, tok.letter) >= 0 {
			return true
		}
	}
	return false
}

// expandName expands a domain-spec that was checked. The final dot is
// dropped, and while the name is too long its first label (RFC 7208, Section
// 7.3).
func expandName(spec string, value func(letter byte) string) string {
	var b []byte
	for spec != "" {
		var tok token
		tok, spec, _ = nextToken(spec, lettersOfTerms)
		b = tok.expand(b, value)
		// What is far to the left will be cut; it need not be kept until then.
		if far := len(b) - 2*maxName; far > maxValue {
			b = append(b[:0], b[far:]...)
		}
	}
	return fitName(string(b))
}

// fitName removes the final dot, and labels from the left until the name has
// its length.
func fitName(name string) string {
	name = strings.TrimSuffix(name, ".")
	for len(name) > maxName {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return ""
		}
		name = rest
	}
	return name
}

// expandText expands the text of an explanation, cut to maxExplanation. It is
// empty and false when the text is not printable ASCII or has a bad macro.
func expandText(s string, value func(letter byte) string) (string, bool) {
	if _, d := checkMacros(s, lettersOfText); d != "" || !visible(strings.ReplaceAll(s, " ", "")) {
		return "", false
	}
	var b []byte
	for s != "" && len(b) < maxExplanation {
		var tok token
		tok, s, _ = nextToken(s, lettersOfText)
		b = tok.expand(b, value)
	}
	return printable(string(b), maxExplanation), true
}

// expand appends what the token stands for.
func (t token) expand(b []byte, value func(letter byte) string) []byte {
	if t.letter == 0 {
		return append(b, t.literal...)
	}
	v := t.transform(value(t.letter))
	if t.escape {
		return appendEscaped(b, v)
	}
	return append(b, v...)
}

// transform splits, reverses, cuts and joins a value (RFC 7208, Section 7.3).
// Empty parts count.
func (t token) transform(v string) string {
	if t.delims == "" && !t.reverse && t.keep == 0 {
		return v
	}
	delims := t.delims
	if delims == "" {
		delims = "."
	}
	var parts []string
	for {
		i := strings.IndexAny(v, delims)
		if i < 0 {
			break
		}
		parts, v = append(parts, v[:i]), v[i+1:]
	}
	parts = append(parts, v)
	if t.reverse {
		slices.Reverse(parts)
	}
	if t.keep > 0 && t.keep < len(parts) {
		parts = parts[len(parts)-t.keep:]
	}
	return strings.Join(parts, ".")
}

// appendEscaped appends s with all but the unreserved characters of RFC 3986,
// Section 2.3, as "%" and two digits.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if isLetter(c) || isDigit(c) || strings.IndexByte("-._~", c) >= 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// printable returns s, cut, with "?" for what is not printable ASCII.
func printable(s string, limit int) string {
	return text.ASCII(s[:min(len(s), limit)])
}
