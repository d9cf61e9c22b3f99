package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

func TestLintComparesRules(t *testing.T) {
	rule := func(id string, action policy.RuleAction, change func(*policy.Rule)) policy.Rule {
		r := sound()
		r.ID, r.Action = id, action
		if change != nil {
			change(&r)
		}
		return r
	}
	match := func(m policy.Match) func(*policy.Rule) { return func(r *policy.Rule) { r.Match = m } }
	both := func(a, b func(*policy.Rule)) func(*policy.Rule) { return func(r *policy.Rule) { a(r); b(r) } }
	low := func(r *policy.Rule) { r.Priority = 1 }
	sample := func(m policy.Match) func(*policy.Rule) { return func(r *policy.Rule) { r.Match, r.Sample = m, 70 } }
	us := pats("us.example")
	daytime, tokyo := []pattern.Hours{{Begin: 8 * 60, End: 18 * 60}}, new(pattern.Zone)
	if err := tokyo.UnmarshalText([]byte("Asia/Tokyo")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		a, b policy.Rule
		want string
	}{
		{"the same twice", rule("a", policy.RuleAccept, nil), rule("b", policy.RuleAccept, nil), "b:never_decides"},
		{"the same with another action", rule("a", policy.RuleAccept, nil), rule("b", policy.RuleReject, nil), "b:conflict!"},
		{"the same with another action, of lower rank", rule("a", policy.RuleAccept, low), rule("b", policy.RuleReject, nil), "a:conflict!"},
		{"the same, in another order", rule("a", policy.RuleReject, match(policy.Match{Client: nets("192.0.2.0/24", "192.0.4.0/24")})),
			rule("b", policy.RuleTempfail, match(policy.Match{Client: nets("192.0.4.0/24", "192.0.2.0/24"), Result: []string{"fail"}})), "b:conflict!"},
		{"the second in shadow", rule("a", policy.RuleAccept, nil), rule("b", policy.RuleReject, func(r *policy.Rule) { r.Mode = policy.Shadow }), ""},
		{"the first in shadow", rule("a", policy.RuleAccept, func(r *policy.Rule) { r.Mode = policy.Shadow }), rule("b", policy.RuleReject, nil), ""},
		{"the first off", rule("a", policy.RuleAccept, func(r *policy.Rule) { r.Mode = policy.Off }), rule("b", policy.RuleReject, nil), ""},
		{"the first for a sample", rule("a", policy.RuleAccept, func(r *policy.Rule) { r.Sample = 99 }), rule("b", policy.RuleReject, nil), "b:overlap"},
		{"the first ends before", rule("a", policy.RuleAccept, func(r *policy.Rule) { r.Expires = r.Expires.AddDate(0, 0, -1) }), rule("b", policy.RuleReject, nil), "b:overlap"},
		{"the first has ended", rule("a", policy.RuleAccept, func(r *policy.Rule) { r.Expires = today }), rule("b", policy.RuleReject, nil), "a:expired"},
		{"the first keeps out of reports", rule("a", policy.RuleSkipReport, nil), rule("b", policy.RuleReject, nil), ""},
		{"a narrower network", rule("a", policy.RuleReject, match(policy.Match{Client: nets("192.0.0.0/16")})), rule("b", policy.RuleReject, match(policy.Match{Client: nets("192.0.2.0/24")})), "b:never_decides"},
		{"two halves of a network", rule("a", policy.RuleReject, match(policy.Match{Client: nets("192.0.2.0/25", "192.0.2.128/25")})), rule("b", policy.RuleReject, match(policy.Match{Client: nets("192.0.2.128/25", "192.0.2.0/25")})), "b:never_decides"},
		{"a wider network", rule("a", policy.RuleReject, match(policy.Match{Client: nets("192.0.2.0/24")})), rule("b", policy.RuleReject, match(policy.Match{Client: nets("192.0.0.0/16")})), ""},
		{"a name below", rule("a", policy.RuleReject, match(policy.Match{Author: pats(".a.example")})), rule("b", policy.RuleReject, match(policy.Match{Author: pats("x.a.example", ".y.a.example")})), "b:never_decides"},
		{"a name beside", rule("a", policy.RuleReject, match(policy.Match{Author: pats(".a.example")})), rule("b", policy.RuleReject, match(policy.Match{Author: pats("x.a.example", "a.example")})), ""},
		{"a map that has it", rule("a", policy.RuleReject, match(policy.Match{Author: []pattern.Domain{pattern.NewDomainMap("m", pats("a.example")).Pattern()}})),
			rule("b", policy.RuleReject, match(policy.Match{Author: pats("a.example")})), "b:never_decides"},
		{"a map that has not", rule("a", policy.RuleReject, match(policy.Match{Author: []pattern.Domain{pattern.NewDomainMap("m", pats("b.example")).Pattern()}})),
			rule("b", policy.RuleReject, match(policy.Match{Author: pats("a.example")})), ""},
		{"one key more", rule("a", policy.RuleReject, match(policy.Match{Author: pats("a.example")})), rule("b", policy.RuleReject, match(policy.Match{Author: pats("a.example"), TLS: ptr(true)})), "b:never_decides"},
		{"another value of a flag", rule("a", policy.RuleReject, match(policy.Match{Author: pats("a.example"), TLS: ptr(false)})),
			rule("b", policy.RuleTempfail, match(policy.Match{Author: pats("a.example"), TLS: ptr(true)})), "b:opens_anybody!"},
		{"less that is not meant", rule("a", policy.RuleReject, match(policy.Match{Author: pats("org:a.example"), Not: policy.Exclude{HELO: pats("x.example")}})),
			rule("b", policy.RuleReject, match(policy.Match{Author: pats("org:a.example"), Not: policy.Exclude{HELO: pats("x.example", "y.example")}})), "a:avoided b:never_decides"},
		{"more that is not meant", rule("a", policy.RuleReject, match(policy.Match{Author: pats("a.example"), Not: policy.Exclude{HELO: pats("x.example", "y.example")}})),
			rule("b", policy.RuleReject, match(policy.Match{Author: pats("a.example"), Not: policy.Exclude{HELO: pats("x.example")}})), "a:avoided"},
		{"fewer hours", rule("a", policy.RuleReject, match(policy.Match{Author: pats("a.example"), Hours: []pattern.Hours{{Begin: 22 * 60, End: 6 * 60}}})),
			rule("b", policy.RuleReject, match(policy.Match{Author: pats("a.example"), Hours: []pattern.Hours{{Begin: 60, End: 120}}})), "b:never_decides"},
		{"other hours", rule("a", policy.RuleReject, match(policy.Match{Author: pats("a.example"), Hours: []pattern.Hours{{Begin: 22 * 60, End: 6 * 60}}})),
			rule("b", policy.RuleTempfail, match(policy.Match{Author: pats("a.example"), Hours: []pattern.Hours{{Begin: 6 * 60, End: 22 * 60}}})), "b:opens_anybody!"},
		{"more history", rule("a", policy.RuleReject, match(policy.Match{Author: pats("a.example"), HistoryMin: ptr(5)})),
			rule("b", policy.RuleReject, match(policy.Match{Author: pats("a.example"), HistoryMin: ptr(6), HistoryMax: ptr(9)})), "b:never_decides"},
		{"other history", rule("a", policy.RuleReject, match(policy.Match{Author: pats("a.example"), HistoryMin: ptr(5)})),
			rule("b", policy.RuleTempfail, match(policy.Match{Author: pats("a.example"), HistoryMax: ptr(4)})), "b:opens_anybody!"},
		{"other results", rule("a", policy.RuleReject, match(policy.Match{Author: pats("a.example")})),
			rule("b", policy.RuleTempfail, match(policy.Match{Author: pats("a.example"), Result: []string{"none"}})), ""},
		{"accept for all recipients, before a rejection for one", rule("a", policy.RuleAccept, nil),
			rule("b", policy.RuleReject, match(policy.Match{Client: nets("192.0.2.0/24"), RcptDomain: us, TLS: ptr(true)})), "b:overlap"},
		{"reject for one recipient, before an accept for all", rule("a", policy.RuleReject, nil),
			rule("b", policy.RuleAccept, match(policy.Match{Client: nets("192.0.2.0/24"), RcptDomain: us, TLS: ptr(true)})), "b:never_decides"},
		{"the same sender", rule("a", policy.RuleTempfail, match(policy.Match{Client: nets("192.0.2.0/24"), Author: pats("a.example")})),
			rule("b", policy.RuleReject, match(policy.Match{Client: nets("192.0.2.7/32"), RcptDomain: us})), "b:overlap"},
		{"the same sender, the wider one first", rule("a", policy.RuleTempfail, match(policy.Match{Client: nets("192.0.2.7/32"), Author: pats("a.example")})),
			rule("b", policy.RuleReject, match(policy.Match{Client: nets("192.0.2.0/24"), RcptDomain: us})), "b:overlap"},
		{"the same sender, in a map", rule("a", policy.RuleTempfail, match(policy.Match{HELO: pats("x.example"), Author: []pattern.Domain{pattern.NewDomainMap("m", pats("a.example")).Pattern()}})),
			rule("b", policy.RuleReject, match(policy.Match{Author: pats("a.example"), RcptDomain: us})), "a:opens_anybody! b:overlap"},
		{"the same sender with another priority", rule("a", policy.RuleTempfail, both(low, match(policy.Match{Client: nets("192.0.2.0/24"), Author: pats("a.example")}))),
			rule("b", policy.RuleReject, match(policy.Match{Client: nets("192.0.2.7/32"), RcptDomain: us})), ""},
		{"an organization and a name in it", rule("a", policy.RuleTempfail, match(policy.Match{Author: pats("org:a.example")})),
			rule("b", policy.RuleReject, match(policy.Match{Author: pats("b.a.example")})), "a:opens_anybody! b:never_decides"},
		{"the same sender, but denied", rule("a", policy.RuleTempfail, match(policy.Match{Author: pats("org:a.example"), Not: policy.Exclude{Author: pats("b.a.example")}})),
			rule("b", policy.RuleReject, match(policy.Match{Author: pats("b.a.example")})), "a:opens_anybody!"},
		{"senders of different kinds", rule("a", policy.RuleTempfail, match(policy.Match{Author: pats("a.example")})),
			rule("b", policy.RuleReject, match(policy.Match{Client: nets("192.0.2.7/32")})), "a:opens_anybody!"},
		{"any sender", rule("a", policy.RuleTempfail, match(policy.Match{Requested: []string{"reject"}})),
			rule("b", policy.RuleReject, match(policy.Match{Client: nets("192.0.2.7/32")})), "a:opens_anybody! b:overlap"},
		{"an author domain of another rule beside one that is rejected", rule("a", policy.RuleAsPublished, match(policy.Match{IsList: ptr(true), Not: policy.Exclude{Author: pats("bank.example")}})),
			rule("b", policy.RuleReject, both(low, match(policy.Match{Author: pats("bank.example")}))), "a:opens_anybody!"},
		{"an author domain that a rule names beside one that is rejected", rule("a", policy.RuleAsPublished, match(policy.Match{Author: pats("shop.example")})),
			rule("b", policy.RuleReject, both(low, match(policy.Match{PolicyDomain: pats("bank.example")}))), "a:opens_anybody!"},
		{"an author domain beside one that is rejected for not being it", rule("a", policy.RuleAsPublished, match(policy.Match{MailFrom: pats("mx.partner.example"), PolicyDomain: pats("partner.example")})),
			rule("b", policy.RuleReject, both(low, match(policy.Match{Not: policy.Exclude{PolicyDomain: pats("org:partner.example")}}))), "a:opens_anybody!"},
		{"an author domain beside one that is rejected, of one party", rule("a", policy.RuleAsPublished, match(policy.Match{Client: nets("192.0.2.0/24"), Author: pats("shop.example")})),
			rule("b", policy.RuleReject, both(low, match(policy.Match{Author: pats("bank.example")}))), ""},
		{"an author domain that passes beside one that another rule is about, of several", rule("a", policy.RuleTempfail, match(policy.Match{Result: passes})),
			rule("b", policy.RuleQuarantine, both(low, match(policy.Match{Author: pats("shop.example"), FromField: []policy.From{policy.FromSeveralDomains}}))), "a:opens_anybody!"},
		{"an author domain that passes beside one that another rule is about, of several, for a sample", rule("a", policy.RuleTempfail, match(policy.Match{Result: passes})),
			rule("b", policy.RuleQuarantine, both(low, sample(policy.Match{Author: pats("shop.example"), FromField: []policy.From{policy.FromSeveralDomains}}))), "a:opens_anybody!"},
		{"an author domain that passes beside one that is rejected for a sample", rule("a", policy.RuleTempfail, match(policy.Match{Result: passes})),
			rule("b", policy.RuleReject, both(low, sample(policy.Match{Author: pats("shop.example"), Requested: []string{"none"}}))), ""},
		{"more history than a rejection in front is about", rule("a", policy.RuleReject, match(policy.Match{HistoryMax: ptr(120)})),
			rule("b", policy.RuleAccept, both(low, match(policy.Match{HistoryMin: ptr(1), Not: policy.Exclude{RcptDomain: us}}))), "b:opens_anybody!"},
		{"a list that a stricter rule leaves to a milder one", rule("a", policy.RuleTempfail, match(policy.Match{Result: passes, Not: policy.Exclude{ListID: pats("gmail.com")}})),
			rule("b", policy.RuleTag, both(low, match(policy.Match{Result: passes}))), "a:avoided"},
		{"another part of the mail that passes above", rule("a", policy.RuleTag, both(low, match(policy.Match{Result: passes, Not: policy.Exclude{HELO: pats(".partner.example")}}))),
			rule("b", policy.RuleTempfail, match(policy.Match{Result: passes, PassBy: []string{"dkim", "both"}})), "a:avoided"},
		{"mail that passes, of one mailbox, before a signer's", rule("a", policy.RuleQuarantine, match(policy.Match{Result: passes, FromField: []policy.From{policy.FromOneMailbox}})),
			rule("b", policy.RuleQuarantine, both(match(policy.Match{Result: passes, DKIMPass: pats("partner.example")}), func(r *policy.Rule) { r.Expires = time.Time{} })), "b:avoided"},
		{"clients of a bulk sender before a rejection for a sample", rule("a", policy.RuleAsPublished, match(policy.Match{Client: nets("167.89.0.0/16")})),
			rule("b", policy.RuleReject, both(low, func(r *policy.Rule) { r.Match, r.Sample = policy.Match{HistoryMin: ptr(1)}, 70 })), "b:avoided"},
		{"one party before a rejection for a sample", rule("a", policy.RuleAsPublished, match(policy.Match{Client: nets("192.0.2.0/24")})),
			rule("b", policy.RuleReject, both(low, func(r *policy.Rule) { r.Match, r.Sample = policy.Match{HistoryMin: ptr(1)}, 70 })), ""},
		{"what anybody writes before a rejection, each for a sample", rule("a", policy.RuleAsPublished, sample(policy.Match{HELO: pats("gmail.com")})),
			rule("b", policy.RuleReject, both(low, sample(policy.Match{Not: policy.Exclude{Author: []pattern.Domain{pattern.NewDomainMap("m", pats("org:bank.example")).Pattern()}}}))), "b:avoided"},
		{"what anybody writes, of mail without a policy, before a rejection, each for a sample", rule("a", policy.RuleTempfail, sample(policy.Match{HELO: pats("gmail.com"), Requested: []string{"none"}})),
			rule("b", policy.RuleReject, both(low, sample(policy.Match{Requested: []string{"none"}}))), "b:avoided"},
		{"one party before a rejection, each for a sample", rule("a", policy.RuleAsPublished, sample(policy.Match{Client: nets("192.0.2.0/24")})),
			rule("b", policy.RuleReject, both(low, sample(policy.Match{HistoryMin: ptr(1)}))), ""},
		{"a list of mail that passes for a record, before all that passes, each for a sample", rule("a", policy.RuleQuarantine, sample(policy.Match{Result: passes, IsList: ptr(true), PolicyDomain: pats("bank.example")})),
			rule("b", policy.RuleTempfail, both(low, sample(policy.Match{Result: passes}))), "b:avoided"},
		{"mail that passes by a signature after an earlier fail, before all that passes for a sample", rule("a", policy.RuleQuarantine, match(policy.Match{Result: passes, PassBy: []string{"dkim"}, EarlierSPFFail: ptr(true)})),
			rule("b", policy.RuleTempfail, both(low, sample(policy.Match{Result: passes}))), "b:avoided"},
		{"a tag for a sample before an accept of the same", rule("a", policy.RuleTag, sample(policy.Match{HELO: pats("x.example"), Requested: []string{"quarantine"}})),
			rule("b", policy.RuleAccept, both(low, match(policy.Match{HELO: pats("x.example"), Requested: []string{"quarantine"}}))), "b:opens_anybody!"},
		{"the second for a sample", rule("a", policy.RuleTempfail, nil), rule("b", policy.RuleReject, func(r *policy.Rule) { r.Sample = 70 }), "b:conflict!"},
		{"each for a sample", rule("a", policy.RuleTempfail, sample(policy.Match{Client: nets("192.0.2.0/24")})), rule("b", policy.RuleReject, sample(policy.Match{Client: nets("192.0.2.0/24")})), "b:overlap"},
		{"hours of a zone before a rejection on a day of another", rule("a", policy.RuleAsPublished, match(policy.Match{Hours: daytime, TZ: tokyo, Requested: []string{"none"}})),
			rule("b", policy.RuleReject, both(low, match(policy.Match{Weekdays: []pattern.Weekday{6}}))), "a:opens_anybody!"},
		{"hours of a zone before a rejection at hours of another", rule("a", policy.RuleAsPublished, match(policy.Match{Hours: daytime, TZ: tokyo, Requested: []string{"none"}})),
			rule("b", policy.RuleReject, both(low, match(policy.Match{Hours: []pattern.Hours{{Begin: 8*60 + 58, End: 22 * 60}}}))), "a:opens_anybody!"},
		{"hours of a zone before a rejection at other hours of another", rule("a", policy.RuleAsPublished, match(policy.Match{Hours: daytime, TZ: tokyo, Requested: []string{"none"}})),
			rule("b", policy.RuleReject, both(low, match(policy.Match{Hours: []pattern.Hours{{Begin: 9 * 60, End: 22 * 60}}}))), ""},
		{"hours before a rejection at hours that begin later", rule("a", policy.RuleAsPublished, match(policy.Match{Hours: daytime, Requested: []string{"none"}})),
			rule("b", policy.RuleReject, both(low, match(policy.Match{Hours: []pattern.Hours{{Begin: 17 * 60, End: 22 * 60}}}))), "a:opens_anybody!"},
		{"what two parts of the day in front leave", rule("a", policy.RuleReject, match(policy.Match{Hours: []pattern.Hours{{Begin: 6 * 60, End: 9 * 60}, {Begin: 10 * 60, End: 24 * 60}}})),
			rule("b", policy.RuleTag, both(low, match(policy.Match{Hours: daytime, TLS: ptr(true)}))), "b:opens_anybody!"},
		{"what two parts of the day in front do not leave", rule("a", policy.RuleReject, match(policy.Match{Hours: []pattern.Hours{{Begin: 6 * 60, End: 9 * 60}, {Begin: 9 * 60, End: 24 * 60}}})),
			rule("b", policy.RuleTag, both(low, match(policy.Match{Hours: daytime, TLS: ptr(true)}))), "b:never_decides"},
		{"one id", rule("a", policy.RuleAccept, nil), rule("a", policy.RuleAccept, func(r *policy.Rule) { r.Match.Client = nets("192.0.4.0/24") }), "a:duplicate_id!"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, rules := range [][]policy.Rule{{tt.a, tt.b}, {tt.b, tt.a}} {
				got := strings.Fields(lintOf(t, Options{Now: today}, rules...))
				slices.Sort(got) // findings of one level are in the order of the rules
				if got := strings.Join(got, " "); got != tt.want {
					t.Errorf("Lint = %q; want %q", got, tt.want)
				}
			}
		})
	}
}

func TestLintComparesThreeRules(t *testing.T) {
	for _, tt := range []struct {
		name    string
		actions [3]policy.RuleAction
		matches [3]policy.Match
		want    string
	}{
		{"two that let the same in before one that quarantines", [3]policy.RuleAction{policy.RuleAccept, policy.RuleAccept, policy.RuleQuarantine},
			[3]policy.Match{{HELO: pats("x.example"), Requested: []string{"none"}}, {HELO: pats("x.example"), Requested: []string{"none"}}, {Requested: []string{"none"}, NullPath: ptr(true)}}, "0:opens_anybody! 1:never_decides"},
		{"one that has to be dodged before one that opens the last", [3]policy.RuleAction{policy.RuleReject, policy.RuleAsPublished, policy.RuleReject},
			[3]policy.Match{{TLS: ptr(true)}, {HELO: pats("x.example"), Requested: []string{"none"}}, {Automatic: ptr(true), Requested: []string{"none"}}}, "1:opens_anybody!"},
		{"one that has to be dodged with two author domains", [3]policy.RuleAction{policy.RuleReject, policy.RuleAsPublished, policy.RuleReject},
			[3]policy.Match{{TLS: ptr(true)}, {Author: pats("shop.example")}, {PolicyDomain: pats("bank.example")}}, "1:opens_anybody!"},
		{"one that has to be dodged before one that avoids a sample of the last", [3]policy.RuleAction{policy.RuleReject, policy.RuleAsPublished, policy.RuleReject},
			[3]policy.Match{{TLS: ptr(true)}, {HELO: pats("x.example"), Requested: []string{"none"}}, {Requested: []string{"none"}}}, "2:avoided"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var rules []policy.Rule
			for i := range tt.actions {
				r := sound()
				r.ID, r.Priority, r.Action, r.Match = fmt.Sprint(i), 9-i, tt.actions[i], tt.matches[i]
				if i == 2 && strings.Contains(tt.name, "sample") {
					r.Sample = 50
				}
				rules = append(rules, r)
			}
			if got := lintOf(t, Options{Now: today}, rules...); got != tt.want {
				t.Errorf("Lint = %q; want %q", got, tt.want)
			}
		})
	}
}

func TestLintCountsOverlapsInOneFinding(t *testing.T) {
	var rules []policy.Rule
	for i := range 5 {
		r := sound()
		r.ID, r.Action = fmt.Sprintf("r%d", i), policy.RuleReject
		r.Match = policy.Match{Client: nets("192.0.2.0/24"), Author: pats(fmt.Sprintf("%d.example", i))}
		rules = append(rules, r)
	}
	last := sound()
	last.ID, last.Action, last.Match = "z", policy.RuleTempfail, policy.Match{Client: nets("192.0.2.0/25"), RcptDomain: pats("us.example")}
	found := Rules(append(rules, last), Options{})
	want := `rule "r0" at f:3 can match the same message with another action (reject) and goes first only because of its id, as do 4 more`
	found = slices.DeleteFunc(found, func(f policy.Finding) bool { return f.Level == policy.Remark })
	if len(found) != 1 || found[0].Rule != "z" || found[0].Text != want {
		t.Errorf("Lint = %+v; want %q of z alone", found, want)
	}
}
