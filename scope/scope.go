// Package scope says what belongs together where mail is counted, compared and
// decided: the names at or below a domain, and the network around a client.
//
// It imports no other room, so that every room may use it. Domains are given in
// the form that message.ParseDomain returns: lower case, A-labels, no final dot.
package scope

import (
	"net/netip"
	"strings"
)

// AtOrBelow reports whether domain is top or a subdomain of top. Nothing is at
// or below the empty top, which stands for a domain that is not known.
func AtOrBelow(domain, top string) bool {
	return top != "" && (domain == top || strings.HasSuffix(domain, "."+top))
}

// Bits of a client network. A /24 or a /48 is held by one party more often than
// not, and is rented as a whole for less than a domain costs a year. Counted by
// address, the holder would be 256 clients, or 2^80.
const (
	clientBits4 = 24
	clientBits6 = 48
)

// ClientNetwork returns the network that stands for a client, without zone and
// not in IPv6 form for an IPv4 client: /24 of IPv4, /48 of IPv6. It is the zero
// prefix for the zero address.
func ClientNetwork(client netip.Addr) netip.Prefix {
	client = client.Unmap().WithZone("")
	bits := clientBits6
	if client.Is4() {
		bits = clientBits4
	}
	p, _ := client.Prefix(bits) // the only error is that of the zero address
	return p
}
