package lint

import (
	"time"

	"dmarcgate/internal/patterntest"
	"dmarcgate/policy"
)

var pats, nets = patterntest.Domains, patterntest.Networks

// good is a rule without a fault.
func good() policy.Rule {
	return policy.Rule{
		ID: "relay", Owner: "o", Comment: "c", Created: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), Mode: policy.Enforce, Priority: 100,
		Action: policy.RuleAccept, Reason: policy.TrustedForwarder, Match: policy.Match{Client: nets("192.0.2.0/24")},
	}
}
