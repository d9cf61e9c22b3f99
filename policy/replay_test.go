package policy_test

import (
	"slices"
	"testing"

	"dmarcgate/policy"
	"dmarcgate/policy/replay"
)

// The messages and rules that package policy generates for its own tests try
// package replay, too.

func TestAgainIsSureOnlyOfDecisionOfAllFacts(t *testing.T) {
	var sures, unsures [6]int
	gaveWay := 0
	policy.Ruled(t, func(m policy.Maker, s policy.Settings, f policy.Facts) {
		want, sure := replay.Again(s, f)
		if !sure {
			t.Errorf("Again(%+v) is not sure; want it sure, nothing is missing", f)
		}
		forgotten := m.Forget(f)
		got, sure := replay.Again(s, forgotten)
		if sure && !replay.Equal(&got, &want) {
			t.Errorf("Again(%+v) = %+v, sure; want %+v, with the rules %+v", forgotten, got, want, s.Rules.List())
		}
		if d := s.Decide(forgotten); !replay.Equal(&d, &got) {
			t.Errorf("Decide(%+v) = %+v; want %+v, as Again", forgotten, d, got)
		}
		for i := range sures {
			switch {
			case forgotten.Missing != 1<<i:
			case sure:
				sures[i]++
			default:
				unsures[i]++
			}
		}
		if forgotten.Missing != 0 && len(f.Pressed) > 0 && sure {
			gaveWay++
		}
	})
	if slices.Min(sures[:]) == 0 || slices.Min(unsures[:]) == 0 || gaveWay == 0 {
		t.Errorf("by the missing fact, %v decisions are sure and %v are not, and %d of pressed messages are; want some of each", sures, unsures, gaveWay)
	}
}

// allOf is what the conditions of a rule say together.
func allOf(o policy.Told) string {
	word := policy.Holds
	for _, c := range o.Conditions {
		switch c.State {
		case policy.HoldsNot, policy.NotDrawn, policy.IsExpired:
			return policy.HoldsNot
		case policy.NotKnown:
			word = policy.NotKnown
		}
	}
	return word
}

func TestTellMarksUnknownConditions(t *testing.T) {
	counts := make(map[string]int)
	policy.Ruled(t, func(m policy.Maker, s policy.Settings, f policy.Facts) {
		f = m.Forget(f)
		for _, r := range s.Rules.List() {
			told, _ := replay.Tell(s, r.ID, f)
			for _, c := range told.Conditions {
				counts[c.Key+" "+c.State]++
			}
			if want := allOf(told); told.Matches != want {
				t.Errorf("Tell(%s) = %+v; want %s", r.ID, told, want)
			}
		}
	})
	for _, key := range []string{"client", "iprev", "rcpt_domain", "list_id", "tls", "history_min", policy.ConditionSample} {
		if counts[key+" "+policy.NotKnown] == 0 {
			t.Errorf("%s was always known", key)
		}
	}
}
