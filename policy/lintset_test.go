package policy

import (
	"fmt"
	"testing"

	"dmarcgate/policy/pattern"
)

func TestLintComparesRules(t *testing.T) {
	rule := func(id string, action RuleAction, change func(*Rule)) Rule {
		r := sound()
		r.ID, r.Action = id, action
		if change != nil {
			change(&r)
		}
		return r
	}
	match := func(m Match) func(*Rule) { return func(r *Rule) { r.Match = m } }
	both := func(a, b func(*Rule)) func(*Rule) { return func(r *Rule) { a(r); b(r) } }
	low := func(r *Rule) { r.Priority = 1 }
	us := pats("us.example")
	tests := []struct {
		name string
		a, b Rule
		want string
	}{
		{"the same twice", rule("a", RuleAccept, nil), rule("b", RuleAccept, nil), "b:unreachable"},
		{"the same with another action", rule("a", RuleAccept, nil), rule("b", RuleReject, nil), "b:conflict!"},
		{"the same with another action, of lower rank", rule("a", RuleAccept, low), rule("b", RuleReject, nil), "a:conflict!"},
		{"the same, in another order", rule("a", RuleReject, match(Match{ClientIP: nets("192.0.2.0/24", "192.0.4.0/24")})),
			rule("b", RuleTempfail, match(Match{ClientIP: nets("192.0.4.0/24", "192.0.2.0/24"), Result: []string{"fail"}})), "b:conflict!"},
		{"the second in shadow", rule("a", RuleAccept, nil), rule("b", RuleReject, func(r *Rule) { r.Mode = Shadow }), "b:unreachable"},
		{"the first in shadow", rule("a", RuleAccept, func(r *Rule) { r.Mode = Shadow }), rule("b", RuleReject, nil), ""},
		{"the first off", rule("a", RuleAccept, func(r *Rule) { r.Mode = Off }), rule("b", RuleReject, nil), ""},
		{"the first for a sample", rule("a", RuleAccept, func(r *Rule) { r.Sample = 99 }), rule("b", RuleReject, nil), "b:overlap"},
		{"the first ends before", rule("a", RuleAccept, func(r *Rule) { r.Expires = r.Expires.AddDate(0, 0, -1) }), rule("b", RuleReject, nil), "b:overlap"},
		{"the first has ended", rule("a", RuleAccept, func(r *Rule) { r.Expires = today }), rule("b", RuleReject, nil), "a:expired"},
		{"the first keeps out of reports", rule("a", RuleSkipReport, nil), rule("b", RuleReject, nil), ""},
		{"a narrower network", rule("a", RuleReject, match(Match{ClientIP: nets("192.0.0.0/16")})), rule("b", RuleReject, match(Match{ClientIP: nets("192.0.2.0/24")})), "b:unreachable"},
		{"two halves of a network", rule("a", RuleReject, match(Match{ClientIP: nets("192.0.2.0/25", "192.0.2.128/25")})), rule("b", RuleReject, match(Match{ClientIP: nets("192.0.2.128/25", "192.0.2.0/25")})), "b:unreachable"},
		{"a wider network", rule("a", RuleReject, match(Match{ClientIP: nets("192.0.2.0/24")})), rule("b", RuleReject, match(Match{ClientIP: nets("192.0.0.0/16")})), ""},
		{"a name below", rule("a", RuleReject, match(Match{HeaderFrom: pats(".a.example")})), rule("b", RuleReject, match(Match{HeaderFrom: pats("x.a.example", ".y.a.example")})), "b:unreachable"},
		{"a name beside", rule("a", RuleReject, match(Match{HeaderFrom: pats(".a.example")})), rule("b", RuleReject, match(Match{HeaderFrom: pats("x.a.example", "a.example")})), ""},
		{"a map that has it", rule("a", RuleReject, match(Match{HeaderFrom: []pattern.Domain{pattern.NewDomainMap("m", pats("a.example")).Pattern()}})),
			rule("b", RuleReject, match(Match{HeaderFrom: pats("a.example")})), "b:unreachable"},
		{"a map that has not", rule("a", RuleReject, match(Match{HeaderFrom: []pattern.Domain{pattern.NewDomainMap("m", pats("b.example")).Pattern()}})),
			rule("b", RuleReject, match(Match{HeaderFrom: pats("a.example")})), ""},
		{"one key more", rule("a", RuleReject, match(Match{HeaderFrom: pats("a.example")})), rule("b", RuleReject, match(Match{HeaderFrom: pats("a.example"), TLS: ptr(true)})), "b:unreachable"},
		{"another value of a flag", rule("a", RuleReject, match(Match{HeaderFrom: pats("a.example"), TLS: ptr(false)})),
			rule("b", RuleTempfail, match(Match{HeaderFrom: pats("a.example"), TLS: ptr(true)})), ""},
		{"less that is not meant", rule("a", RuleReject, match(Match{HeaderFrom: pats("org:a.example"), Not: Exclude{HELO: pats("x.example")}})),
			rule("b", RuleReject, match(Match{HeaderFrom: pats("org:a.example"), Not: Exclude{HELO: pats("x.example", "y.example")}})), "b:unreachable"},
		{"more that is not meant", rule("a", RuleReject, match(Match{HeaderFrom: pats("a.example"), Not: Exclude{HELO: pats("x.example", "y.example")}})),
			rule("b", RuleReject, match(Match{HeaderFrom: pats("a.example"), Not: Exclude{HELO: pats("x.example")}})), ""},
		{"fewer hours", rule("a", RuleReject, match(Match{HeaderFrom: pats("a.example"), Hours: []pattern.Hours{{Begin: 22 * 60, End: 6 * 60}}})),
			rule("b", RuleReject, match(Match{HeaderFrom: pats("a.example"), Hours: []pattern.Hours{{Begin: 60, End: 120}}})), "b:unreachable"},
		{"other hours", rule("a", RuleReject, match(Match{HeaderFrom: pats("a.example"), Hours: []pattern.Hours{{Begin: 22 * 60, End: 6 * 60}}})),
			rule("b", RuleTempfail, match(Match{HeaderFrom: pats("a.example"), Hours: []pattern.Hours{{Begin: 6 * 60, End: 22 * 60}}})), ""},
		{"more history", rule("a", RuleReject, match(Match{HeaderFrom: pats("a.example"), HistoryMin: ptr(5)})),
			rule("b", RuleReject, match(Match{HeaderFrom: pats("a.example"), HistoryMin: ptr(6), HistoryMax: ptr(9)})), "b:unreachable"},
		{"other history", rule("a", RuleReject, match(Match{HeaderFrom: pats("a.example"), HistoryMin: ptr(5)})),
			rule("b", RuleTempfail, match(Match{HeaderFrom: pats("a.example"), HistoryMax: ptr(4)})), ""},
		{"other results", rule("a", RuleReject, match(Match{HeaderFrom: pats("a.example")})),
			rule("b", RuleTempfail, match(Match{HeaderFrom: pats("a.example"), Result: []string{"none"}})), ""},
		{"accept for all recipients, before a rejection for one", rule("a", RuleAccept, nil),
			rule("b", RuleReject, match(Match{ClientIP: nets("192.0.2.0/24"), RcptDomain: us, TLS: ptr(true)})), "b:overlap"},
		{"reject for one recipient, before an accept for all", rule("a", RuleReject, nil),
			rule("b", RuleAccept, match(Match{ClientIP: nets("192.0.2.0/24"), RcptDomain: us, TLS: ptr(true)})), "b:unreachable"},
		{"the same sender", rule("a", RuleTempfail, match(Match{ClientIP: nets("192.0.2.0/24"), HeaderFrom: pats("a.example")})),
			rule("b", RuleReject, match(Match{ClientIP: nets("192.0.2.7/32"), RcptDomain: us})), "b:overlap"},
		{"the same sender, the wider one first", rule("a", RuleTempfail, match(Match{ClientIP: nets("192.0.2.7/32"), HeaderFrom: pats("a.example")})),
			rule("b", RuleReject, match(Match{ClientIP: nets("192.0.2.0/24"), RcptDomain: us})), "b:overlap"},
		{"the same sender, in a map", rule("a", RuleTempfail, match(Match{HELO: pats("x.example"), HeaderFrom: []pattern.Domain{pattern.NewDomainMap("m", pats("a.example")).Pattern()}})),
			rule("b", RuleReject, match(Match{HeaderFrom: pats("a.example"), RcptDomain: us})), "b:overlap"},
		{"the same sender with another priority", rule("a", RuleTempfail, both(low, match(Match{ClientIP: nets("192.0.2.0/24"), HeaderFrom: pats("a.example")}))),
			rule("b", RuleReject, match(Match{ClientIP: nets("192.0.2.7/32"), RcptDomain: us})), ""},
		{"an organization and a name in it", rule("a", RuleTempfail, match(Match{HeaderFrom: pats("org:a.example")})),
			rule("b", RuleReject, match(Match{HeaderFrom: pats("b.a.example")})), "b:overlap"},
		{"the same sender, but denied", rule("a", RuleTempfail, match(Match{HeaderFrom: pats("org:a.example"), Not: Exclude{HeaderFrom: pats("b.a.example")}})),
			rule("b", RuleReject, match(Match{HeaderFrom: pats("b.a.example")})), ""},
		{"senders of different kinds", rule("a", RuleTempfail, match(Match{HeaderFrom: pats("a.example")})),
			rule("b", RuleReject, match(Match{ClientIP: nets("192.0.2.7/32")})), ""},
		{"any sender", rule("a", RuleTempfail, match(Match{Requested: []string{"reject"}})),
			rule("b", RuleReject, match(Match{ClientIP: nets("192.0.2.7/32")})), "b:overlap"},
		{"one id", rule("a", RuleAccept, nil), rule("a", RuleAccept, func(r *Rule) { r.Match.ClientIP = nets("192.0.4.0/24") }), "a:duplicate_id!"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, rules := range [][]Rule{{tt.a, tt.b}, {tt.b, tt.a}} {
				if got := lintOf(t, LintOptions{Now: today}, rules...); got != tt.want {
					t.Errorf("Lint = %q; want %q", got, tt.want)
				}
			}
		})
	}
}

func TestOverlapsAreCountedInOneFinding(t *testing.T) {
	var rules []Rule
	for i := range 5 {
		r := sound()
		r.ID, r.Action = fmt.Sprintf("r%d", i), RuleReject
		r.Match = Match{ClientIP: nets("192.0.2.0/24"), HeaderFrom: pats(fmt.Sprintf("%d.example", i))}
		rules = append(rules, r)
	}
	last := sound()
	last.ID, last.Action, last.Match = "z", RuleTempfail, Match{ClientIP: nets("192.0.2.0/25"), RcptDomain: pats("us.example")}
	found := Lint(append(rules, last), LintOptions{})
	want := `rule "r0" at f:3 can match the same message, does something else (reject), and goes first only by its id, as do 4 more`
	if len(found) != 1 || found[0].Rule != "z" || found[0].Text != want {
		t.Errorf("Lint = %+v; want %q of z alone", found, want)
	}
}

// pair is two generated enforced rules, of which the second often asks for what
// the first does and more.
func (m maker) pair() (upper, lower Rule) {
	lists := m.maps()
	upper, lower = m.rule(0, lists), m.rule(1, lists)
	upper.Mode, lower.Mode, upper.Priority, lower.Priority = Enforce, Enforce, 5, 4
	upper.Sample, lower.Sample = 0, 0
	upper.Action, lower.Action = RuleAction(m.IntN(5)), RuleAction(m.IntN(5))
	more := lower.Match
	lower.Match = upper.Match
	if upper.Match.HELO == nil {
		lower.Match.HELO = more.HELO
	}
	if upper.Match.RcptDomain == nil {
		lower.Match.RcptDomain = more.RcptDomain
	}
	if upper.Match.HeaderFrom == nil || m.yes(20) {
		lower.Match.HeaderFrom = more.HeaderFrom
	}
	if upper.Match.ClientIP == nil || m.yes(20) {
		lower.Match.ClientIP = more.ClientIP
	}
	return upper, lower
}

func TestARuleThatIsHiddenNeverDecides(t *testing.T) {
	m := newMaker()
	hidden, reached := 0, 0
	for range generated(t) {
		upper, lower := m.pair()
		s := m.settings(t)
		s.Rules = compile([]Rule{upper, lower})
		ranks := rankedRules([]*Rule{&upper, &lower})
		hides := ranks[0].hides(&ranks[1]) && ranks[0].quantified(&ranks[1])
		f := m.known()
		if len(f.Authors) > 1 { // see quantified
			continue
		}
		d := s.Decide(f)
		if hides && d.Rule == lower.ID {
			t.Fatalf("Decide(%s) = %s, by a rule that is hidden: %s", text(f), text(d), text(s.Rules.List()))
		}
		if hides && len(d.Also) > 0 {
			hidden++
		} else if d.Rule == lower.ID {
			reached++
		}
	}
	if share := generated(t) / 200; hidden < share || reached == 0 {
		t.Errorf("%d messages match a hidden rule, and %d one that is reached; want %d and one, or the property says nothing", hidden, reached, share)
	}
}

func TestRulesThatMatchOneMessageCanMeet(t *testing.T) {
	m := newMaker()
	both := 0
	for range generated(t) {
		upper, lower := m.pair()
		s := m.settings(t)
		s.Rules = compile([]Rule{upper, lower})
		f := m.known()
		if len(f.Authors) > 1 || len(f.Recipients) > 1 || len(f.DKIM) > 1 || len(f.ARC.Sealers) > 1 {
			continue
		}
		d := s.Decide(f)
		if len(d.Also) == 0 {
			continue
		}
		both++
		a, b := shapeOf(&upper.Match), shapeOf(&lower.Match)
		if !a.hasMaps() && !b.hasMaps() && (!a.meets(b) || !b.meets(a)) {
			t.Fatalf("%s matches two rules that cannot meet: %s", text(f), text(s.Rules.List()))
		}
	}
	if share := generated(t) / 200; both < share {
		t.Errorf("%d messages match two rules; want %d, or the property says nothing", both, share)
	}
}

func (s shape) hasMaps() bool {
	for _, k := range s {
		if len(k.maps) > 0 {
			return true
		}
	}
	return false
}
