package lint

import (
	"fmt"
	"slices"
	"testing"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// besideMany is a rule that lets in what the last of the rules refuses, with many
// rules about others between the two.
func besideMany(n int) []policy.Rule {
	rule := func(id string, priority int, action policy.RuleAction, author string) policy.Rule {
		r := sound()
		r.ID, r.Priority, r.Action = id, priority, action
		r.Match = policy.Match{Author: pats(author), Requested: []string{"none"}}
		return r
	}
	rules := []policy.Rule{rule("opens", 500, policy.RuleTempfail, "a.example"), rule("refuses", 1, policy.RuleReject, "a.example")}
	rules[1].Match.TLS = ptr(false)
	for i := range n {
		rules = append(rules, rule(fmt.Sprintf("r%d", i), 100, policy.RuleReject, fmt.Sprintf("a%d.example", i)))
	}
	return rules
}

func TestLintFindsARuleThatOpensOneBelowManyOthers(t *testing.T) {
	for _, n := range []int{0, 1000} {
		if got := lintOf(t, Options{Now: today}, besideMany(n)...); got != "opens:opens_anybody! refuses:never_decides" {
			t.Errorf("Lint with %d rules between = %q; want that the first rule opens what the last one refuses", n, got)
		}
	}
}

// cheapLast is a list of which anybody can use the last item alone.
func cheapLast() []pattern.Domain {
	return pats("a.example", "b.example", "c.example", "d.example", "e.example", "f.example", "g.example", ".co.uk")
}

func TestMeetKeepsWhatTakesLeast(t *testing.T) {
	a := &attack{}
	m := policy.Match{DKIMPass: cheapLast(), Client: nets("192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "192.0.2.4/32", "192.0.2.5/32", "192.0.2.6/32", "192.0.2.7/32", "2002::/16")}
	both, ok := a.meet(askedBy(&m), askedBy(&m))
	if !ok {
		t.Fatal("a match has nothing in common with itself")
	}
	if list := names(byDKIM, nil, nil, both.DKIMPass); list[0].effort != anybody {
		t.Errorf("the cheapest name of %v is %+v; want one that anybody has", both.DKIMPass, list[0])
	}
	if list := addresses(both.Client, nil); list[0].effort != anybody {
		t.Errorf("the cheapest address of %v is %+v; want one that anybody has", both.Client, list[0])
	}
}

// Whatever the work limit is, a finding of the whole attack is there, or the rule is
// among those that were not attacked.
func TestLintIsNeverSilentBeyondItsWorkLimit(t *testing.T) {
	rule := func(id string, priority int, action policy.RuleAction, m policy.Match) *policy.Rule {
		r := sound()
		r.ID, r.Priority, r.Action, r.Match = id, priority, action, m
		return &r
	}
	rules := []*policy.Rule{
		rule("a", 3, policy.RuleTempfail, policy.Match{Author: pats("a.example"), HELO: pats("x.example")}),
		rule("b", 3, policy.RuleReject, policy.Match{Author: pats("a.example"), Not: policy.Exclude{HELO: pats("x.example")}}),
		rule("c", 2, policy.RuleAccept, policy.Match{Author: pats("b.example"), TLS: ptr(true)}),
		rule("d", 2, policy.RuleReject, policy.Match{Author: pats("b.example", "c.example"), Automatic: ptr(true)}),
		rule("e", 3, policy.RuleAccept, policy.Match{Author: pats("c.example"), Requested: []string{"none"}}),
		rule("f", 1, policy.RuleReject, policy.Match{Author: pats("c.example"), Requested: []string{"none"}, Listener: []string{"mta"}}),
		rule("g", 4, policy.RuleReject, policy.Match{Author: pats("g.example"), Not: policy.Exclude{HELO: pats("x.example")}}),
		rule("h", 4, policy.RuleReject, policy.Match{Author: pats("h.example"), Not: policy.Exclude{RcptDomain: pats("us.example")}}),
		rule("i", 1, policy.RuleAccept, policy.Match{Author: pats("h.example")}),
	}
	run := func(limit int) (codes map[string][]string, work int) {
		a, err := newAttack(rules, &Options{Now: today})
		if err != nil {
			t.Fatal(err)
		}
		a.limit = limit
		codes = make(map[string][]string)
		for r, found := range a.all(rules) {
			for _, f := range found {
				codes[r.ID] = append(codes[r.ID], f.Code)
			}
		}
		return codes, a.work
	}
	whole, work := run(maxDecisions)
	const want = "map[a:[opens_anybody] b:[avoided] c:[opens_anybody] d:[overlap] e:[opens_anybody] f:[never_decides] g:[avoided] i:[opens_anybody]]"
	if text := fmt.Sprint(whole); text != want {
		t.Fatalf("the whole attack finds %s; want %s: something of everything, and nothing left out", text, want)
	}
	for limit := 0; limit < work; limit += 5 {
		got, _ := run(limit)
		for _, r := range rules {
			said := slices.DeleteFunc(slices.Clone(got[r.ID]), func(code string) bool { return code == policy.CodeNotAttacked })
			for _, code := range said {
				if !slices.Contains(whole[r.ID], code) {
					t.Fatalf("with %d of %d decisions, lint says %s of rule %s; want at most %v", limit, work, code, r.ID, whole[r.ID])
				}
			}
			if len(said) == len(got[r.ID]) && !slices.Equal(said, whole[r.ID]) {
				t.Fatalf("with %d of %d decisions, lint says %v of rule %s; want %v, or that it was not attacked", limit, work, said, r.ID, whole[r.ID])
			}
		}
	}
}
