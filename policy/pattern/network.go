package pattern

import (
	"fmt"
	"net/netip"
)

// Network is a set of addresses that a rule names: a network, or a map of
// them. The zero value holds none.
type Network struct {
	prefix netip.Prefix
	list   *NetMap
}

// NetworkOf returns the pattern that holds the addresses of a network.
func NetworkOf(p netip.Prefix) Network { return Network{prefix: p} }

// Map returns the map that p is, or nil.
func (p Network) Map() *NetMap { return p.list }

// Prefix returns the network, and whether the pattern is one.
func (p Network) Prefix() (netip.Prefix, bool) {
	return p.prefix, p.list == nil && p.prefix.IsValid()
}

// String returns the pattern as it is written in a rule.
func (p Network) String() string {
	if p.list != nil {
		return "map:" + p.list.Name
	}
	return p.prefix.String()
}

// MarshalText implements encoding.TextMarshaler.
func (p Network) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a network.
func (p *Network) UnmarshalText(text []byte) error {
	prefix, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a network", text)
	}
	*p = NetworkOf(prefix)
	return nil
}

// Covers reports whether p holds every address of a network.
func (p Network) Covers(n netip.Prefix) bool {
	if p.list != nil {
		return p.list.Covers(n)
	}
	return p.prefix.Overlaps(n) && p.prefix.Bits() <= n.Bits()
}

// Overlaps reports whether p holds at least one address of a network.
func (p Network) Overlaps(n netip.Prefix) bool {
	if p.list != nil {
		return p.list.Overlaps(n)
	}
	return p.prefix.Overlaps(n)
}
