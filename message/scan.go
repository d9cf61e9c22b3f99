package message

import "strings"

// MaxCommentDepth is how deep comments may nest; deeper ones make the field
// Unparsable. Honest mail has one level; the scanner needs no stack for more.
const MaxCommentDepth = 50

type kind uint8

const (
	end     kind = iota
	atom         // a run of bytes that are nothing else, 8-bit ones included
	quoted       // a quoted-string
	special      // one of < > , ; : @ .
)

// token is one lexical token of a structured field (RFC 5322, Section 3.2).
type token struct {
	kind  kind
	char  byte   // of a special
	text  string // of an atom or a quoted-string, with the quotes
	start int
	gap   bool // white space or a comment stands before it
}

func (t token) is(c byte) bool { return t.kind == special && t.char == c }

// scanner reads tokens of text from pos on. It never goes back.
type scanner struct {
	text string
	pos  int

	// broken is set by what no reading agrees on: control bytes, line breaks
	// that are no folds, quoted-strings and comments without an end.
	broken bool
}

func (s *scanner) next() token {
	t := token{gap: s.skipSpace(), start: s.pos}
	switch {
	case s.pos == len(s.text):
		return t
	case s.text[s.pos] == '"':
		t.kind = quoted
		s.skipQuoted()
		t.text = s.text[t.start:s.pos]
	case isSpecial(s.text[s.pos]):
		t.kind, t.char = special, s.text[s.pos]
		s.pos++
	default:
		t.kind = atom
		for s.pos < len(s.text) && isAtomByte(s.text[s.pos]) {
			s.pos++
		}
		t.text = s.text[t.start:s.pos]
	}
	return t
}

// skipSpace skips comments and folding white space, and control bytes, which
// have no place there.
func (s *scanner) skipSpace() bool {
	from := s.pos
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == ' ' || c == '\t':
			s.pos++
		case c == '(':
			s.skipComment()
		case isControl(c):
			s.control()
		default:
			return s.pos > from
		}
	}
	return s.pos > from
}

// control skips the fold or the forbidden control byte at pos.
func (s *scanner) control() {
	if n := foldAt(s.text[s.pos:]); n > 0 {
		s.pos += n
		return
	}
	if s.text[s.pos] != '\t' {
		s.broken = true
	}
	s.pos++
}

func (s *scanner) skipComment() {
	depth := 0
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '(':
			depth++
			s.broken = s.broken || depth > MaxCommentDepth
			s.pos++
		case c == ')':
			s.pos++
			if depth--; depth == 0 {
				return
			}
		case c == '\\':
			s.pos++
			s.any()
		default:
			s.any()
		}
	}
	s.broken = true
}

func (s *scanner) skipQuoted() {
	s.pos++
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case '"':
			s.pos++
			return
		case '\\':
			s.pos++
			s.any()
		default:
			s.any()
		}
	}
	s.broken = true
}

// any skips one byte of a comment or quoted-string, if there is one.
func (s *scanner) any() {
	switch {
	case s.pos == len(s.text):
	case isControl(s.text[s.pos]):
		s.control()
	default:
		s.pos++
	}
}

// skipLiteral skips the address literal whose "[" is at start.
func (s *scanner) skipLiteral(start int) {
	n := strings.IndexByte(s.text[start:], ']')
	if n < 0 {
		s.broken = true
		s.pos = len(s.text)
		return
	}
	s.pos = max(s.pos, start+n+1)
}

func isControl(c byte) bool { return c < ' ' || c == 0x7f }

func isSpecial(c byte) bool {
	switch c {
	case '<', '>', ',', ';', ':', '@', '.':
		return true
	}
	return false
}

// isAtomByte is wider than atext (RFC 5322, Section 3.2.3): brackets stand in
// many an unquoted display name, and a domain is checked later.
func isAtomByte(c byte) bool {
	return !isControl(c) && !isSpecial(c) && c != ' ' && c != '(' && c != '"'
}
