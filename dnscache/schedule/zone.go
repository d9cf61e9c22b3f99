package schedule

import (
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Labels below in-addr.arpa and ip6.arpa that are one zone here: the /24 and
// the /48, as of clients (scope.ClientNetwork).
const (
	reverse4 = 3
	reverse6 = 12
)

// zoneOf returns the zone that a lookup of a clean name is charged to: the
// organizational domain by the public suffix list, without its part of private
// domains. Below those anybody gets a name for nothing, and one operator
// serves them all. Of reverse names it is the network.
func zoneOf(name string) string {
	if z, ok := below(name, "in-addr.arpa", reverse4); ok {
		return z
	}
	if z, ok := below(name, "ip6.arpa", reverse6); ok {
		return z
	}
	suffix, icann := publicsuffix.PublicSuffix(name)
	for !icann {
		_, parent, ok := strings.Cut(suffix, ".")
		if !ok {
			break
		}
		suffix, icann = publicsuffix.PublicSuffix(parent)
	}
	z, _ := below(name, suffix, 1)
	return z
}

// below returns the last labels of name in front of suffix together with it,
// or name when it has fewer, and whether name ends in suffix.
func below(name, suffix string, labels int) (string, bool) {
	if name == suffix {
		return name, true
	}
	rest, ok := strings.CutSuffix(name, "."+suffix)
	if !ok {
		return name, false
	}
	at := len(rest)
	for range labels {
		if at = strings.LastIndexByte(rest[:max(at, 0)], '.'); at < 0 {
			return name, true
		}
	}
	return name[at+1:], true
}
