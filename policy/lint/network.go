package lint

import (
	"fmt"
	"net/netip"
	"slices"

	"dmarcgate/policy"
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
	// openNetworks have an address for everybody who has one of IPv4.
	openNetworks = networks(
		"2002::/16",      // 6to4, RFC 3056
		"2001::/32",      // Teredo, RFC 4380
		"64:ff9b::/96",   // translators, RFC 6052
		"::/96",          // IPv4-compatible, RFC 4291, Section 2.5.5.1
		"192.88.99.0/24", // relays of 6to4, RFC 7526
	)
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

func wideNet(n pattern.Network) bool {
	return slices.ContainsFunc(widest(n), func(p netip.Prefix) bool { return wider(p, narrow4, narrow6) })
}

// inMap tells which map has the network that is at fault.
func inMap(n pattern.Network) string {
	if n.Map() == nil {
		return ""
	}
	return fmt.Sprintf(", in %q", n)
}

func wideNetwork(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	if !carries(r, "match.client") {
		return pattern.Fault{}, false
	}
	for _, n := range r.Match.Client {
		for _, p := range widest(n) {
			if wider(p, widest4, widest6) {
				return fault(true, "match.client", fmt.Sprintf("%v is too wide to be trusted%s", p, inMap(n)),
					fmt.Sprintf("name networks of the sender, /%d or narrower, or add spf_pass or dkim_pass", bitsOf(p, widest4, widest6)))
			}
		}
	}
	return pattern.Fault{}, false
}

func openNetwork(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	return inside(r, openNetworks, "is a tunnel or translator open to everybody", "name networks of the sender, or add spf_pass or dkim_pass")
}

func privateNetwork(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	return inside(r, privateNetworks, "can be every client behind a NAT or proxy of yours", "name the sender's public address, or add spf_pass or dkim_pass")
}

// inside finds a network that is in special ones, unless something else is
// trusted. One that is around them is too wide anyway.
func inside(r *policy.Rule, special []netip.Prefix, text, fix string) (pattern.Fault, bool) {
	if !carries(r, "match.client") {
		return pattern.Fault{}, false
	}
	for _, n := range r.Match.Client {
		for _, s := range special {
			if !n.Overlaps(s) {
				continue
			}
			name := n.String()
			if n.Map() != nil {
				name = fmt.Sprintf("%v, in %q,", s, n)
			}
			return fault(true, "match.client", name+" "+text, fix)
		}
	}
	return pattern.Fault{}, false
}

func tooManyAddresses(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	n4, n6 := addresses(r)
	return addressFault(n4, n6, tooMuchAddresses)
}

func quiteManyAddresses(r *policy.Rule, _ *Options) (pattern.Fault, bool) {
	n4, n6 := addresses(r)
	return addressFault(n4, n6, manyAddresses)
}

// addressFault: to write a wide network in pieces makes it no narrower.
func addressFault(n4, n6, most uint64) (pattern.Fault, bool) {
	text := fmt.Sprintf("has %d addresses of IPv4, more than %d", n4, most)
	if n4 <= most {
		text = fmt.Sprintf("has %d networks /%d of IPv6, more than %d", n6, narrow6, most)
	}
	return fault(n4 > most || n6 > most, "match.client", text, "name the hosts that send, or add spf_pass or dkim_pass")
}

// addresses returns how many addresses of IPv4, and how many networks /48 of
// IPv6, a rule accepts by nothing else: all of them together, each once.
func addresses(r *policy.Rule) (n4, n6 uint64) {
	if len(r.Match.Client) == 0 || !carries(r, "match.client") {
		return 0, 0
	}
	var own []netip.Prefix
	var lists []*pattern.NetMap
	for _, n := range r.Match.Client {
		if n.Map() != nil {
			lists = append(lists, n.Map())
		} else if p, ok := n.Prefix(); ok {
			own = append(own, p)
		}
	}
	return pattern.JoinNetMaps("", append(lists, pattern.NewNetMap("", own))...).Size()
}
