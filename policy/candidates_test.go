package policy

import (
	"fmt"
	"math/bits"
	"testing"

	"dmarcgate/policy/index"
	"dmarcgate/policy/pattern"
)

// tried returns how many rules are tried on a message.
func (s *Settings) tried(f Facts) int {
	var found index.Bits
	t := s.trial(&f, Decision{})
	t.candidates(s.Rules.index, &found)
	n := 0
	for _, word := range found {
		n += bits.OnesCount64(word)
	}
	return n
}

func TestRulesIndexTriesOnlyCandidates(t *testing.T) {
	for _, shape := range shapes {
		s := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, Rules: many(t, 1000, 20, shape.match)}
		if in, out := s.tried(benchmarked(true)), s.tried(benchmarked(false)); in != 20 || out != 0 {
			t.Errorf("%s: %d rules are tried on a message that 20 match, and %d on one that none matches; want 20 and 0", shape.name, in, out)
		}
	}
}

func TestRulesIndexUsesRarestKey(t *testing.T) {
	m := pattern.NewDomainMap("m", pats("a.example"))
	everywhere := Match{RcptDomain: pats("a.example"), Listener: []string{"mta"}}
	with := func(change func(*Match)) Rule {
		r := Rule{Mode: Enforce, Action: RuleReject, Match: everywhere}
		change(&r.Match)
		return r
	}
	rules := []Rule{
		with(func(m *Match) { m.HELO = pats("helo.relay.example") }),
		with(func(m *Match) { m.HELO = pats("x.example") }),
		with(func(m *Match) { m.IPRev = pats(".relay.example") }),
		with(func(m *Match) { m.ARCPass = pats("first.example") }),
		with(func(l *Match) { l.MailFrom = []pattern.Domain{m.Pattern()} }),
		with(func(l *Match) { l.PolicyDomain = []pattern.Domain{m.Pattern()} }),
		with(func(m *Match) { m.ListID = pats("lists.example") }),
		{Mode: Off, Action: RuleReject, Match: Match{Result: []string{"fail"}}},
		{Mode: Shadow, Action: RuleReject, Match: Match{TLS: new(false)}}, // nothing to look up
	}
	for i := range rules {
		rules[i].ID = fmt.Sprint("r", i)
	}
	s := Settings{Profile: Strict, EnforceShare: 100, Rules: compile(rules)}
	if got := s.tried(full()); got != 5 {
		t.Errorf("%d rules are tried; want the 4 whose helo, iprev, arc_pass and list_id hold, and the one that has no key to look up", got)
	}
}

func TestRulesWithoutMatchAllocateNothing(t *testing.T) {
	m := pattern.NewDomainMap("m", pats("org:x.example", ".y.example"))
	n := pattern.NewNetMap("m", prefixes("198.51.100.0/25"))
	rules := compile([]Rule{
		{ID: "a", Mode: Enforce, Action: RuleReject, Match: Match{SPFPass: pats(".example.org")}}, {ID: "b", Mode: Enforce, Action: RuleReject, Match: Match{Author: []pattern.Domain{m.Pattern()}}},
		{ID: "c", Mode: Enforce, Action: RuleReject, Match: Match{Client: []pattern.Network{n.Pattern()}}}, {ID: "d", Mode: Enforce, Action: RuleReject, Match: Match{RcptDomain: pats("org:z.example", "z.example")}},
		{ID: "e", Mode: Enforce, Action: RuleReject, Match: Match{Not: Exclude{RcptDomain: pats(".b.example", "a.example")}, DKIMPass: pats("list.example"), ARCPass: pats("z.example")}},
	})
	f := full()
	plain := testing.AllocsPerRun(100, func() { Settings{Profile: Strict, EnforceShare: 100}.Decide(f) })
	if got := testing.AllocsPerRun(100, func() { Settings{Profile: Strict, EnforceShare: 100, Rules: rules}.Decide(f) }); got > plain {
		t.Errorf("Decide with rules of which none matches allocates %v times; want %v, as without rules", got, plain)
	}
}
