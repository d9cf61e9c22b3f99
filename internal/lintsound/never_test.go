package lintsound

import (
	"math/rand/v2"
	"testing"

	"dmarcgate/internal/scale"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/ruletest"
)

// setsWithIdleRules is how many sets the property is tried on at scale 1.
const setsWithIdleRules = 800

// TestRuleThatNeverDecidesDecidesNoMessage: an operator removes such a rule.
func TestRuleThatNeverDecidesDecidesNoMessage(t *testing.T) {
	m := &messages{make(map[string]*policy.Facts)}
	idle, decisions, decided := 0, 0, 0
	for i := range uint64(setsWithIdleRules * scale.Of(t)) {
		rules := newMaker(seed()*1_000_000_000 + i).set()
		never := make(map[string]bool)
		for _, f := range lint.Rules(rules, lint.Options{Now: today, Listeners: []string{"mx", "out"}}) {
			if f.Code == policy.CodeNeverDecides {
				never[f.Rule] = true
			}
		}
		if idle += len(never); len(never) == 0 {
			continue
		}
		set, err := policy.NewRules(rules)
		if err != nil {
			t.Fatal(err) // the generator makes rules without faults
		}
		worldOf(rules).each(rand.New(rand.NewPCG(i, 1)), messagesOfSet, func(c class, a arranged) bool {
			f := m.facts(c, a)
			d := ruletest.Settings(policy.Given{Profile: c.profile}, set).Decide(f)
			decisions++
			decided += index(d.Rule != "" || d.Unreported != "")
			for _, id := range []string{d.Rule, d.Unreported} {
				if never[id] {
					t.Errorf("rule %s decides about a message, and lint says that it never does:\n%v", id, &gap{rules: rules, given: c.given(a), does: d})
					return false
				}
			}
			return true
		})
	}
	t.Logf("%d rules that never decide; of %d messages, other rules decide %d", idle, decisions, decided)
	if idle < 40 || decided < decisions/100 {
		t.Errorf("%d rules never decide and others decide %d of %d messages; want more of both, or the property says nothing", idle, decided, decisions)
	}
}
