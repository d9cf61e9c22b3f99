package policy

import (
	"fmt"
	"strings"

	"golang.org/x/net/idna"

	"dmarcgate/auth/dmarc"
)

// DomainPattern is a set of domains that a rule names. The zero value holds
// none.
type DomainPattern struct {
	kind   patternKind
	domain string // lower-case A-labels; of a map its name
	list   *DomainMap
}

type patternKind uint8

const (
	nothing      patternKind = iota
	exact                    // "example.org": that domain alone
	below                    // ".example.org": every name below it, not itself
	organization             // "org:example.org": those whose Organizational Domain it is
	listed                   // "map:NAME": what a DomainMap holds
)

var patternForms = []string{"", "", ".", "org:", "map:"}

// MapPattern is the pattern that holds what a map does.
func MapPattern(m *DomainMap) DomainPattern {
	return DomainPattern{kind: listed, domain: m.Name, list: m}
}

// Map returns the map that p is, or nil.
func (p DomainPattern) Map() *DomainMap { return p.list }

// String returns the pattern as it is written in a rule.
func (p DomainPattern) String() string { return patternForms[p.kind] + p.domain }

// MarshalText implements encoding.TextMarshaler.
func (p DomainPattern) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText accepts what ParsePattern does, so no map: what one holds is
// not in its name.
func (p *DomainPattern) UnmarshalText(text []byte) error {
	parsed, err := ParsePattern(string(text))
	*p = parsed
	return err
}

const patternExamples = `write "example.org", ".example.org" for every name below it, or "org:example.org"`

// ParsePattern reads "example.org", ".example.org" or "org:example.org", in
// ASCII and any letter case. A top-level domain can be named, but not every
// name below it. The error is a Fault without a key.
func ParsePattern(s string) (DomainPattern, error) {
	p := DomainPattern{kind: exact, domain: strings.ToLower(s)}
	for kind := organization; kind > exact; kind-- {
		if rest, ok := strings.CutPrefix(p.domain, patternForms[kind]); ok {
			p = DomainPattern{kind: kind, domain: rest}
			break
		}
	}
	switch {
	case !isName(p.domain):
		return DomainPattern{}, notAName(s, p)
	case p.kind != exact && !strings.Contains(p.domain, "."):
		return DomainPattern{}, Fault{Text: fmt.Sprintf("%q is a whole top-level domain", s), Mend: "name the domains that are meant"}
	}
	return p, nil
}

func notAName(s string, p DomainPattern) Fault {
	f := Fault{Text: fmt.Sprintf("%q is not a domain or a set of them", s), Mend: patternExamples}
	if a, err := idna.Lookup.ToASCII(p.domain); err == nil && a != p.domain && isName(a) {
		f.Text = fmt.Sprintf("%q is not in ASCII", s)
		f.Mend = fmt.Sprintf("write %q", patternForms[p.kind]+a)
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

// holds reports whether domain is in p, org being its Organizational Domain,
// or "" when that is not known: then it may be domain itself.
func (p DomainPattern) holds(domain, org string) bool {
	switch p.kind {
	case exact:
		return domain == p.domain
	case below:
		return strings.HasSuffix(domain, "."+p.domain)
	case organization:
		return orgOrSelf(domain, org) == p.domain
	case listed:
		return p.list.holds(domain, org)
	}
	return false
}

// wide reports whether p holds domains of owners that have nothing to do with
// each other: everything below a public suffix. Whoever asks about a map looks
// at what it holds.
func (p DomainPattern) wide() bool {
	return p.kind != listed && p.kind != exact && dmarc.PublicSuffix().Org(p.domain) == ""
}
