package lint

import (
	"fmt"
	"net/netip"
	"slices"

	"dmarcgate/policy"
	"dmarcgate/policy/lint/holder"
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

// forwarders are wider than what anchors a rule, since nothing is accepted because of
// a forwarder: a rejection becomes quarantine. All together are no wider than
// one may be, and there are no warnings.
var forwarders = limits{8, 16, [2]uint64{1 << (32 - 8), 1 << (narrow6 - 16)}, [2]uint64{^uint64(0), ^uint64(0)}}

// CheckTrusted returns what is wrong with networks whose mail is not evaluated
// (trusted_networks) or whose Received fields are believed ([[trusted_relay]]).
func CheckTrusted(list []netip.Prefix) []TrustFinding {
	return checkNetworks(list, &anchors, "name the hosts or networks that are yours")
}

// CheckForwarders returns what is wrong with networks of forwarders.
func CheckForwarders(list []netip.Prefix) []TrustFinding {
	return checkNetworks(list, &forwarders, "name networks of the forwarder")
}

// checkNetworks checks each network by itself, and those that are sound together: to
// write a wide network in pieces makes it no narrower.
func checkNetworks(list []netip.Prefix, l *limits, fix string) (found []TrustFinding) {
	var counted []netip.Prefix
	add := func(e effort, item int, fix, text string, args ...any) {
		found = append(found, TrustFinding{trustLevel(e), item, pattern.Fault{Text: fmt.Sprintf(text, args...), Fix: fix}})
	}
	for i, p := range list {
		if slices.ContainsFunc(ownNetworks, func(own netip.Prefix) bool { return own.Bits() <= p.Bits() && own.Overlaps(p) }) {
			continue
		}
		counted = append(counted, p)
		switch h, shared := holder.At(p); {
		case l.tooWide(p):
			add(anybody, i, fmt.Sprintf("%s, /%d or narrower", fix, l.bits(p)), "%v is too wide to be trusted", p)
		case p.Overlaps(siteTranslator):
			add(anybody, i, fix, "%v holds addresses of a translator (%v) through which anybody comes", p, siteTranslator)
		case shared:
			add(effort(h.Access), i, fix, "%v holds addresses of %v, of %s", p, h.Network, h.Words)
		}
	}
	if slices.ContainsFunc(found, func(f TrustFinding) bool { return f.Level == policy.Error }) {
		return found
	}
	if e, n, of, limit := l.above(pattern.NewNetMap("", counted)); e < party {
		add(e, -1, fix, "has %d %s outside private networks, more than %d", n, of, limit)
	}
	return found
}

// trustLevel: a gateway that an organization has bought often stands before its hosts,
// and that others have bought it is a warning.
func trustLevel(e effort) policy.Level {
	if e < customer {
		return policy.Error
	}
	return policy.Warning
}

// CheckSealers returns what is wrong with the domains of trusted ARC sealers.
// A large provider that records truly what it received is a warning, as it is
// in a rule.
func CheckSealers(list []string) []TrustFinding {
	var domains []pattern.Domain
	for _, d := range list {
		domains = append(domains, pattern.NewDomain(pattern.Exact, d))
	}
	return checkDomains(domains, byARC, "sealer")
}

// CheckForwarderDomains returns what is wrong with the domains of forwarders,
// for which SPF or DKIM has to pass.
func CheckForwarderDomains(list []pattern.Domain) []TrustFinding {
	return checkDomains(list, bySPF, "forwarder")
}

// checkDomains finds domains that third parties can use. of is what should have been
// named.
func checkDomains(list []pattern.Domain, kind proof, of string) (found []TrustFinding) {
	for i, p := range list {
		w := append(names(kind, nil, nil, []pattern.Domain{p}), way{effort: party})[0]
		fix := fmt.Sprintf("name the domain of the %s itself", of)
		if w.effort == customer {
			fix = "keep the sealer only if your users have mail forwarded from there"
		}
		if w.effort < party {
			found = append(found, TrustFinding{trustLevel(w.effort), i, pattern.Fault{Text: w.by, Fix: fix}})
		}
	}
	return found
}
