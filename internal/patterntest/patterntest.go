// Package patterntest writes lists of domains and networks as rules have them, for
// tests. A text that is not valid is a fault of the test, and panics.
package patterntest

import (
	"net/netip"

	"dmarcgate/policy/pattern"
)

// Domains are the patterns of these texts, such as "shop.example" and
// ".shop.example".
func Domains(texts ...string) []pattern.Domain {
	var out []pattern.Domain
	for _, s := range texts {
		p, err := pattern.ParseDomain(s)
		if err != nil {
			panic(err)
		}
		out = append(out, p)
	}
	return out
}

// Networks are the networks of prefixes such as "192.0.2.0/24".
func Networks(texts ...string) []pattern.Network {
	var out []pattern.Network
	for _, p := range Prefixes(texts...) {
		out = append(out, pattern.NetworkOf(p))
	}
	return out
}

// Prefixes are prefixes such as "192.0.2.0/24".
func Prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}
