package arc

import (
	"fmt"
	"strings"

	"dmarcgate/auth/dkim"
)

// kind is one of the three fields of a set.
type kind uint8

const (
	results kind = iota
	message
	seal
	kinds
)

// String returns the name of the field.
func (k kind) String() string {
	return [...]string{"ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"}[k]
}

// field is one field of a chain.
type field struct {
	kind     kind
	place    int        // in the header
	instance int        // 0 when it has none
	payload  string     // of results
	link     *dkim.Link // of the other two
}

// failed says why a chain fails with f.
func (f *field) failed(why string) string {
	return fmt.Sprintf("%v %d: %s", f.kind, f.instance, why)
}

// set is the fields of one instance; nil stands for one that is not there.
type set [kinds]*field

// find returns the fields of ARC of a header, unread. One more than a chain
// may have is enough to know. Of a header that is not whole nothing is known: a
// missing field could belong to the chain, or be signed by it.
func find(d *dkim.Run) (found []*field) {
	if !d.Whole() {
		return nil
	}
	for i, f := range d.Header() {
		for k := range kinds {
			if len(f.Name) == len(k.String()) && strings.EqualFold(f.Name, k.String()) {
				found = append(found, &field{kind: k, place: i})
			}
		}
		if len(found) > maxFields {
			break
		}
	}
	return found
}

// read reads a field and its instance.
func (f *field) read(d *dkim.Run) {
	switch f.kind {
	case results:
		f.instance, f.payload = parseResults(d.Header()[f.place].Value())
		return
	case message:
		f.link = d.MessageSignature(f.place)
	default:
		f.link = d.Seal(f.place)
	}
	f.instance = instance(f.link.Tag("i"))
}

// structure puts the fields into their sets, oldest first, and evaluates the
// structure (RFC 8617, Section 5.2, steps 1 to 3). Without sets it says what
// is wrong.
func structure(d *dkim.Run, fields []*field) (_ []set, wrong string) {
	switch {
	case len(fields) > maxFields:
		return nil, "more than 50 sets"
	case tooLong(d, fields):
		return nil, "the fields of ARC are too long"
	}
	sets := make([]set, MaxSets)
	newest := 0
	for _, f := range fields {
		if f.read(d); f.instance == 0 {
			return nil, fmt.Sprintf("%v without a valid i=", f.kind)
		}
		s := &sets[f.instance-1]
		if s[f.kind] != nil {
			return nil, fmt.Sprintf("two of %v %d", f.kind, f.instance)
		}
		s[f.kind] = f
		newest = max(newest, f.instance)
	}
	sets = sets[:newest]
	if wrong = missing(sets); wrong == "" {
		wrong = status(sets)
	}
	if wrong != "" {
		return nil, wrong
	}
	return sets, ""
}

// tooLong reports whether the fields have more bytes than are read.
func tooLong(d *dkim.Run, fields []*field) bool {
	total := 0
	for _, f := range fields {
		size := len(d.Header()[f.place].Raw)
		if total += size; size > maxField || total > maxBytes {
			return true
		}
	}
	return false
}

// missing names a field that is not there.
func missing(sets []set) string {
	for i, s := range sets {
		for k := range kinds {
			if s[k] == nil {
				return fmt.Sprintf("no %v %d", k, i+1)
			}
		}
	}
	return ""
}

// status evaluates what the seals say of the chain before them: none in the
// first, pass in all others. A chain once sealed as failed has failed for
// ever.
func status(sets []set) string {
	for i := len(sets) - 1; i >= 0; i-- {
		want, f := "pass", sets[i][seal]
		if i == 0 {
			want = "none"
		}
		switch cv := f.link.Tag("cv"); {
		case strings.EqualFold(cv, want):
		case strings.EqualFold(cv, "fail"):
			return f.failed("sealed as failed")
		default:
			return f.failed("cv= is not " + want)
		}
	}
	return ""
}
