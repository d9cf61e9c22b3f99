// Package taglist reads the tag lists of RFC 6376, Section 3.2: names and values
// as a DKIM signature and its key record have them, and the encodings of values.
//
// It knows no tag by its name but z=. The records of DMARC have a grammar of their
// own, and share Bare.
//
// Limits: maxTags tags of one list, of a text as long as the caller accepts.
package taglist

import (
	"encoding/base64"
	"strings"
)

// maxTags is how many tags one list has; RFC 6376 defines 14.
const maxTags = 64

// Tag is one tag of a list.
type Tag struct {
	Name, Value string
	From, To    int // the text between "=" and the next ";", white space included
}

// List is the tags in their order, each name once.
type List []Tag

// Find returns the tag of that name; names are case-sensitive.
func (l List) Find(name string) (Tag, bool) {
	for i := range l { // a tag is large to copy
		if l[i].Name == name {
			return l[i], true
		}
	}
	return Tag{}, false
}

// Detach keeps of the text what is used: not the copied fields of z=, which
// nothing here reads (RFC 6376, Section 3.5).
func (l List) Detach() {
	for i := range l {
		if l[i].Name == "z" {
			l[i].Value = ""
		}
		l[i].Name, l[i].Value = strings.Clone(l[i].Name), strings.Clone(l[i].Value)
	}
}

// Value returns the value of a tag, or what its absence means.
func (l List) Value(name, otherwise string) string {
	if t, ok := l.Find(name); ok {
		return t.Value
	}
	return otherwise
}

// Parse reads a tag list. It is false for text that is none, and for a
// list with a tag twice: such a list can be read in two ways (RFC 6376,
// Section 3.2). A loose list is a key record: those of honest domains have
// empty places between semicolons, line ends anywhere between two words, and
// bytes around a value that a web form has left there.
func Parse(text string, loose bool) (List, bool) {
	if !loose && !readable(text) {
		return nil, false
	}
	list := make(List, 0, min(strings.Count(text, ";")+1, maxTags))
	for at := 0; at < len(text); {
		end := len(text)
		if n := strings.IndexByte(text[at:], ';'); n >= 0 {
			end = at + n
		}
		t, ok := parseTag(text[at:end])
		if loose {
			t.Value = Bare(t.Value)
			ok = ok && visible(t.Value)
		}
		switch _, twice := list.Find(t.Name); {
		case ok && !twice && len(list) < maxTags:
			t.From, t.To = t.From+at, end
			list = append(list, t)
		case trim(text[at:end]) == "" && end == len(text), Bare(text[at:end]) == "" && loose:
		default:
			return nil, false
		}
		at = end + 1
	}
	return list, len(list) > 0
}

func parseTag(spec string) (Tag, bool) {
	name, value, ok := strings.Cut(spec, "=")
	t := Tag{Name: trim(name), Value: trim(value), From: len(name) + 1}
	return t, ok && isTagName(t.Name)
}

func isTagName(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		digit := s[i] >= '0' && s[i] <= '9' || s[i] == '_'
		if (c < 'a' || c > 'z') && (i == 0 || !digit) {
			return false
		}
	}
	return s != ""
}

// readable reports whether text has only visible characters, white space and
// folds. Bytes above ASCII are taken: names may be U-labels (RFC 8616,
// Section 5).
func readable(text string) bool {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c-' ' < 0x7f-' ' || c > 0x7f:
		case c == '\r':
			if i+2 >= len(text) || text[i+1] != '\n' || text[i+2] != ' ' && text[i+2] != '\t' {
				return false
			}
			i += 2
		case c != '\t':
			return false
		}
	}
	return true
}

// Bare returns a value without the white space and the stray bytes at its ends:
// control characters, and no-break spaces in Latin-1 or UTF-8.
func Bare(value string) string {
	const nbsp = "\u00a0"
	for {
		before := len(value)
		value = strings.TrimSuffix(strings.TrimPrefix(value, nbsp), nbsp)
		if value != "" && isStray(value[0]) {
			value = value[1:]
		}
		if value != "" && isStray(value[len(value)-1]) {
			value = value[:len(value)-1]
		}
		if len(value) == before {
			return value
		}
	}
}

// isStray reports whether c at the end of a value is no part of it. A0 alone
// is the no-break space of Latin-1: behind C2 it is one of UTF-8, and behind
// any other byte it may be part of a character, but no registered value has one.
func isStray(c byte) bool { return c <= ' ' || c == 0x7f || c == 0xa0 }

// visible reports whether text has only visible characters and white space,
// line ends included.
func visible(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' && !isSpace(c) || c == 0x7f {
			return false
		}
	}
	return true
}

// Split takes a list with colons apart. White space around its members does
// not count.
func Split(value string) []string {
	out := strings.Split(value, ":")
	for i := range out {
		out[i] = trim(out[i])
	}
	return out
}

// HasWord reports whether a list with colons has the word. Words of the grammar
// are in any case (RFC 5234, Section 2.3).
func HasWord(value, word string) bool {
	for v := range strings.SplitSeq(value, ":") {
		if strings.EqualFold(trim(v), word) {
			return true
		}
	}
	return false
}

// Compact removes white space, which does not count in b=, bh=, p= and i=.
func Compact(s string) string {
	for i := range len(s) {
		if isSpace(s[i]) {
			return without(s, i)
		}
	}
	return s
}

// without removes white space, of which the first is at a place.
func without(s string, first int) string {
	out := append(make([]byte, 0, len(s)), s[:first]...)
	for i := first; i < len(s); i++ {
		if !isSpace(s[i]) {
			out = append(out, s[i])
		}
	}
	return string(out)
}

// trim removes white space at both ends.
func trim(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func isSpace(c byte) bool { return c <= ' ' && (c == ' ' || c == '\t' || c == '\r' || c == '\n') }

// Decode reads base64. The padding may be absent, as the grammar of RFC 6376,
// Section 2.10, has it.
func Decode(s string) ([]byte, bool) {
	s = Compact(s)
	digits := strings.TrimRight(s, "=")
	if len(s)-len(digits) > 2 || digits == "" {
		return nil, false
	}
	out, err := base64.RawStdEncoding.DecodeString(digits)
	return out, err == nil
}

// Unquote undoes dkim-quoted-printable, in which hexadecimal digits are in
// upper case (RFC 6376, Section 2.11).
func Unquote(s string) (string, bool) {
	s = Compact(s)
	if strings.IndexByte(s, '=') < 0 {
		return s, true
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			out.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		out.WriteByte(byte(high<<4 | low))
		i += 2
	}
	return out.String(), true
}

func hexDigit(c byte) int { return strings.IndexByte("0123456789ABCDEF", c) }
