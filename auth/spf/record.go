package spf

import (
	"context"
	"net/netip"
	"slices"
	"strings"
)

// version begins every record, in any case (RFC 7208, Section 4.5).
const version = "v=spf1"

// record is a whole record, of which every term has been checked. The zero
// record is that of a domain without one.
type record struct {
	published bool
	terms     []term
	redirect  string // domain-spec; empty when there is none
	exp       string // domain-spec; empty when there is none
}

// term is one directive (RFC 7208, Section 4.6.1).
type term struct {
	text      string // as written
	mechanism mechanism
	result    Status       // of a match: what the qualifier says
	domain    string       // domain-spec; empty: the domain of the record
	network   netip.Prefix // of ip4 and ip6
	bits4     uint8        // prefix lengths of a and mx
	bits6     uint8
}

// mechanism is a mechanism of RFC 7208, Section 5.
type mechanism uint8

const (
	unknown mechanism = iota
	mAll
	mInclude
	mA
	mMX
	mPTR
	mIP4
	mIP6
	mExists
)

// String returns the name of the mechanism in a record.
func (m mechanism) String() string {
	return [...]string{"unknown", "all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"}[m]
}

// mechanismOf returns unknown for what RFC 7208 does not have: that is an
// error of syntax (Section 4.6.1).
func mechanismOf(name string) mechanism {
	for m := mAll; m <= mExists; m++ {
		if strings.EqualFold(name, m.String()) {
			return m
		}
	}
	return unknown
}

// isRecord reports whether a TXT record is one of SPF: the version, then a
// space or the end. "v=spf10" is none (RFC 7208, Section 4.5).
func isRecord(txt string) bool {
	if len(txt) < len(version) || !strings.EqualFold(txt[:len(version)], version) {
		return false
	}
	return len(txt) == len(version) || txt[len(version)] == ' '
}

// reading is what the TXT records of a name are to SPF.
type reading struct {
	record  record
	failure *failure // a permerror
	text    string   // of a record that is too large to be kept as read
}

// lookupRecord returns what the TXT records of a name are to SPF. It means
// something beside the error of a stale answer, and beside no other.
func lookupRecord(ctx context.Context, r Resolver, name string) (reading, error) {
	if keeper, ok := r.(Keeper); ok {
		kept, err := keeper.Parsed(ctx, name, readToKeep)
		if found, ok := kept.(*reading); ok {
			return found.whole(), err
		}
		if err != nil && !isStale(err) {
			return reading{}, err
		}
	}
	txts, err := r.TXT(ctx, name)
	return read(txts), err
}

// readToKeep is read, in few bytes. A term has many times the bytes of its
// text, and a third party who publishes many short ones must not fill the memory
// of a cache, which knows the text only: such a record is read again.
func readToKeep(txts []string) any {
	r := read(txts)
	size := 0
	for _, txt := range txts {
		size += len(txt)
	}
	if len(r.record.terms) > keptTerms+size/keptBytes {
		i := slices.IndexFunc(txts, isRecord)
		return &reading{text: txts[i]}
	}
	r.record.terms = slices.Clone(r.record.terms) // without room for more
	return &r
}

// whole returns what the text says, if that was not kept.
func (r *reading) whole() reading {
	if r.text != "" {
		return read([]string{r.text})
	}
	return *r
}

// read selects the record of a domain and reads it (RFC 7208, Section 4.5).
func read(txts []string) (r reading) {
	text, found := "", false
	for _, txt := range txts {
		if !isRecord(txt) {
			continue
		}
		if found {
			return reading{failure: permanent("more than one SPF record")}
		}
		text, found = txt, true
	}
	if found {
		r.record, r.failure = parse(text)
	}
	return r
}
