package authres

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	errBreak   = errors.New("a line break that is no fold, or NUL")
	errID      = errors.New("the authserv-id cannot be read")
	errVersion = errors.New("not version 1 of the field")
	errLong    = errors.New("the field is too long")
)

// scanner reads a field from its beginning to its end, and never goes back.
type scanner struct {
	text    string // unfolded, without CR, LF and NUL
	pos     int
	author  string // the authserv-id, canonical
	comment string // the first comment of the last CFWS, as written
	bad     bool   // something could not be read
	steps   int    // bytes that were looked at, for the test of linearity
}

// open reads a field up to the ";" before its first result (RFC 8601, Section
// 2.2). An id that cannot be read and a version that is not 1 are errors
// (Section 2.6); the scanner has then read up to there.
func open(body string) (*scanner, error) {
	text, ok := unfold(strings.TrimSuffix(body, "\r\n"))
	s := &scanner{text: text}
	if !ok {
		return s, errBreak
	}
	s.space()
	s.author = s.id()
	// An id runs on until white space, a comment or ";" ends it.
	if gap := s.space(); s.author == "" || s.bad || !gap && !s.atEnd() {
		return s, errID
	}
	if !s.atEnd() {
		s.version()
		s.space()
	}
	if s.bad || !s.atEnd() {
		return s, errVersion
	}
	return s, nil
}

// unfold removes the line breaks of folds. It is false if there is NUL, or a
// CR or LF that is not part of a fold: other software may see the end of the
// field there. Some MTAs hand folds over as a bare LF.
func unfold(s string) (string, bool) {
	if strings.IndexByte(s, 0) >= 0 {
		return "", false
	}
	if strings.IndexByte(s, '\r') < 0 && strings.IndexByte(s, '\n') < 0 {
		return s, true
	}
	var b strings.Builder
	b.Grow(len(s))
	for {
		line, rest, found := strings.Cut(s, "\n")
		if found {
			line = strings.TrimSuffix(line, "\r")
		}
		if strings.IndexByte(line, '\r') >= 0 {
			return "", false
		}
		b.WriteString(line)
		if !found {
			return b.String(), true
		}
		if rest == "" || rest[0] != ' ' && rest[0] != '\t' {
			return "", false
		}
		s = rest
	}
}

// peek returns the next byte, and 0 at the end.
func (s *scanner) peek() byte {
	s.steps++
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// take goes over the next byte if it is c.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// atEnd reports whether a result, or the head of the field, may end here.
func (s *scanner) atEnd() bool {
	c := s.peek()
	return c == 0 || c == ';'
}

// space goes over CFWS and reports whether there was some.
func (s *scanner) space() bool {
	start := s.pos
	s.comment = ""
	for {
		switch s.peek() {
		case ' ', '\t':
			s.pos++
		case '(':
			if raw := s.nested(); s.comment == "" {
				s.comment = raw
			}
		default:
			return s.pos > start
		}
	}
}

// nested goes over a comment and returns what is in it, as written.
func (s *scanner) nested() string {
	start, depth := s.pos+1, 0
	for c := s.peek(); c != 0; c = s.peek() {
		s.pos++
		switch c {
		case '\\':
			s.escaped()
		case '(':
			depth++
			s.bad = s.bad || depth > maxComment
		case ')':
			if depth--; depth == 0 {
				return s.text[start : s.pos-1]
			}
		}
	}
	s.bad = true
	return ""
}

// quoted goes over a quoted-string and returns what is in it, as written.
func (s *scanner) quoted() string {
	s.pos++
	start := s.pos
	for c := s.peek(); c != 0; c = s.peek() {
		s.pos++
		switch c {
		case '\\':
			s.escaped()
		case '"':
			return s.text[start : s.pos-1]
		}
	}
	s.bad = true
	return ""
}

// escaped goes over the byte behind a backslash.
func (s *scanner) escaped() {
	if s.peek() != 0 {
		s.pos++
	}
}

// run goes over the bytes that fit.
func (s *scanner) run(fits func(c byte) bool) string {
	start := s.pos
	for fits(s.peek()) {
		s.pos++
	}
	return s.text[start:s.pos]
}

// id reads an authserv-id, a token or a quoted-string, and returns it in its
// canonical form; empty if it is none. No honest host has an id that needs
// quotes, and a reader that ignores quotes would see another one.
func (s *scanner) id() string {
	text := ""
	if s.peek() == '"' {
		text, _, _ = strings.Cut(unescape(s.quoted()), "/")
	} else {
		text = s.run(isIDByte)
	}
	ascii, ok := toASCII(text)
	if id := canonical(ascii); ok && isToken(ascii) && len(id) <= MaxID {
		return id
	}
	return ""
}

// isIDByte has the 8-bit bytes of U-labels beside those of a token (RFC 8601,
// Section 2.5).
func isIDByte(c byte) bool { return isTokenByte(c) || c >= utf8.RuneSelf }

// version reads a version of the field or of a method, which must be 1.
// Whatever else stands there counts as one that we do not know.
func (s *scanner) version() {
	digits := s.run(isIDByte)
	s.bad = s.bad || strings.TrimLeft(digits, "0") != "1"
}

// unescape returns what the inside of a comment or a quoted-string stands for.
func unescape(raw string) string {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw
	}
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' && i+1 < len(raw) {
			i++
		}
		b = append(b, raw[i])
	}
	return string(b)
}

// legible returns s with "?" for what is not printable. Text beyond ASCII may
// stand in messages that allow UTF-8 in their header (RFC 6532).
func legible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}
