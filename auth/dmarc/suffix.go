package dmarc

import (
	"dmarcgate/scope"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Suffixes finds Organizational Domains by a list of public suffixes (RFC 7489,
// Section 3.2). Implementations are safe for use by several goroutines.
type Suffixes interface {
	// Org returns the suffix of domain and one label more as lower-case
	// A-labels, or "" when domain is itself a suffix or no domain.
	Org(domain string) string
}

// PublicSuffix returns the list built into golang.org/x/net, both of its
// sections, as other receivers use it. A top-level domain that is not listed
// counts as a suffix.
func PublicSuffix() Suffixes { return builtinList{} }

type builtinList struct{}

func (builtinList) Org(domain string) string {
	org, err := publicsuffix.EffectiveTLDPlusOne(normal(domain))
	if err != nil {
		return "" // a suffix, an address, or an empty label
	}
	return org
}

// Related reports whether two domains, as lower-case A-labels, could be of one
// organization as far as their names tell, before any record is known: one is
// at or below the other, or both are below one registered domain. It is a guess
// for the order of work and decides nothing.
func Related(a, b string) bool {
	if scope.AtOrBelow(a, b) || scope.AtOrBelow(b, a) {
		return true
	}
	org := registrable(a)
	return org != "" && scope.AtOrBelow(b, org)
}

// registrable returns the domain one label below the suffix of a registry, ""
// when there is none. Suffixes that companies have listed, such as github.io,
// count as registered: what is below them may be one organization by the tree
// walk (RFC 9989, Section 4.10.2).
func registrable(domain string) string {
	suffix, ofRegistry := publicsuffix.PublicSuffix(domain)
	for !ofRegistry && strings.Contains(suffix, ".") {
		suffix, ofRegistry = publicsuffix.PublicSuffix(suffix[strings.IndexByte(suffix, '.')+1:])
	}
	if domain == suffix {
		return ""
	}
	return lastLabels(domain, labels(suffix)+1)
}

// normal returns domain as lower-case A-labels, "" if it has none. Mail gives
// no other form, but the lists answer wrongly for one and say nothing: for
// EXAMPLE.CO.UK that of x/net v0.62.0 says CO.UK.
func normal(domain string) string {
	if isLowerASCII(domain) {
		return domain
	}
	// The strict profile would refuse the underscore, which names of mail
	// servers and keys have.
	profile := idna.New(idna.MapForLookup(), idna.StrictDomainName(false), idna.BidiRule())
	ascii, err := profile.ToASCII(domain)
	if err != nil {
		return ""
	}
	return ascii
}

func isLowerASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 || 'A' <= s[i] && s[i] <= 'Z' {
			return false
		}
	}
	return true
}
