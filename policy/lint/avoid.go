package lint

import (
	"fmt"
	"strings"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/policy/ruletest"
)

// avoided attacks a rule that refuses or defers: it says how a message that the rule
// would decide gets past by what the rule leaves out (its keys with "not_" and those
// that must be false). That is a warning at most, since without the rule the message
// would be let in just as well.
func (a *attack) avoided(r *policy.Rule) []policy.Finding {
	if !tightens(r) || r.Expired(a.at) || a.work >= a.limit {
		return nil
	}
	set := a.set.Trying(r.ID)
	class := classOf(&r.Match)
	var best *spoof
	for _, n := range negations(&r.Match) {
		if classKeys(&n) {
			continue
		}
		both, ok := join(&class, &n)
		if !ok {
			continue
		}
		list := spoofs(&both, a.at)
		for i := range list[:min(len(list), maxDodges)] {
			if s := &list[i]; s.effort < party && (best == nil || s.effort < best.effort) && a.getsPast(r, set, s) {
				best = s
			}
		}
	}
	if best == nil {
		return nil
	}
	given := best.Given
	by := strings.Join(best.by, "; ")
	if by == "" {
		by = "by what anybody can write"
	}
	return []policy.Finding{{Level: policy.Warning, Code: policy.CodeAvoided, Spoof: &given, Fault: pattern.Fault{
		Key: "match", Text: fmt.Sprintf("third parties get past the rule: %s", by),
		Fix: "leave out only what one named party proves, with not_client, not_spf_pass or not_dkim_pass",
	}}}
}

// getsPast reports whether r decides the plain message, and the message of s is
// answered with less, as it is without any rule.
func (a *attack) getsPast(r *policy.Rule, set policy.Rules, s *spoof) bool {
	plain := s.plain()
	pf, sf := ruletest.Facts(plain, a.at), ruletest.Facts(s.Given, a.at)
	for _, p := range attacked {
		was := a.decide(plain, pf, p, set)
		if was.Rule != r.ID {
			continue
		}
		now := a.decide(s.Given, sf, p, set)
		if now.Rule == "" && now.Action < was.Action {
			return true
		}
	}
	return false
}

// classOf returns the keys of m that say what a message is about and not who sends
// it: they are the same for the plain message.
func classOf(m *policy.Match) policy.Match {
	return policy.Match{
		Listener: m.Listener, TLS: m.TLS, Hours: m.Hours, Weekdays: m.Weekdays, Author: m.Author, PolicyDomain: m.PolicyDomain,
		Result: m.Result, Requested: m.Requested, FromField: m.FromField, HistoryMin: m.HistoryMin, HistoryMax: m.HistoryMax, RcptDomain: m.RcptDomain,
		Not: policy.Exclude{Author: m.Not.Author, PolicyDomain: m.Not.PolicyDomain, RcptDomain: m.Not.RcptDomain},
	}
}

// classKeys reports whether the one key of n is about the class of a message.
func classKeys(n *policy.Match) bool {
	c := classOf(n)
	for _, k := range c.Keys() {
		if k.Set {
			return true
		}
	}
	return false
}
