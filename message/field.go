package message

import (
	"bytes"
	"strings"
)

// Field is one header field as it came.
type Field struct {
	// Name is the text before the first colon, in its own case, without the
	// white space that obsolete syntax allows before the colon (RFC 5322,
	// Section 4.5.8).
	Name string

	// Raw is name, colon and value, with folds as CRLF and a final CRLF:
	// exactly the bytes that were signed. Nobody changes it.
	Raw []byte
}

// nameSpace is what may stand between a name and its colon. The last four are
// no white space for RFC 5322, but a reader may think so, and then "From\v:"
// is one more From field.
const nameSpace = " \t\r\n\v\f"

// NewField splits raw at its first colon and keeps it. Without a colon the
// whole line is the name and the value is empty.
func NewField(raw []byte) Field {
	name, _, _ := bytes.Cut(raw, []byte{':'})
	return Field{Name: string(bytes.TrimRight(name, nameSpace)), Raw: raw}
}

// Value returns the text after the colon, unfolded and trimmed. It holds no CR
// and no LF: those of folds are removed (RFC 5322, Section 2.2.3), any other
// becomes a space. Whoever must see the difference reads Body.
func (f Field) Value() string {
	return strings.Trim(unfold(f.Body()), " \t")
}

// Body returns the bytes after the colon as they came, folds included, without
// the final line break.
func (f Field) Body() string {
	_, value, _ := bytes.Cut(f.Raw, []byte{':'})
	value = bytes.TrimSuffix(value, []byte{'\n'})
	return string(bytes.TrimSuffix(value, []byte{'\r'}))
}

// unfold removes line breaks that are followed by white space and turns all
// others into spaces.
func unfold(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		switch n := foldAt(s[i:]); {
		case n > 0:
			i += n - 1
		case s[i] == '\r' || s[i] == '\n':
			b.WriteByte(' ')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// foldAt returns the length of the line break that s begins with if white
// space follows it, else 0. A bare LF counts, as it does for the MTAs that
// hand folds over that way.
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

// Header is the header of a message, top field first.
type Header []Field

// Is reports whether the field has that name, which is ASCII, in any case of
// ASCII letters. MTAs compare and count names so. Unicode has more letters that
// are "s" or "k" in another case: a name with one of them is another name.
func (f Field) Is(name string) bool {
	// A name that has one is longer.
	return len(f.Name) == len(name) && strings.EqualFold(f.Name, name)
}

// Named returns the fields of that name, as Field.Is has it, in order.
func (h Header) Named(name string) []Field {
	var found []Field
	for _, f := range h {
		if f.Is(name) {
			found = append(found, f)
		}
	}
	return found
}
