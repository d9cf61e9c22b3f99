package lint

import (
	"slices"
	"testing"

	"dmarcgate/policy"
)

var passes = []string{"pass"}

func TestRulesFindsMessagesForKeysAboutWhatIsProved(t *testing.T) {
	relay := pats("relay.example")
	for _, tt := range []struct {
		name  string
		match policy.Match
		never bool
	}{
		{"spf", policy.Match{SPF: []string{"fail", "softfail"}}, false},
		{"each result of spf", policy.Match{SPF: []string{"permerror"}}, false},
		{"spf of the null path", policy.Match{SPF: []string{"fail"}, NullPath: ptr(true)}, false},
		{"spf that passes for a domain", policy.Match{SPF: []string{"pass", "fail"}, SPFPass: relay}, false},
		{"spf that passes for any domain", policy.Match{SPF: []string{"pass"}}, false},
		{"spf that passes for HELO", policy.Match{SPF: []string{"pass"}, NullPath: ptr(true)}, false},
		{"spf that fails and passes", policy.Match{SPF: []string{"fail"}, SPFPass: relay}, true},
		{"nothing authenticated", policy.Match{Authenticated: ptr(false)}, false},
		{"nothing authenticated, and a signature", policy.Match{Authenticated: ptr(false), DKIMPass: relay}, true},
		{"nothing authenticated, and SPF", policy.Match{Authenticated: ptr(false), SPFPass: relay}, true},
		{"something authenticated", policy.Match{Authenticated: ptr(true)}, false},
		{"something authenticated, but not the usual", policy.Match{Authenticated: ptr(true), Not: policy.Exclude{DKIMPass: pats("stranger.example", "stranger.test")}}, false},
		{"pass", policy.Match{Result: passes}, false},
		{"pass but of some", policy.Match{Result: passes, Not: policy.Exclude{Author: pats("stranger.example", "stranger.test")}}, false},
		{"pass by SPF", policy.Match{Result: passes, PassBy: []string{"spf"}}, false},
		{"pass by a signature", policy.Match{Result: passes, PassBy: []string{"dkim"}}, false},
		{"pass by both", policy.Match{Result: passes, PassBy: []string{"both"}}, false},
		{"pass by SPF for a domain", policy.Match{Result: passes, PassBy: []string{"spf"}, SPFPass: relay}, false},
		{"pass by a signature of a domain", policy.Match{Result: passes, DKIMPass: relay}, false},
		{"pass of an author", policy.Match{Result: passes, Author: pats("org:bank.example"), PassBy: []string{"spf"}, EarlierSPFFail: ptr(true)}, false},
		{"pass of a record", policy.Match{Result: passes, PolicyDomain: pats("bank.example")}, false},
		{"pass from a client", policy.Match{Result: passes, Client: nets("192.0.2.0/24"), EarlierSPFFail: ptr(false)}, false},
		{"pass without anything authenticated", policy.Match{Result: passes, Authenticated: ptr(false)}, true},
		{"pass by SPF that fails", policy.Match{Result: passes, PassBy: []string{"spf"}, SPF: []string{"fail"}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			r.Action, r.Reason, r.Match = policy.RuleTempfail, "", tt.match
			found := Rules([]policy.Rule{r}, Options{Now: today})
			never := slices.ContainsFunc(found, func(f policy.Finding) bool { return f.Code == policy.CodeNeverDecides })
			if never != tt.never {
				t.Errorf("Rules = %+v; want that it never decides: %v", found, tt.never)
			}
			if never {
				return
			}
			a, err := newAttack([]*policy.Rule{&r}, &Options{Now: today})
			if err != nil {
				t.Fatal(err)
			}
			try := &trying{attack: a, rule: &r, set: a.set.Trying(r.ID)}
			if try.play(a.spoofs(&r.Match, today), &r.Match, maxDepth); !try.decided {
				t.Errorf("no message of %+v is decided by the rule", a.spoofs(&r.Match, today))
			}
		})
	}
}

func TestRulesTellsWhatTheTighteningKeysOpen(t *testing.T) {
	for _, tt := range []struct {
		name   string
		action policy.RuleAction
		match  policy.Match
		want   string // code; "" is none of those of an attack
	}{
		{"tag of what anybody arranges is milder than reject", policy.RuleTag, policy.Match{SPF: []string{"fail"}}, policy.CodeOpensAnybody},
		{"tag of what nothing is asked for", policy.RuleTag, policy.Match{Requested: []string{"none"}, SPF: []string{"fail"}}, ""},
		{"the floor", policy.RuleReject, policy.Match{Authenticated: ptr(false), Result: []string{"none", "fail"}}, ""},
		{"the floor, but for a cloud", policy.RuleReject, policy.Match{Authenticated: ptr(false), Result: []string{"none", "fail"}, Not: policy.Exclude{Client: nets("40.107.0.0/16")}}, policy.CodeAvoided},
		{"pass through a shared sender", policy.RuleTag, policy.Match{Result: passes, PassBy: []string{"spf"}, SPFPass: pats("spf.protection.outlook.com")}, ""},
		{"pass after an earlier fail", policy.RuleReject, policy.Match{Result: passes, PassBy: []string{"spf"}, EarlierSPFFail: ptr(true)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			r.Action, r.Reason, r.Match = tt.action, "", tt.match
			var got string
			for _, f := range Rules([]policy.Rule{r}, Options{Now: today}) {
				switch f.Code {
				case policy.CodeUntested, policy.CodeLongLived:
				default:
					got += f.Code
				}
			}
			if got != tt.want {
				t.Errorf("Rules finds %q; want %q", got, tt.want)
			}
		})
	}
}

// A rule that stands above is got round by the results of SPF that it leaves out.
func TestRulesGetsRoundWordsOfOtherRules(t *testing.T) {
	upper, lower := good(), good()
	upper.ID, upper.Action, upper.Reason, upper.Priority, upper.Match = "upper", policy.RuleReject, "", 200, policy.Match{SPF: []string{"none", "fail"}}
	lower.ID, lower.Match = "lower", policy.Match{TLS: ptr(true)}
	found := Rules([]policy.Rule{upper, lower}, Options{Now: today})
	if !slices.ContainsFunc(found, func(f policy.Finding) bool { return f.Rule == "lower" && f.Code == policy.CodeOpensAnybody }) {
		t.Errorf("Rules = %+v; want that anybody can use the lower rule", found)
	}
}
