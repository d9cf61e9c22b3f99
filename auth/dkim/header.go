package dkim

import (
	"bytes"
	"crypto/sha256"
	"hash/maphash"
	"slices"

	"dmarcgate/message"
)

// header is the header of a message, prepared once for all signatures. Names
// are found by a hash of their lower case, of which nobody can foresee
// collisions.
type header struct {
	fields message.Header
	seed   maphash.Seed
	lowest []int32  // by hash: the lowest field, plus one
	above  []int32  // by place: the next field of that hash further up, plus one
	taken  []int32  // by place: the last round in which the field was taken
	round  int32    // how many signatures have been hashed
	forms  [][]byte // by place: the relaxed form, made when needed
}

func newHeader(fields message.Header) *header {
	n, hashes := len(fields), 1
	for hashes < n {
		hashes *= 2
	}
	lists := make([]int32, hashes+2*n)
	h := &header{fields: fields, seed: maphash.MakeSeed(), lowest: lists[:hashes], above: lists[hashes : hashes+n], taken: lists[hashes+n:]}
	for i, f := range fields {
		first := h.first(f.Name)
		h.above[i] = *first
		*first = int32(i + 1)
	}
	return h
}

// first returns where the fields of a name begin, among others.
func (h *header) first(name string) *int32 {
	var sum maphash.Hash
	sum.SetSeed(h.seed)
	for i := range len(name) {
		_ = sum.WriteByte(lowerByte(name[i])) // it never fails
	}
	return &h.lowest[sum.Sum64()&uint64(len(h.lowest)-1)]
}

// take returns the place of the lowest field of a name that is not taken yet
// in this round, or -1. At most maxNames fields of the name have been.
func (h *header) take(name string) int {
	if len(h.fields) == 0 {
		return -1
	}
	for at := *h.first(name); at > 0; at = h.above[at-1] {
		if i := int(at - 1); h.taken[i] != h.round && isName(h.fields[i].Name, name) {
			h.taken[i] = h.round
			return i
		}
	}
	return -1
}

// isName reports whether a name is another in lower case.
func isName(name, low string) bool {
	if len(name) != len(low) {
		return false
	}
	for i := range len(name) {
		if lowerByte(name[i]) != low[i] {
			return false
		}
	}
	return true
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// hash returns the hash of the fields that s signs and of its own field (RFC
// 6376, Section 3.7). Each name takes the lowest field of that name that is
// not taken yet; when there is none it adds nothing, and so a name listed once
// more than there are fields guards against another one (Section 5.4.2). A
// signature does not sign itself as one of the fields.
func (h *header) hash(s *signature) []byte {
	out := sha256.New()
	h.round++
	h.taken[s.field] = h.round
	for _, name := range s.names {
		if i := h.take(name); i >= 0 {
			out.Write(h.form(i, s.relaxed))
		}
	}
	raw := s.signed(h.fields[s.field])
	if s.relaxed {
		raw = bytes.TrimSuffix(relaxField(raw), crlfs[:2])
	}
	out.Write(raw)
	return out.Sum(nil)
}

// maybeCut reports whether a field that s signs may be a part of a longer one.
func (h *header) maybeCut(s *signature) bool {
	for _, f := range h.fields {
		if len(f.Raw) <= mtaCut-mtaLine {
			continue
		}
		// In bytes as Postfix counts them: a line ends in LF, and the last in none.
		size := len(f.Raw) - bytes.Count(f.Raw, crlfs[:2]) - 1
		if size > mtaCut-mtaLine && size <= mtaCut && slices.Contains(s.names, lower(f.Name)) {
			return true
		}
	}
	return false
}

// form returns a field as it is hashed.
func (h *header) form(at int, relaxed bool) []byte {
	if !relaxed {
		return h.fields[at].Raw
	}
	if h.forms == nil {
		h.forms = make([][]byte, len(h.fields))
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
