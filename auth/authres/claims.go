package authres

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxUnicodeID bounds the id that is converted to A-labels, in bytes: more than
// enough for any domain name.
const maxUnicodeID = 1024

// maxComment is how deep comments may nest before the field counts as one that
// cannot be read.
const maxComment = 50

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
// true: to lose a stranger's field costs nothing that anybody should rely on.
func Claims(body string, ids []string) bool {
	id, ok := author(body)
	if !ok {
		return true
	}
	for _, own := range ids {
		// The id of a field was cut at its slash, so ours is too.
		own, _, _ = strings.Cut(asciiID(own), "/")
		if canonical(own) == id {
			return true
		}
	}
	return false
}

// author returns the canonical authserv-id of a field. It is false if there is
// none, if it cannot be parsed, or if what follows it is not of version 1.
func author(body string) (string, bool) {
	body = strings.TrimSuffix(body, "\r\n")
	if hasBareBreak(body) {
		return "", false
	}
	s := scanner{rest: body}
	s.skipSpace()
	id := s.id()
	gap := s.skipSpace()
	if gap && s.rest != "" && s.rest[0] != ';' {
		s.version()
		s.skipSpace()
	}
	if s.bad || s.rest != "" && s.rest[0] != ';' {
		return "", false
	}
	return id, id != ""
}

// hasBareBreak reports whether s has NUL or a CR or LF that is not part of a
// fold. Other software may see the end of the field there.
func hasBareBreak(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case 0:
			return true
		case '\r', '\n':
			n := foldAt(s[i:])
			if n == 0 {
				return true
			}
			i += n - 1
		}
	}
	return false
}

// foldAt returns the length of the line break that s begins with if white
// space follows it, else 0. Some MTAs hand folds over as a bare LF.
func foldAt(s string) int {
	n := 0
	if strings.HasPrefix(s, "\r\n") {
		n = 2
	} else if strings.HasPrefix(s, "\n") {
		n = 1
	}
	if n == 0 || n == len(s) || s[n] != ' ' && s[n] != '\t' {
		return 0
	}
	return n
}

// scanner reads the start of a field. bad is set by what it cannot read.
type scanner struct {
	rest string
	bad  bool
}

// skipSpace skips CFWS and reports whether there was some.
func (s *scanner) skipSpace() bool {
	before := len(s.rest)
	for s.rest != "" {
		switch s.rest[0] {
		case ' ', '\t', '\r', '\n': // of a fold, by hasBareBreak
			s.rest = s.rest[1:]
		case '(':
			s.skipComment()
		default:
			return len(s.rest) < before
		}
	}
	return len(s.rest) < before
}

func (s *scanner) skipComment() {
	depth := 0
	for i := 0; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '\\':
			i++
		case '(':
			depth++
			s.bad = s.bad || depth > maxComment
		case ')':
			if depth--; depth == 0 {
				s.rest = s.rest[i+1:]
				return
			}
		}
	}
	s.rest, s.bad = "", true
}

// id reads an authserv-id, a token or a quoted-string, and returns it in its
// canonical form.
func (s *scanner) id() string {
	text := ""
	if strings.HasPrefix(s.rest, `"`) {
		text, _, _ = strings.Cut(s.quoted(), "/")
	} else {
		text = s.token()
	}
	ascii, ok := toASCII(text)
	// No honest host has an id that needs quotes, and a reader that ignores
	// quotes would see another one.
	if !ok || !isToken(ascii) {
		s.bad = true
		return ""
	}
	return canonical(ascii)
}

// token reads a token, with the 8-bit characters of a U-label in it (RFC 8601,
// Section 2.5).
func (s *scanner) token() string {
	n := 0
	for n < len(s.rest) && (isTokenByte(s.rest[n]) || s.rest[n] >= utf8.RuneSelf) {
		n++
	}
	text := s.rest[:n]
	s.rest = s.rest[n:]
	return text
}

// quoted reads a quoted-string and returns what it stands for.
func (s *scanner) quoted() string {
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return b.String()
		case c == '\\' && i+1 < len(s.rest):
			i++
			b.WriteByte(s.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	s.rest, s.bad = "", true
	return ""
}

// version reads the version of the field, which must be 1. Whatever else
// stands there counts as a version that we do not support.
func (s *scanner) version() {
	digits := s.token()
	s.bad = s.bad || strings.TrimLeft(digits, "0") != "1"
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
