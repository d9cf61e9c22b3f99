package lint

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"dmarcgate/policy"
	"dmarcgate/policy/lint/holder"
)

// sideBySide are networks /bits side by side.
func sideBySide(first string, n int) []netip.Prefix {
	p := netip.MustParsePrefix(first)
	var out []netip.Prefix
	for range n {
		out = append(out, p)
		a := p.Addr().As4()
		next := binary.BigEndian.Uint32(a[:]) + 1<<(32-p.Bits())
		binary.BigEndian.PutUint32(a[:], next)
		p = netip.PrefixFrom(netip.AddrFrom4(a), p.Bits())
	}
	return out
}

func trustText(found []TrustFinding) string {
	text := ""
	for _, f := range found {
		text += fmt.Sprintf("%d %d: %v\n", f.Level, f.Item, f.Fault)
	}
	return text
}

func TestCheckForwardersAllowsNoMoreThanOneOwnerHas(t *testing.T) {
	for _, tt := range []struct {
		list []netip.Prefix
		want string
	}{
		{nil, ""},
		{networks("192.0.2.1/32"), ""},
		{networks("10.0.0.0/8"), ""},
		{networks("20.0.0.0/8"), ""},
		{networks("10.0.0.0/7"), "2 0: 10.0.0.0/7 is too wide to be trusted; name networks of the forwarder, /8 or narrower\n"},
		{networks("2001:db8::/32", "0.0.0.0/0"), "2 1: 0.0.0.0/0 is too wide to be trusted; name networks of the forwarder, /8 or narrower\n"},
		{networks("2400::/16"), ""},
		{networks("2000::/15"), "2 0: 2000::/15 is too wide to be trusted; name networks of the forwarder, /16 or narrower\n"},
		{sideBySide("20.0.0.0/16", 256), ""},
		{append(sideBySide("20.0.0.0/16", 256), networks("198.51.100.7/32")...),
			"2 -1: has 16777217 addresses of IPv4 outside private networks, more than 16777216; name networks of the forwarder\n"},
	} {
		if got := trustText(CheckForwarders(tt.list)); got != tt.want {
			t.Errorf("CheckForwarders(%v) = %q; want %q", tt.list, got, tt.want)
		}
	}
}

// The limits are those of rules, and what is exactly there is on the good side.
func TestCheckTrustedAtItsLimits(t *testing.T) {
	const fix = "; name the hosts or networks that are yours"
	for _, tt := range []struct {
		name string
		list []netip.Prefix
		want string
	}{
		{"the widest", networks("20.0.0.0/16", "2a00::/32"), ""},
		{"one bit wider", networks("20.0.0.0/15"), "2 0: 20.0.0.0/15 is too wide to be trusted" + fix + ", /16 or narrower\n"},
		{"one bit wider, IPv6", networks("2a00::/31"), "2 0: 2a00::/31 is too wide to be trusted" + fix + ", /32 or narrower\n"},
		{"many, exactly", sideBySide("20.0.0.0/16", 4), ""},
		{"one above many", append(sideBySide("20.0.0.0/16", 4), networks("192.0.2.1/32")...),
			"1 -1: has 262145 addresses of IPv4 outside private networks, more than 262144" + fix + "\n"},
		{"too many, exactly", sideBySide("20.0.0.0/16", 16),
			"1 -1: has 1048576 addresses of IPv4 outside private networks, more than 262144" + fix + "\n"},
		{"one above too many", append(sideBySide("20.0.0.0/16", 16), networks("192.0.2.1/32")...),
			"2 -1: has 1048577 addresses of IPv4 outside private networks, more than 1048576" + fix + "\n"},
		{"each address once", append(sideBySide("20.0.0.0/16", 4), sideBySide("20.0.0.0/17", 8)...), ""},
		{"a gateway that many organizations buy", networks("205.139.110.0/24"),
			"1 0: 205.139.110.0/24 holds addresses of 205.139.110.0/24, of a mail gateway that sends for every organization that buys it" + fix + "\n"},
		{"a gateway and a service for everybody", networks("205.139.110.0/24", "167.89.1.0/24"),
			"1 0: 205.139.110.0/24 holds addresses of 205.139.110.0/24, of a mail gateway that sends for every organization that buys it" + fix + "\n" +
				"2 1: 167.89.1.0/24 holds addresses of 167.89.0.0/17, of a service that sends for its customers, where anybody can open an account" + fix + "\n"},
		{"private ones do not count", append(sideBySide("10.0.0.0/16", 256), sideBySide("20.0.0.0/16", 4)...), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := trustText(CheckTrusted(tt.list)); got != tt.want {
				t.Errorf("CheckTrusted = %q; want %q", got, tt.want)
			}
		})
	}
}

// Whatever is accepted lets in no more than the limit, and none of a tunnel.
func TestCheckTrustedNeverLetsInATranslator(t *testing.T) {
	for _, s := range tunnels() {
		for bits := s.Bits(); bits <= s.Addr().BitLen(); bits += 8 {
			p := netip.PrefixFrom(s.Addr(), bits)
			if found := CheckTrusted([]netip.Prefix{p}); len(found) != 1 || found[0].Level != policy.Error {
				t.Errorf("CheckTrusted(%v) = %v; want an error", p, found)
			}
		}
	}
}

// tunnels are the networks through which anybody sends.
func tunnels() []netip.Prefix {
	list := []netip.Prefix{siteTranslator}
	for _, h := range holder.Networks() {
		if h.Access == holder.Anybody {
			list = append(list, h.Network)
		}
	}
	return list
}
