package policy

import (
	"fmt"
	"net/netip"
)

// NetPattern is a set of addresses that a rule names: a network, or a map of
// them. The zero value holds none.
type NetPattern struct {
	prefix netip.Prefix
	list   *NetMap
}

// NetOf is the pattern that holds the addresses of a network.
func NetOf(p netip.Prefix) NetPattern { return NetPattern{prefix: p} }

// NetMapPattern is the pattern that holds what a map does.
func NetMapPattern(m *NetMap) NetPattern { return NetPattern{list: m} }

// Map returns the map that p is, or nil.
func (p NetPattern) Map() *NetMap { return p.list }

// Prefix returns the network, and whether the pattern is one.
func (p NetPattern) Prefix() (netip.Prefix, bool) {
	return p.prefix, p.list == nil && p.prefix.IsValid()
}

// String returns the pattern as it is written in a rule.
func (p NetPattern) String() string {
	if p.list != nil {
		return "map:" + p.list.Name
	}
	return p.prefix.String()
}

// MarshalText implements encoding.TextMarshaler.
func (p NetPattern) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a network.
func (p *NetPattern) UnmarshalText(text []byte) error {
	prefix, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a network", text)
	}
	*p = NetOf(prefix)
	return nil
}

// within reports whether the addresses of a network are in p: all, some, or
// none of them.
func (p NetPattern) within(n netip.Prefix) truth {
	switch {
	case p.list != nil:
		return p.list.within(n)
	case !p.prefix.Overlaps(n):
		return no
	case p.prefix.Bits() <= n.Bits():
		return yes
	}
	return unsure
}
