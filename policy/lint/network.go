package lint

import (
	"net/netip"

	"dmarcgate/policy/pattern"
)

// What anchors may hold, our limits. Those of IPv6 count in the networks that
// sites get, /48 (RFC 6177, Section 2), so that they are as wide as those of
// IPv4 in addresses.
const (
	narrow4, narrow6 = 24, 48 // a network of one sender has at most so many addresses
	widest4, widest6 = 16, 32 // the widest network that may anchor a rule, with the authors named

	manyAddresses    = 1 << 18 // all networks of a rule together: a warning
	tooMuchAddresses = 1 << 20 // and an error
)

var (
	// privateNetworks are in every site (RFC 6890), or in none as a client.
	privateNetworks = networks(
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10", "0.0.0.0/8", "224.0.0.0/3",
		"fc00::/7", "fe80::/10", "::1/128", "ff00::/8", "64:ff9b:1::/48",
	)
)

func networks(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// widest returns the network, or the widest ones of a map.
func widest(p pattern.Network) []netip.Prefix {
	if p.Map() != nil {
		return p.Map().Widest()
	}
	prefix, _ := p.Prefix()
	return []netip.Prefix{prefix}
}

func wider(p netip.Prefix, bits4, bits6 int) bool { return p.Bits() < bitsOf(p, bits4, bits6) }

// bitsOf returns the limit for the family of p.
func bitsOf(p netip.Prefix, bits4, bits6 int) int {
	if p.Addr().Is4() {
		return bits4
	}
	return bits6
}

// TooMany reports whether so many addresses of IPv4, or networks /64 of IPv6, are more
// than one party has.
func TooMany(addresses4, networks64 uint64) bool {
	return addresses4 > tooMuchAddresses || networks64>>(64-narrow6) > tooMuchAddresses
}
