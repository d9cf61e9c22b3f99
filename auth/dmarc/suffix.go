package dmarc

import (
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Suffixes finds Organizational Domains by a list of public suffixes (RFC 7489,
// Section 3.2). Implementations are safe for use by several goroutines.
type Suffixes interface {
	// Org returns the suffix of domain and one label more, or "" when domain
	// is itself a suffix or no domain.
	Org(domain string) string
}

// PublicSuffix returns the list built into golang.org/x/net, both of its
// sections, as other receivers use it. A top-level domain that is not listed
// counts as a suffix.
func PublicSuffix() Suffixes { return builtinList{} }

type builtinList struct{}

func (builtinList) Org(domain string) string {
	if !isLowerASCII(domain) {
		return ""
	}
	org, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil {
		return "" // a suffix, an address, or an empty label
	}
	return org
}

// isLowerASCII guards the list, which gives wrong answers for other names and
// says nothing: for EXAMPLE.CO.UK it is CO.UK (x/net v0.62.0).
func isLowerASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return r >= 0x80 || 'A' <= r && r <= 'Z'
	}) < 0
}
