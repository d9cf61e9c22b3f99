package lint

import (
	"fmt"
	"net/netip"
	"slices"

	"dmarcgate/policy/lint/holder"
	"dmarcgate/policy/pattern"
)

// What networks may hold, our limits. Those of IPv6 count in the networks that
// sites get, /48 (RFC 6177, Section 2), so that they are as wide as those of
// IPv4 in addresses.
const (
	narrow4, narrow6 = 24, 48 // a network of one sender has at most so many addresses
	manyAddresses    = 1 << 18
	tooMuchAddresses = 1 << 20
)

// limits are how wide the networks of one list may be.
type limits struct {
	bits4, bits6 int       // of each
	most, many   [2]uint64 // of all together: addresses of IPv4, and networks /48 of IPv6
}

// anchors are the limits of networks that anchor a rule with its authors named, and
// of trusted ones: more than many is a warning, more than most an error.
var anchors = limits{16, 32, [2]uint64{tooMuchAddresses, tooMuchAddresses}, [2]uint64{manyAddresses, manyAddresses}}

func (l *limits) tooWide(p netip.Prefix) bool { return p.Bits() < l.bits(p) }

// bits returns the limit for the family of p.
func (l *limits) bits(p netip.Prefix) int {
	if p.Addr().Is4() {
		return l.bits4
	}
	return l.bits6
}

// above tells who can be in one of so many networks, by the limit that they are above:
// one party where they are above none.
func (l *limits) above(m *pattern.NetMap) (e effort, n uint64, of string, limit uint64) {
	n4, n6 := m.Size()
	for _, step := range []struct {
		effort
		limit [2]uint64
	}{{account, l.most}, {customer, l.many}} {
		switch {
		case n4 > step.limit[0]:
			return step.effort, n4, "addresses of IPv4", step.limit[0]
		case n6 > step.limit[1]:
			return step.effort, n6, fmt.Sprintf("networks /%d of IPv6", narrow6), step.limit[1]
		}
	}
	return party, 0, "", 0
}

// ownNetworks are private networks, of which a host sees its own site only:
// they are as wide as the site made them (RFC 1918; RFC 6598; RFC 4193; loopback
// and link-local addresses).
var ownNetworks = networks(
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10",
	"fc00::/7", "fe80::/10", "::1/128",
)

// siteTranslator is a translator that a site may have of its own (RFC 8215).
var siteTranslator = netip.MustParsePrefix("64:ff9b:1::/48")

// privateNetworks are in every site (RFC 6890), or in none as a client.
var privateNetworks = append(networks("0.0.0.0/8", "224.0.0.0/3", "ff00::/8", siteTranslator.String()), ownNetworks...)

// attackerAddrs are clients of the adversary's own: of networks for documentation, or
// else anywhere.
var attackerAddrs = func() []netip.Prefix {
	list := networks("198.51.100.77/32", "203.0.113.77/32", "2001:db8:77::77/128")
	for first := byte(1); first < 224; first++ {
		if p := netip.PrefixFrom(netip.AddrFrom4([4]byte{first, 0, 2, 77}), 32); !slices.ContainsFunc(privateNetworks, p.Overlaps) {
			list = append(list, p)
		}
	}
	return list
}()

func networks(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// addresses returns client addresses that the networks of yes hold and those of no
// do not, the cheapest first.
func addresses(yes, no []pattern.Network) (found []way) {
	add := func(list []netip.Prefix, w way) {
		for _, host := range list {
			if !slices.ContainsFunc(no, func(n pattern.Network) bool { return n.Covers(host) }) {
				w.value, w.kind = host.Addr().String(), byClient
				found = append(found, w)
			}
		}
	}
	if yes == nil {
		add(attackerAddrs, way{})
		return found[:min(len(found), 3)]
	}
	all := together(yes)
	for _, n := range yes {
		for _, h := range holder.Networks() {
			if !n.Overlaps(h.Network) {
				continue
			}
			if both := inBoth([]pattern.Network{n}, []pattern.Network{pattern.NetworkOf(h.Network)}); len(both) > 0 {
				add(hosts(both[0])[:1], way{effort: effort(h.Access), by: fmt.Sprintf("the client is in %v, of %s", h.Network, h.Words)})
			}
		}
		for _, p := range widest(n) {
			w := way{effort: party, by: fmt.Sprintf("the client is in %v", n), owner: n.String(), wide: p.Bits() < (&limits{bits4: narrow4, bits6: narrow6}).bits(p)}
			switch {
			case all.effort < party:
				w = all
			case slices.ContainsFunc(privateNetworks, p.Overlaps):
				w.effort, w.by = customer, fmt.Sprintf("the client is in %v, which can be every client behind a NAT or proxy of yours", n)
			}
			add(some(p), w)
		}
	}
	slices.SortStableFunc(found, cheaper)
	return found[:min(len(found), 64)]
}

// together tells whether networks are too many addresses for one party: whoever
// rents a host has one of them.
func together(list []pattern.Network) way {
	var own []netip.Prefix
	var maps []*pattern.NetMap
	for _, n := range list {
		for _, p := range widest(n) {
			if anchors.tooWide(p) {
				return way{effort: account, by: fmt.Sprintf("the client is in %v, which is wider than what one party has", p)}
			}
		}
		if p, ok := n.Prefix(); ok {
			own = append(own, p)
		} else {
			maps = append(maps, n.Map())
		}
	}
	e, n, of, _ := anchors.above(pattern.JoinNetMaps("", append(maps, pattern.NewNetMap("", own))...))
	text := fmt.Sprintf("the client is in one of %d %s", n, of)
	if e == account {
		text += ", more than one party has"
	}
	return way{effort: e, by: text}
}

// widest returns the network, or the widest ones of a map.
func widest(p pattern.Network) []netip.Prefix {
	if p.Map() != nil {
		return p.Map().Widest()
	}
	prefix, _ := p.Prefix()
	return []netip.Prefix{prefix}
}

// inBoth returns networks of one list that the other holds, as far as some of their
// hosts tell, or else hosts.
func inBoth(a, b []pattern.Network) (list []pattern.Network) {
	for i, n := range slices.Concat(a, b) {
		other := b
		if i >= len(a) {
			other = a
		}
		out := func(host netip.Prefix) bool {
			return !slices.ContainsFunc(other, func(n pattern.Network) bool { return n.Covers(host) })
		}
		if !slices.ContainsFunc(hosts(n), out) {
			list = append(list, n)
			continue
		}
		for _, host := range slices.DeleteFunc(hosts(n), out) {
			list = append(list, pattern.NetworkOf(host))
		}
	}
	return list
}

// hosts returns some of each of the widest networks of n.
func hosts(n pattern.Network) (list []netip.Prefix) {
	for _, p := range widest(n) {
		list = append(list, some(p)...)
	}
	return list
}

// some returns a few hosts of p: the first two, and the last.
func some(p netip.Prefix) []netip.Prefix {
	first := p.Masked().Addr()
	b := first.AsSlice()
	for i := p.Bits(); i < first.BitLen(); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	var list []netip.Prefix
	for _, a := range []netip.Addr{first, first.Next(), last} {
		if host := netip.PrefixFrom(a, a.BitLen()); p.Contains(a) && !slices.Contains(list, host) {
			list = append(list, host)
		}
	}
	return list
}

// TooMany reports whether so many addresses of IPv4, or networks /64 of IPv6, are more
// than one party has.
func TooMany(addresses4, networks64 uint64) bool {
	return addresses4 > tooMuchAddresses || networks64>>(64-narrow6) > tooMuchAddresses
}
