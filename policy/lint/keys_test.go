package lint

import (
	"maps"
	"slices"
	"testing"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
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
		{"pass by SPF, of what is authenticated", policy.Match{Result: passes, PassBy: []string{"spf"}, Authenticated: ptr(true)}, false},
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
			try := a.trying(&r)
			if try.play(askedBy(&r.Match), today, maxSpoofs, maxDepth); !try.decided {
				t.Errorf("no message of %+v is decided by the rule", a.spoofs(askedBy(&r.Match), today, maxSpoofs))
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
		{"pass, but of what anybody writes", policy.RuleTag, policy.Match{Result: passes, PassBy: []string{"spf"}, SPFPass: pats("sendgrid.net"), IsList: ptr(false)}, policy.CodeAvoided},
		{"pass of an author, but of what anybody writes", policy.RuleTag, policy.Match{Result: passes, Author: pats("bank.example"), Automatic: ptr(false)}, policy.CodeAvoided},
		{"pass of a signer, but in another envelope", policy.RuleTag, policy.Match{Result: passes, DKIMPass: pats("bank.example"), Not: policy.Exclude{MailFrom: pats("bank.example")}}, policy.CodeAvoided},
		{"pass of a signer, but of another one", policy.RuleTag, policy.Match{Result: passes, DKIMPass: pats("bank.example"), Not: policy.Exclude{DKIMPass: pats("gmail.com")}}, policy.CodeAvoided},
		{"pass by a signature, but of a gateway or one party", policy.RuleTag, policy.Match{Result: passes, PassBy: []string{"dkim", "both"}, Not: policy.Exclude{DKIMPass: pats(".mx.partner.example", "pphosted.com")}}, policy.CodeAvoided},
		{"pass beside SPF, but of a list", policy.RuleTag, policy.Match{Result: passes, SPF: passes, EarlierSPFFail: ptr(false), Not: policy.Exclude{ListID: pats(".sendgrid.net")}}, policy.CodeAvoided},
		{"pass, from most clients", policy.RuleTag, policy.Match{Result: passes, Client: nets("128.0.0.0/1")}, policy.CodeAvoided},
		{"pass of an author, but from its own client", policy.RuleTag, policy.Match{Result: passes, Author: pats("bank.example"), Not: policy.Exclude{Client: nets("192.0.2.0/24")}}, ""},
		{"pass of an author, but through a cloud", policy.RuleTag, policy.Match{Result: passes, Author: pats("bank.example"), Not: policy.Exclude{Client: nets("40.107.0.0/16")}}, policy.CodeAvoided},
		{"quarantine of an organization whose record is below it", policy.RuleQuarantine, policy.Match{Author: pats("org:bank.example"), PolicyDomain: pats("news.bank.example")}, policy.CodeOpensAnybody},
		{"no report of an organization through a gateway, its record being below it", policy.RuleSkipReport, policy.Match{SPFPass: pats("pphosted.com"), Author: pats("org:bank.example"), PolicyDomain: pats("corp.example", "news.bank.example")}, policy.CodeHidesReports},
		{"pass of SPF for an author, but of what is signed for another body", policy.RuleTag, policy.Match{Result: passes, SPFPass: pats("bank.example", "shop.example"), BodyChanged: ptr(false)}, policy.CodeAvoided},
		{"pass of an author by SPF for itself, but of what anybody writes", policy.RuleTag, policy.Match{Result: passes, Author: pats("bank.example"), SPFPass: pats("bank.example", "shop.example"), IsList: ptr(false)}, policy.CodeAvoided},
		{"pass of a record by SPF for itself, but of what anybody writes", policy.RuleTag, policy.Match{Result: passes, PolicyDomain: pats("bank.example"), SPFPass: pats("bank.example"), IsList: ptr(false)}, policy.CodeAvoided},
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

// A rule about mail that passes is opened by whoever can have mail pass for its author:
// who sends a genuine message again, and who sends through the same shared host.
func TestRulesOpensMailThatPassesForAnAuthor(t *testing.T) {
	for by, want := range map[string]string{"dkim": policy.CodeOpensAnybody, "spf": policy.CodeOpensAccount, "both": policy.CodeOpensParty} {
		upper, lower := good(), good()
		upper.ID, upper.Action, upper.Reason, upper.Priority = "upper", policy.RuleTag, "", 200
		upper.Match = policy.Match{Result: passes, Author: pats("bank.example"), PassBy: []string{by}}
		lower.ID, lower.Action, lower.Match = "lower", policy.RuleReject, policy.Match{Result: passes, EarlierSPFFail: ptr(true)}
		found := Rules([]policy.Rule{upper, lower}, Options{Now: today})
		if !slices.ContainsFunc(found, func(f policy.Finding) bool { return f.Rule == "upper" && f.Code == want }) {
			t.Errorf("Rules of a pass by %s = %+v; want %s", by, found, want)
		}
	}
}

// Hours of a rule in front are waited for by the clock of that rule.
func TestRulesWaitsByTheClockOfTheRuleInFront(t *testing.T) {
	var tokyo pattern.Zone
	if err := tokyo.UnmarshalText([]byte("Asia/Tokyo")); err != nil {
		t.Fatal(err)
	}
	front, rule := good(), good()
	front.ID, front.Action, front.Match = "front", policy.RuleReject, policy.Match{Hours: []pattern.Hours{{Begin: 8 * 60, End: 18 * 60}}, TZ: &tokyo}
	rule.ID, rule.Action, rule.Match = "rule", policy.RuleReject, policy.Match{Not: policy.Exclude{IPRev: pats(".sendgrid.net")}}
	found := Rules([]policy.Rule{front, rule}, Options{Now: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)}) // 9:00 in Tokyo
	if !slices.ContainsFunc(found, func(f policy.Finding) bool { return f.Rule == "rule" && f.Code == policy.CodeAvoided }) {
		t.Errorf("Rules = %+v; want that the rule is avoided", found)
	}
}

// A key is known by the name of its field, and none is left out but the zone.
func TestKeysAreThoseOfAMatch(t *testing.T) {
	names := map[string]bool{"Weekdays": true}
	for _, k := range keys {
		names[k.name] = true
	}
	for _, list := range [][]string{whoKeys, slices.Collect(maps.Keys(words)), slices.Collect(maps.Keys(kinds))} {
		for _, name := range list {
			if !names[name] {
				t.Errorf("%q is not a key", name)
			}
		}
	}
	var m policy.Match
	if got, want := len(keys)+1, len(m.Keys()); got != want {
		t.Errorf("%d keys with the zone; a match has %d", got, want)
	}
}

// What excludes a key has nothing in common with it, and a key has itself in common.
func TestExclusionsMeetNothingOfTheirKey(t *testing.T) {
	for _, m := range []policy.Match{
		{TLS: ptr(true)}, {SPF: []string{"fail"}}, {HistoryMin: ptr(3)}, {HistoryMax: ptr(3)}, {FromField: []policy.From{policy.FromOneMailbox}},
		{Author: pats("a.example")}, {Not: policy.Exclude{Author: pats("a.example")}}, {Client: nets("192.0.2.0/24")}, {Result: []string{"none"}},
		{Hours: []pattern.Hours{{Begin: 60, End: 120}}}, {Hours: []pattern.Hours{{Begin: 61, End: 62}, {Begin: 63, End: 60}}}, {Weekdays: []pattern.Weekday{1}},
	} {
		a := &attack{}
		list := exclusions(&m, false)
		if len(list) != 1 {
			t.Errorf("%d matches exclude %+v; want one", len(list), m)
		}
		for _, n := range list {
			if both, ok := a.meet(askedBy(&m), &n); ok && len(a.spoofs(&both, today, maxSpoofs)) > 0 {
				t.Errorf("%+v and %+v meet in %+v; want nothing", m, n, both)
			}
			if !slices.ContainsFunc(a.spoofs(&n, today, maxSpoofs), func(s spoof) bool { return n.shown(s.Time) }) {
				t.Errorf("no message is as %+v asks", n)
			}
		}
		if both, ok := a.meet(askedBy(&m), askedBy(&m)); !ok || len(a.spoofs(&both, today, maxSpoofs)) == 0 {
			t.Errorf("%+v has nothing in common with itself", m)
		}
	}
}
