package policy

import "net/netip"

// DomainMap is a long list of domains that rules name as "map:NAME". It does
// not change. The zero value holds none.
type DomainMap struct {
	Name string // as rules write it
	Sum  string // 12 hexadecimal digits of what it holds
}

// NetMap is the same of networks.
type NetMap struct {
	Name string
	Sum  string
}

// Holds reports whether an address is in one of the networks.
func (m *NetMap) Holds(netip.Addr) bool { return false }
