package lint

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/policy/ruletest"
)

// avoided attacks a rule that refuses or defers: it says how a message that the rule
// would decide gets past by what the rule leaves out (its keys with "not_" and those
// that must be false). That is a warning at most, since without the rule the message
// would be let in just as well.
func (a *attack) avoided(r *policy.Rule) []policy.Finding {
	if !tightens(r) && r.Action != policy.RuleQuarantine || r.Expired(a.at) || a.off("avoid") || a.spent(r) {
		return nil
	}
	v := &avoiding{attack: a, rule: r, set: a.set.Trying(r.ID)}
	v.past(classOf(&r.Match), a.at, 0)
	best := v.best
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

// avoiding is the search for a message that gets past a rule.
type avoiding struct {
	*attack
	rule *policy.Rule
	set  policy.Rules
	best *spoof
}

// past tries messages of a class that the rule does not match, and where another
// rule decides about one of them or in place of the rule, those that the other is
// not about.
func (v *avoiding) past(class policy.Match, at time.Time, depth int) {
	blockers := map[string]bool{}
	for _, n := range negations(&v.rule.Match) {
		both, ok := join(&class, &n)
		if classKeys(&n) || !ok {
			continue
		}
		list := v.spoofs(&both, at)
		for i := range list[:min(len(list), maxDodges)] {
			if s := &list[i]; s.effort < party && !v.off(efforts[s.effort]) && (v.best == nil || s.effort < v.best.effort) && v.getsPast(s, blockers) {
				v.best = s
			}
		}
	}
	if depth == maxDepth || v.best != nil {
		return
	}
	delete(blockers, "")
	for _, id := range sortedKeys(blockers) {
		if end := v.byID[id].Expires; !end.IsZero() && !v.rule.Expired(end) {
			v.past(class, end, depth+1)
		}
		for _, n := range negations(&v.byID[id].Match) {
			if other, ok := join(&class, &n); ok && !v.spent(v.rule, v.byID[id]) {
				v.past(other, at, depth+1)
			}
		}
	}
}

// getsPast reports whether the rule decides the plain message, and the message of s
// is answered with less, as it is without any rule. It adds the rules that decided
// instead.
func (v *avoiding) getsPast(s *spoof, blockers map[string]bool) bool {
	plain := s.plain()
	pf, sf := ruletest.Facts(plain, v.at), ruletest.Facts(s.Given, v.at)
	for _, p := range attacked {
		was := v.decide(plain, pf, p, v.set)
		switch {
		case was.Rule == v.rule.ID:
			now := v.decide(s.Given, sf, p, v.set)
			if now.Action < was.Action && (now.Rule == "" || now.Action == v.decide(s.Given, sf, p, v.none).Action) {
				return true
			}
			blockers[now.Rule] = true
		case slices.Contains(was.Also, v.rule.ID):
			blockers[was.Rule] = true
		}
	}
	return false
}

// classOf returns the keys of m that say what a message is about and not who sends
// it, or that anybody can arrange: they are the same for the plain message.
func classOf(m *policy.Match) policy.Match {
	return policy.Match{
		Listener: m.Listener, TLS: m.TLS, Hours: m.Hours, Weekdays: m.Weekdays, TZ: m.TZ, Author: m.Author, PolicyDomain: m.PolicyDomain,
		SPF: m.SPF, Authenticated: m.Authenticated, PassBy: m.PassBy, EarlierSPFFail: m.EarlierSPFFail,
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

// asksMore reports whether m has keys about who sends.
func asksMore(m *policy.Match) bool {
	class := classOf(m)
	have := class.Keys()
	for i, k := range m.Keys() {
		if k.Set && !have[i].Set {
			return true
		}
	}
	return false
}
