package dkim

import (
	"encoding/base64"
	"strings"
)

// space is what may surround names and values of a tag list: white space and
// the line breaks of folds, which readable has checked.
const space = " \t\r\n"

// tag is one tag of a list (RFC 6376, Section 3.2).
type tag struct {
	name, value string
	from, to    int // the text between "=" and the next ";", white space included
}

type tagList []tag

// find returns the tag of that name; names are case-sensitive.
func (l tagList) find(name string) (tag, bool) {
	for i := range l { // a tag is large to copy
		if l[i].name == name {
			return l[i], true
		}
	}
	return tag{}, false
}

// detach keeps of the text what is used: not the copied fields of z=, which
// nothing here reads (RFC 6376, Section 3.5).
func (l tagList) detach() {
	for i := range l {
		if l[i].name == "z" {
			l[i].value = ""
		}
		l[i].name, l[i].value = strings.Clone(l[i].name), strings.Clone(l[i].value)
	}
}

// value returns the value of a tag, or what its absence means.
func (l tagList) value(name, otherwise string) string {
	if t, ok := l.find(name); ok {
		return t.value
	}
	return otherwise
}

// parseTags reads a tag list. It is false for text that is none, and for a
// list with a tag twice: such a list can be read in two ways (RFC 6376,
// Section 3.2). A loose list is a key record: those of honest domains have
// empty places between semicolons, line ends anywhere between two words, and
// bytes around a value that a web form has left there.
func parseTags(text string, loose bool) (tagList, bool) {
	if !loose && !readable(text) {
		return nil, false
	}
	list := make(tagList, 0, min(strings.Count(text, ";")+1, maxTags))
	for at := 0; at < len(text); {
		end := len(text)
		if n := strings.IndexByte(text[at:], ';'); n >= 0 {
			end = at + n
		}
		t, ok := parseTag(text[at:end])
		if loose {
			t.value = unstray(t.value)
			ok = ok && visible(t.value)
		}
		switch _, twice := list.find(t.name); {
		case ok && !twice && len(list) < maxTags:
			t.from, t.to = t.from+at, end
			list = append(list, t)
		case trim(text[at:end]) == "" && end == len(text), unstray(text[at:end]) == "" && loose:
		default:
			return nil, false
		}
		at = end + 1
	}
	return list, len(list) > 0
}

func parseTag(spec string) (tag, bool) {
	name, value, ok := strings.Cut(spec, "=")
	t := tag{name: trim(name), value: trim(value), from: len(name) + 1}
	return t, ok && isTagName(t.name)
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

// unstray returns a value without white space, control characters and no-break
// spaces, of Latin-1 or UTF-8, at its ends.
func unstray(s string) string {
	const nbsp = "\u00a0"
	stray := func(c byte) bool { return c <= ' ' || c == 0x7f || c == 0xa0 }
	for {
		before := len(s)
		s = strings.TrimSuffix(strings.TrimPrefix(s, nbsp), nbsp)
		if s != "" && stray(s[0]) {
			s = s[1:]
		}
		if s != "" && stray(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if len(s) == before {
			return s
		}
	}
}

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

// split takes a list with colons apart. White space around its members does
// not count.
func split(value string) []string {
	out := strings.Split(value, ":")
	for i := range out {
		out[i] = trim(out[i])
	}
	return out
}

// lists reports whether a list with colons has the word. Words of the grammar
// are in any case (RFC 5234, Section 2.3).
func lists(value, word string) bool {
	for v := range strings.SplitSeq(value, ":") {
		if strings.EqualFold(trim(v), word) {
			return true
		}
	}
	return false
}

// compact removes white space, which does not count in b=, bh=, p= and i=.
func compact(s string) string {
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

// decode reads base64. The padding may be absent, as the grammar of RFC 6376,
// Section 2.10, has it.
func decode(s string) ([]byte, bool) {
	s = compact(s)
	bare := strings.TrimRight(s, "=")
	if len(s)-len(bare) > 2 || bare == "" {
		return nil, false
	}
	out, err := base64.RawStdEncoding.DecodeString(bare)
	return out, err == nil
}

// unquote undoes dkim-quoted-printable, in which hexadecimal digits are in
// upper case (RFC 6376, Section 2.11).
func unquote(s string) (string, bool) {
	s = compact(s)
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
