package lint

import (
	"net/netip"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

func pats(texts ...string) []pattern.Domain {
	var out []pattern.Domain
	for _, s := range texts {
		p, err := pattern.ParseDomain(s)
		if err != nil {
			panic(err)
		}
		out = append(out, p)
	}
	return out
}

func nets(texts ...string) []pattern.Network {
	var out []pattern.Network
	for _, s := range texts {
		out = append(out, pattern.NetworkOf(netip.MustParsePrefix(s)))
	}
	return out
}

// good is a rule without a fault.
func good() policy.Rule {
	return policy.Rule{
		ID: "relay", Owner: "o", Comment: "c", Created: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), Mode: policy.Enforce, Priority: 100,
		Action: policy.RuleAccept, Reason: policy.TrustedForwarder, Match: policy.Match{Client: nets("192.0.2.0/24")},
	}
}
