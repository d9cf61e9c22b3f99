package dkim

import (
	"bytes"
	"crypto/sha256"

	"dmarcgate/message"
)

// header is the header of a message, prepared once for all signatures.
type header struct {
	fields message.Header
	byName map[string][]int // places of the fields of a name, top first
	forms  [][]byte         // by place: the relaxed form, made when needed
}

func newHeader(fields message.Header) *header {
	h := &header{fields: fields, byName: make(map[string][]int), forms: make([][]byte, len(fields))}
	for i, f := range fields {
		name := lower(f.Name)
		h.byName[name] = append(h.byName[name], i)
	}
	return h
}

// hash returns the hash of the fields that s signs and of its own field (RFC
// 6376, Section 3.7). Each name takes the lowest field of that name that is
// not taken yet; when there is none it adds nothing, and so a name listed once
// more than there are fields guards against another one (Section 5.4.2).
func (h *header) hash(s *signature) []byte {
	out := sha256.New()
	left := make(map[string][]int)
	for _, name := range s.names {
		at, known := left[name]
		if !known {
			at = without(h.byName[name], s.field)
		}
		if n := len(at); n > 0 {
			out.Write(h.form(at[n-1], s.relaxed))
			at = at[:n-1]
		}
		left[name] = at
	}
	if s.relaxed {
		out.Write(bytes.TrimSuffix(relaxField(s.raw), crlfs[:2]))
	} else {
		out.Write(s.raw)
	}
	return out.Sum(nil)
}

// without returns places without one: a signature does not sign itself as one
// of the fields.
func without(places []int, one int) []int {
	for i, p := range places {
		if p == one {
			return append(append(make([]int, 0, len(places)), places[:i]...), places[i+1:]...)
		}
	}
	return places
}

// form returns a field as it is hashed.
func (h *header) form(at int, relaxed bool) []byte {
	if !relaxed {
		return h.fields[at].Raw
	}
	if h.forms[at] == nil {
		h.forms[at] = relaxField(h.fields[at].Raw)
	}
	return h.forms[at]
}

// relaxField is the relaxed header canonicalization (RFC 6376, Section 3.4.2):
// the name in lower case, folds undone, runs of white space as one space and
// none around the colon or at the end, one CRLF.
func relaxField(raw []byte) []byte {
	name, value, _ := bytes.Cut(raw, []byte{':'})
	out := make([]byte, 0, len(raw)+3)
	out = append(lowerBytes(append(out, bytes.TrimRight(name, " \t")...)), ':')
	value = bytes.TrimSuffix(value, crlfs[:2])
	gap, start := false, len(out)
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c == ' ' || c == '\t' {
			gap = true
			continue
		}
		if c == '\r' && isFold(value[i:]) {
			i++
			continue
		}
		if gap && len(out) > start {
			out = append(out, ' ')
		}
		gap = false
		out = append(out, c)
	}
	return append(out, '\r', '\n')
}

// isFold reports whether s begins with a line break that white space follows.
func isFold(s []byte) bool {
	return len(s) > 2 && s[1] == '\n' && (s[2] == ' ' || s[2] == '\t')
}
