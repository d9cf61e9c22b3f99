package policy

import (
	"slices"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
)

// conditionOf is what a condition says, "" when there is no such condition.
func conditionOf(o Told, key string) string {
	i := slices.IndexFunc(o.Conditions, func(c Condition) bool { return c.Key == key })
	if i < 0 {
		return ""
	}
	return o.Conditions[i].State
}

// Tell and Decide agree about every rule, and a rule matches exactly when every
// one of its conditions holds.
func TestTellAgreesWithDecideAboutEveryRule(t *testing.T) {
	counts := make(map[string]int)
	ruled(t, func(m maker, s Settings, f Facts) {
		d := s.Decide(f)
		named := append([]string{d.Rule, d.Unreported}, d.Also...)
		for _, sh := range d.Shadow {
			named = append(named, sh.Rule)
		}
		// A decision names so many rules and no more, and not the one that decides when it is put off.
		full := len(f.Pressed) > 0 || len(d.Also) == MaxNamed || len(d.Shadow) == MaxNamed
		for _, r := range s.Rules.List() {
			told, ok := s.Tell(f, r.ID)
			if !ok {
				t.Fatalf("Tell() does not know %s", r.ID)
			}
			counts[told.Matches]++
			if got, want := told.Matches == Holds, slices.Contains(named, r.ID); got != want && !full {
				t.Errorf("Tell(%s) = %+v; Decide() = %+v\nfacts %+v", r.ID, told, d, f)
			}
			for _, c := range told.Conditions {
				counts[c.Key+" "+c.State]++
			}
			if all := allHold(told); all != (told.Matches == Holds) {
				t.Errorf("Tell(%s) = %+v; want it to match only if every condition holds", r.ID, told)
			}
		}
	})
	for _, want := range []string{
		Holds, HoldsNot, ConditionMode + " " + HoldsNot, ConditionEvaluated + " " + HoldsNot, ConditionFailed + " " + HoldsNot,
		ConditionExpires + " " + IsExpired, ConditionSample + " " + Drawn, ConditionSample + " " + NotDrawn, ConditionAuthors + " " + HoldsNot,
	} {
		if counts[want] == 0 {
			t.Errorf("the property never saw %q", want)
		}
	}
	for _, key := range (&Match{}).Keys() {
		if counts[key.Name+" "+Holds] == 0 || counts[key.Name+" "+HoldsNot] == 0 {
			t.Errorf("%s held %d times and did not %d times; want both", key.Name, counts[key.Name+" "+Holds], counts[key.Name+" "+HoldsNot])
		}
	}
}

func allHold(o Told) bool {
	return !slices.ContainsFunc(o.Conditions, func(c Condition) bool { return c.State != Holds && c.State != Drawn })
}

func TestTellOfEachKindOfCondition(t *testing.T) {
	no := false
	base := Rule{ID: "r", Mode: Enforce, Action: RuleAccept, Match: Match{Author: pats("bank.example"), Result: []string{"fail"}}}
	with := func(change func(*Rule)) Rule { r := base; change(&r); return r }
	for _, tt := range []struct {
		name, key, want, matches string
		rule                     Rule
		facts                    func(*Facts)
	}{
		{"holds", "author", Holds, Holds, base, nil},
		{"does not hold", "author", HoldsNot, HoldsNot, base, func(f *Facts) { f.Authors[0].Domain = "other.example" }},
		{"not denied", "not_author", HoldsNot, HoldsNot, with(func(r *Rule) { r.Match.Not.Author = r.Match.Author }), nil},
		{"expired", ConditionExpires, IsExpired, HoldsNot, with(func(r *Rule) { r.Expires = noon.Add(-time.Hour) }), nil},
		{"not drawn", ConditionSample, NotDrawn, HoldsNot, with(func(r *Rule) { r.Sample = 1 }), func(f *Facts) { f.Seed = 0 }},
		{"a draw that is missing", ConditionSample, NotDrawn, HoldsNot, with(func(r *Rule) { r.Sample = 1 }), func(f *Facts) { f.Missing = MissingSeed }},
		{"a draw that is supposed", ConditionSample, Drawn, Holds, with(func(r *Rule) { r.Sample = 1 }), func(f *Facts) { f.Missing, f.supposed = MissingSeed, SupposeRules }},
		{"off", ConditionMode, HoldsNot, HoldsNot, with(func(r *Rule) { r.Mode = Off }), nil},
		{"in shadow", ConditionMode, Holds, Holds, with(func(r *Rule) { r.Mode = Shadow }), nil},
		{"passed", ConditionFailed, HoldsNot, HoldsNot, base, func(f *Facts) { f.Authors[0].Verdict.Status = dmarc.Pass }},
		{"a key of a message that passed", "tls", Holds, HoldsNot, with(func(r *Rule) { r.Match.TLS = &no }), func(f *Facts) { f.TLS = false; f.Authors[0].Verdict.Status = dmarc.Pass }},
		{"not evaluated", ConditionEvaluated, HoldsNot, HoldsNot, base, func(f *Facts) { f.Skip = Loopback }},
		{"result by default", ConditionResult, Holds, Holds, with(func(r *Rule) { r.Match.Result = nil }), nil},
	} {
		f := full()
		f.Authors[0].Domain = "bank.example"
		f.Authors[0].Verdict.Status = dmarc.Fail
		if tt.facts != nil {
			tt.facts(&f)
		}
		told, ok := Settings{Profile: Strict, EnforceShare: 100, Rules: compile([]Rule{tt.rule})}.Tell(f, "r")
		if got := conditionOf(told, tt.key); !ok || got != tt.want || told.Matches != tt.matches {
			t.Errorf("%s: Tell() = %+v; want %s %q and matches %q", tt.name, told, tt.key, tt.want, tt.matches)
		}
	}
	if _, ok := (Settings{}).Tell(full(), "gone"); ok {
		t.Error("Tell() of a rule that is not there is ok")
	}
}
