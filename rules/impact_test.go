package rules

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/results"
	"dmarcgate/site"
)

// What rules test derives from one decision in which all rules watch must be
// what the decisions themselves are.
func TestWhatARuleWouldTouchIsWhatTheDecisionsSay(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	in := site.Site{Config: addBook(t).cfg}
	actions := []policy.RuleAction{policy.RuleAccept, policy.RuleQuarantine, policy.RuleReject, policy.RuleTempfail, policy.RuleAsPublished, policy.RuleSkipReport}
	domain := func(s string) []pattern.Domain { return []pattern.Domain{must(pattern.ParseDomain(s))} }
	for range 300 {
		var rules []policy.Rule
		for i := range 1 + rng.IntN(5) {
			r := policy.Rule{
				ID: fmt.Sprint("r", i), Owner: "x", Comment: "x", Created: time.Unix(0, 0), Mode: policy.Mode(rng.IntN(3)), Action: pick(rng, actions...),
				Reason: policy.LocalPolicy, Priority: rng.IntN(3),
			}
			r.Match.DKIMPass = domain(pick(rng, "a.example", "b.example"))
			if rng.IntN(2) == 0 {
				r.Match.HeaderFrom = domain("bank.example")
			}
			if r.Action == policy.RuleAccept {
				r.Expires = time.Now().AddDate(1, 0, 0)
			}
			rules = append(rules, r)
		}
		row := resultstest.Forwarded(resultstest.SignedBy(pick(rng, "a.example", "b.example", "c.example")))
		row.Facts.Authors[0].Verdict.Policy = pick(rng, dmarc.None, dmarc.Quarantine, dmarc.Reject)
		set, err := policy.NewRules(rules)
		if err != nil {
			t.Fatal(err)
		}
		n, err := newToucher(in, set.List(), rules)
		if err != nil {
			t.Fatal(err)
		}
		n.add(&row)
		for i, r := range rules {
			compareTouch(t, in, n.asked[r.ID], rules, i, &row)
		}
	}
}

// compareTouch decides about a row without rule i and with it.
func compareTouch(t *testing.T, in site.Site, n *ruleTouch, rules []policy.Rule, i int, row *results.Row) {
	t.Helper()
	answer := func(mode policy.Mode, others bool) string {
		list := slices.Clone(rules)
		if !others {
			list = list[i : i+1]
			list[0].Mode = mode
		} else {
			list[i].Mode = mode
		}
		set, err := policy.NewRules(list)
		if err != nil {
			t.Fatal(err)
		}
		s := in.Policy(in.Config.Listeners[0])
		s.Rules = set
		d := s.Decide(row.Facts)
		if d.Unreported != "" {
			return d.Action.String() + ", not reported"
		}
		return d.Action.String()
	}
	for _, part := range []struct {
		name   string
		got    []*ruleChange
		others bool
	}{{"alone", n.Alone, false}, {"in set", n.InSet, true}} {
		from, to := answer(policy.Off, part.others), answer(policy.Enforce, part.others)
		if from == to && len(part.got) > 0 || from != to && (len(part.got) != 1 || part.got[0].From != from || part.got[0].To != to) {
			t.Fatalf("%s %s: %+v; want %s to %s\n%+v", part.name, n.Rule, part.got, from, to, rules)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
