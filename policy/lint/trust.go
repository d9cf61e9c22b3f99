package lint

import (
	"fmt"
	"net/netip"
	"slices"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// TrustFinding is what is wrong with a list of the configuration that lets mail
// past DMARC, or past part of it. An error lets in anybody, or everybody who
// opens an account with some provider.
type TrustFinding struct {
	Level         policy.Level
	Item          int // index of the item at fault; -1 is the whole list
	pattern.Fault     // without a key
}

// Item of a finding about the whole list.
const wholeList = -1

// trustLevel is how wide the networks of a list may be: our limits.
type trustLevel struct {
	bits4, bits6 int     // the widest network
	most, many   amounts // of all networks together: an error and a warning above it
	fix          string
}

// amounts are addresses of IPv4, and networks /48 of IPv6.
type amounts struct{ v4, v6 uint64 }

var (
	// trustedLevel is that of networks that anchor a rule: mail from there is
	// not evaluated, or says itself which client it comes from.
	trustedLevel = trustLevel{
		widest4, widest6, amounts{tooMuchAddresses, tooMuchAddresses}, amounts{manyAddresses, manyAddresses},
		"name the hosts or networks that are yours",
	}
	// forwarderLevel is wider, since nothing is accepted because of a
	// forwarder: a rejection becomes quarantine. All together are no wider than
	// one may be, and there are no warnings.
	forwarderLevel = trustLevel{8, 16, amounts{1 << (32 - 8), 1 << (narrow6 - 16)}, amounts{^uint64(0), ^uint64(0)}, "name networks of the forwarder"}
)

// ownNetworks are private networks, of which a host sees its own site only:
// they are as wide as the site made them (RFC 1918; RFC 6598; RFC 4193; loopback
// and link-local addresses). privateNetworks has more: translators and
// multicast.
var ownNetworks = networks(
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10",
	"fc00::/7", "fe80::/10", "::1/128",
)

// siteTranslator is a translator that a site may have of its own (RFC 8215).
var siteTranslator = netip.MustParsePrefix("64:ff9b:1::/48")

// CheckTrusted returns what is wrong with networks whose mail is not evaluated
// (trusted_networks) or whose Received fields are believed ([[trusted_relay]]).
func CheckTrusted(list []netip.Prefix) []TrustFinding { return trustedLevel.check(list) }

// CheckForwarders returns what is wrong with networks of forwarders.
func CheckForwarders(list []netip.Prefix) []TrustFinding { return forwarderLevel.check(list) }

func (l trustLevel) check(list []netip.Prefix) []TrustFinding {
	var found []TrustFinding
	var counted []netip.Prefix
	for i, p := range list {
		if slices.ContainsFunc(ownNetworks, func(own netip.Prefix) bool { return contains(own, p) }) {
			continue
		}
		counted = append(counted, p)
		if level, f, bad := l.one(p); bad {
			found = append(found, TrustFinding{level, i, f})
		}
	}
	if !slices.ContainsFunc(found, func(f TrustFinding) bool { return f.Level == policy.Error }) {
		found = append(found, l.together(counted)...)
	}
	return found
}

// one checks one network by itself. A gateway that an organization has bought often
// stands before its hosts: that others have bought it is a warning.
func (l trustLevel) one(p netip.Prefix) (policy.Level, pattern.Fault, bool) {
	if wider(p, l.bits4, l.bits6) {
		return policy.Error, pattern.Fault{Text: fmt.Sprintf("%v is too wide to be trusted", p), Fix: fmt.Sprintf("%s, /%d or narrower", l.fix, bitsOf(p, l.bits4, l.bits6))}, true
	}
	if p.Overlaps(siteTranslator) {
		return policy.Error, pattern.Fault{Text: fmt.Sprintf("%v holds addresses of a translator (%v) through which anybody comes", p, siteTranslator), Fix: l.fix}, true
	}
	level, f, bad := policy.Warning, pattern.Fault{}, false
	for _, h := range knownHolders().nets {
		if !p.Overlaps(h.net) || bad && h.kind.effort >= customer {
			continue
		}
		f, bad = pattern.Fault{Text: fmt.Sprintf("%v holds addresses of %v, of %s", p, h.net, h.kind.words), Fix: l.fix}, true
		if h.kind.effort < customer {
			return policy.Error, f, true
		}
	}
	return level, f, bad
}

// together counts the addresses of all networks, each once: to write a wide
// network in pieces makes it no narrower.
func (l trustLevel) together(list []netip.Prefix) []TrustFinding {
	n4, n6 := pattern.NewNetMap("", list).Size()
	for _, step := range []struct {
		level policy.Level
		most  amounts
	}{{policy.Error, l.most}, {policy.Warning, l.many}} {
		var text string
		switch {
		case n4 > step.most.v4:
			text = fmt.Sprintf("has %d addresses of IPv4 outside private networks, more than %d", n4, step.most.v4)
		case n6 > step.most.v6:
			text = fmt.Sprintf("has %d networks /%d of IPv6 outside private networks, more than %d", n6, narrow6, step.most.v6)
		default:
			continue
		}
		return []TrustFinding{{step.level, wholeList, pattern.Fault{Text: text, Fix: l.fix}}}
	}
	return nil
}

// contains reports whether all of b is in a.
func contains(a, b netip.Prefix) bool { return a.Bits() <= b.Bits() && a.Overlaps(b) }

// CheckSealers returns what is wrong with the domains of trusted ARC sealers.
// A large provider that records truly what it received is a warning, as it is
// in a rule.
func CheckSealers(list []string) []TrustFinding {
	return eachDomain(list, func(d string) pattern.Domain { return pattern.NewDomain(pattern.Exact, d) }, byARC, "sealer")
}

// CheckForwarderDomains returns what is wrong with the domains of forwarders,
// for which SPF or DKIM has to pass.
func CheckForwarderDomains(list []pattern.Domain) []TrustFinding {
	return eachDomain(list, func(p pattern.Domain) pattern.Domain { return p }, bySPF, "forwarder")
}

// eachDomain checks domains as those of a rule are.
func eachDomain[T any](list []T, pattern func(T) pattern.Domain, kind proof, of string) []TrustFinding {
	var found []TrustFinding
	for i, item := range list {
		if level, f, bad := thirdParty(pattern(item), kind, of); bad {
			found = append(found, TrustFinding{level, i, f})
		}
	}
	return found
}

// thirdParty finds a domain that third parties can use. of is what should have been
// named.
func thirdParty(p pattern.Domain, kind proof, of string) (policy.Level, pattern.Fault, bool) {
	for _, w := range names(kind, nil, nil, []pattern.Domain{p}) {
		switch w.effort {
		case anybody, account:
			return policy.Error, pattern.Fault{Text: w.by, Fix: fmt.Sprintf("name the domain of the %s itself", of)}, true
		case customer:
			return policy.Warning, pattern.Fault{Text: w.by, Fix: "keep the sealer only if your users have mail forwarded from there"}, true
		}
	}
	return 0, pattern.Fault{}, false
}
