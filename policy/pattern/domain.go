package pattern

import (
	"cmp"
	"fmt"
	"iter"
	"strings"

	"golang.org/x/net/idna"
)

// Domain is a set of domains that a rule names. The zero value holds none.
type Domain struct {
	kind   Kind
	domain string // lower-case A-labels; of a map its name
	list   *DomainMap
}

// Kind says which domains a pattern holds.
type Kind uint8

// The kinds. The zero value holds no domain.
const (
	None         Kind = iota
	Exact             // "example.org": that domain alone
	Below             // ".example.org": every name below it, not itself
	Organization      // "org:example.org": those whose Organizational Domain it is
	Listed            // "map:NAME": what a DomainMap holds
)

var forms = []string{"", "", ".", "org:", "map:"}

// NewDomain returns the pattern of a kind other than Listed that has a name,
// which is in lower-case A-labels. ParseDomain checks names; NewDomain does not.
func NewDomain(kind Kind, name string) Domain { return Domain{kind: kind, domain: name} }

// Kind returns which domains p holds.
func (p Domain) Kind() Kind { return p.kind }

// Name returns the domain that p names, without what its kind puts in front of
// it; of a map its name.
func (p Domain) Name() string { return p.domain }

// Map returns the map that p is, or nil.
func (p Domain) Map() *DomainMap { return p.list }

// String returns the pattern as it is written in a rule.
func (p Domain) String() string { return forms[p.kind] + p.domain }

// MarshalText implements encoding.TextMarshaler.
func (p Domain) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText accepts what ParseDomain does, so no map: what one holds is
// not in its name.
func (p *Domain) UnmarshalText(text []byte) error {
	parsed, err := ParseDomain(string(text))
	*p = parsed
	return err
}

// Examples is the fix of the faults that ParseDomain finds in what is no name.
const Examples = `write "example.org", ".example.org" for every name below it, or "org:example.org"`

// ParseDomain reads "example.org", ".example.org" or "org:example.org", in
// ASCII and any letter case. A top-level domain can be named, but not every
// name below it. The error is a Fault without a key.
func ParseDomain(s string) (Domain, error) {
	p := Domain{kind: Exact, domain: strings.ToLower(s)}
	for kind := Organization; kind > Exact; kind-- {
		if rest, ok := strings.CutPrefix(p.domain, forms[kind]); ok {
			p = Domain{kind: kind, domain: rest}
			break
		}
	}
	switch {
	case !isName(p.domain):
		return Domain{}, notAName(s, p)
	case p.kind != Exact && !strings.Contains(p.domain, "."):
		return Domain{}, Fault{Text: fmt.Sprintf("%q is a whole top-level domain", s), Fix: "name the domains that are meant"}
	}
	return p, nil
}

func notAName(s string, p Domain) Fault {
	f := Fault{Text: fmt.Sprintf("%q is not a domain or a set of them", s), Fix: Examples}
	if a, err := idna.Lookup.ToASCII(p.domain); err == nil && a != p.domain && isName(a) {
		f.Text = fmt.Sprintf("%q is not in ASCII", s)
		f.Fix = fmt.Sprintf("write %q", forms[p.kind]+a)
	}
	return f
}

// isName reports whether s is a name of lower-case letters, digits, hyphens
// and underscores, as domains in Facts are. An address is none: its last
// label is a number, and no top-level domain is.
func isName(s string) bool {
	if len(s) > 253 { // RFC 1035, Section 2.3.4
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || !isLabel(label) {
			return false
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}

func isLabel(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Holds reports whether domain is in p, org being its Organizational Domain,
// or "" when that is not known: then it may be domain itself.
func (p Domain) Holds(domain, org string) bool {
	switch p.kind {
	case Exact:
		return domain == p.domain
	case Below:
		return strings.HasSuffix(domain, "."+p.domain)
	case Organization:
		return cmp.Or(org, domain) == p.domain
	case Listed:
		return p.list.Holds(domain, org)
	}
	return false
}

// Above returns the names that domain is below: "b.c" and "c" for "a.b.c".
func Above(domain string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			i := strings.IndexByte(domain, '.')
			if i < 0 {
				return
			}
			if domain = domain[i+1:]; !yield(domain) {
				return
			}
		}
	}
}
