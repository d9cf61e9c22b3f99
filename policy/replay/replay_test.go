package replay

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/patterntest"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

var (
	noon        = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	everyResult = []string{"fail", "none", "permerror", "temperror"}
)

var prefixes, nets, pats = patterntest.Prefixes, patterntest.Networks, patterntest.Domains

// rules is a set of rules of which only what matters is given.
func rules(t *testing.T, list ...policy.Rule) policy.Rules {
	t.Helper()
	for i := range list {
		r := &list[i]
		r.Owner, r.Comment, r.Created, r.Mode, r.Reason = "ops", "a test", noon.AddDate(0, -1, 0), policy.Enforce, policy.LocalPolicy
	}
	set, err := policy.NewRules(list)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// failing is a message of one author domain that fails, with everything that
// rules look at.
func failing() policy.Facts {
	return policy.Facts{
		Time: noon, Listener: "mta", Version: policy.FactsVersion, Seed: 4711, FromField: policy.FromOneMailbox,
		Client: netip.MustParseAddr("192.0.2.1"), ClientName: "mx.relay.example", Helo: "helo.relay.example", MailFrom: "relay.example",
		SPF: policy.SPF{Result: "fail", Domain: "relay.example"}, Recipients: []string{"b.example"},
		Authors: []policy.Author{{
			Domain: "news.bank.example", Org: "bank.example", PolicyDomain: "bank.example", Record: "v=DMARC1; p=reject",
			Verdict:   dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100, Why: "nothing aligned passed"},
			SendsMail: policy.SendsMail{Queried: true}, History: policy.History{Messages: 50, DKIMPass: 10},
		}},
	}
}

// without takes facts away, as privacy does.
func without(f policy.Facts, missing policy.MissingFacts) policy.Facts {
	f.Missing = missing
	if missing&policy.MissingClient != 0 {
		f.Client = netip.MustParseAddr("192.0.2.0")
	}
	if missing&policy.MissingClientName != 0 {
		f.ClientName = ""
	}
	if missing&policy.MissingRecipients != 0 {
		f.Recipients = nil
	}
	if missing&policy.MissingSeed != 0 {
		f.Seed = 0
	}
	return f
}

func TestAgainIsUnsureOfRuleWithMissingFacts(t *testing.T) {
	tests := []struct {
		name    string
		missing policy.MissingFacts
		match   policy.Match
		holds   string
	}{
		{"a network that is wider than what is left of the client", policy.MissingClient, policy.Match{Client: nets("192.0.0.0/16")}, policy.Holds},
		{"the very network", policy.MissingClient, policy.Match{Client: nets("192.0.2.0/24")}, policy.Holds},
		{"a part of it", policy.MissingClient, policy.Match{Client: nets("192.0.2.128/25")}, policy.NotKnown},
		{"another network", policy.MissingClient, policy.Match{Client: nets("192.0.3.0/25")}, policy.HoldsNot},
		{"a part of it, and another that is wide enough", policy.MissingClient, policy.Match{Client: nets("192.0.2.128/25", "192.0.0.0/16")}, policy.Holds},
		{"two halves of a map are the whole", policy.MissingClient, policy.Match{Client: []pattern.Network{pattern.NewNetMap("m", prefixes("192.0.2.0/25", "192.0.2.128/25")).Pattern()}}, policy.Holds},
		{"a part of it, of a map", policy.MissingClient, policy.Match{Client: []pattern.Network{pattern.NewNetMap("m", prefixes("192.0.2.0/25")).Pattern()}}, policy.NotKnown},
		{"not a part of it", policy.MissingClient, policy.Match{Not: policy.Exclude{Client: nets("192.0.2.128/25")}}, policy.NotKnown},
		{"not all of it", policy.MissingClient, policy.Match{Not: policy.Exclude{Client: nets("192.0.2.0/24")}}, policy.HoldsNot},
		{"not another network", policy.MissingClient, policy.Match{Not: policy.Exclude{Client: nets("192.0.3.0/24")}}, policy.Holds},
		{"a part of it, where another key does not hold", policy.MissingClient, policy.Match{Client: nets("192.0.2.128/25"), Listener: []string{"x"}}, policy.HoldsNot},
		{"a part of it, where no author domain is meant", policy.MissingClient, policy.Match{Client: nets("192.0.2.128/25"), Author: pats("x.example")}, policy.HoldsNot},
		{"the client's name", policy.MissingClientName, policy.Match{IPRev: pats("x.example")}, policy.NotKnown},
		{"not the client's name", policy.MissingClientName, policy.Match{Not: policy.Exclude{IPRev: pats("x.example")}}, policy.NotKnown},
		{"the recipients", policy.MissingRecipients, policy.Match{RcptDomain: pats("x.example")}, policy.NotKnown},
		{"not the recipients", policy.MissingRecipients, policy.Match{Not: policy.Exclude{RcptDomain: pats("x.example")}}, policy.NotKnown},
		{"list_id", policy.MissingHeader, policy.Match{ListID: pats("x.example")}, policy.NotKnown},
		{"not list_id", policy.MissingHeader, policy.Match{Not: policy.Exclude{ListID: pats("x.example")}}, policy.NotKnown},
		{"list_headers", policy.MissingHeader, policy.Match{IsList: new(true)}, policy.NotKnown},
		{"auto_submitted", policy.MissingHeader, policy.Match{Automatic: new(false)}, policy.NotKnown},
		{"tls", policy.MissingHeader, policy.Match{TLS: new(false)}, policy.NotKnown},
		{"history of a domain that asks for less than reject", policy.MissingHistory, policy.Match{HistoryMin: new(1000)}, policy.NotKnown},
		{"a key that needs nothing that lacks", 1<<6 - 1, policy.Match{HELO: pats("helo.relay.example")}, policy.Holds},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := without(failing(), tt.missing)
			f.Authors[0].Verdict.Policy = dmarc.Quarantine
			plain := policy.Settings{Profile: policy.Strict, EnforceShare: 100, Quarantine: policy.Tag}
			s := plain
			s.Rules = rules(t, policy.Rule{ID: "r", Action: policy.RuleAccept, Match: tt.match})
			d, sure := Again(s, f)
			if sure != (tt.holds != policy.NotKnown) || (d.Rule == "r") != (tt.holds == policy.Holds) {
				t.Errorf("Again() = rule %q, sure %v; want that it %s", d.Rule, sure, tt.holds)
			}
			if want := plain.Decide(f); tt.holds != policy.Holds && !Equal(&d, &want) {
				t.Errorf("Again() = %+v; want as without the rule, %+v", d, want)
			}
			if told, ok := Tell(s, "r", f); !ok || told.Matches != tt.holds {
				t.Errorf("Tell() = %+v; want that it %s", told, tt.holds)
			}
		})
	}
}

// Mail that passes has no seed while no rule is about it.
func TestAgainIsUnsureOfRuleAboutPassWithMissingFacts(t *testing.T) {
	passes := failing()
	passes.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.Pass, AlignedSPF: true}
	for _, tt := range []struct {
		name   string
		rule   policy.Rule
		change func(*policy.Facts)
		sure   bool
	}{
		{"earlier_spf_fail", policy.Rule{Match: policy.Match{EarlierSPFFail: new(true)}}, func(f *policy.Facts) { f.Missing = policy.MissingHeader }, false},
		{"a draw", policy.Rule{Sample: 50}, func(f *policy.Facts) { f.Seed = 0 }, false},
		{"no draw", policy.Rule{}, func(f *policy.Facts) { f.Seed = 0 }, true},
		{"pass_by", policy.Rule{Match: policy.Match{PassBy: []string{"spf"}}}, func(f *policy.Facts) { f.Missing = policy.MissingHeader | policy.MissingClient }, true},
		{"authenticated, without some signatures", policy.Rule{Match: policy.Match{Authenticated: new(false)}}, func(f *policy.Facts) { f.Missing = policy.MissingSignatures }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := passes
			tt.change(&f)
			tt.rule.ID, tt.rule.Action, tt.rule.Match.Result = "r", policy.RuleTag, []string{"pass"}
			s := policy.Settings{Profile: policy.Strict, EnforceShare: 100, Quarantine: policy.Tag, Rules: rules(t, tt.rule)}
			if d, sure := Again(s, f); sure != tt.sure {
				t.Errorf("Again() = %+v, sure %v; want sure %v", d, sure, tt.sure)
			}
			if told, _ := Tell(s, "r", f); (told.Matches == policy.NotKnown) == tt.sure && tt.name != "authenticated, without some signatures" {
				t.Errorf("Tell() = %+v; want it known: %v", told, tt.sure)
			}
		})
	}
}

func TestAgainKnowsHistoryThatWasEvidence(t *testing.T) {
	f := failing() // asks for reject
	f.Version = 0
	s := policy.Settings{Profile: policy.Strict, EnforceShare: 100, Rules: rules(t, policy.Rule{ID: "r", Action: policy.RuleAccept, Match: policy.Match{HistoryMin: new(50)}})}
	if d, sure := Again(s, f); !sure || d.Rule != "r" {
		t.Errorf("Again() = rule %q, sure %v; want r, sure", d.Rule, sure)
	}
}

func TestAgainNeedsTheSeedForSampleAndShare(t *testing.T) {
	f := failing()
	f.Version = 0
	all := policy.Match{Result: everyResult}
	for _, tt := range []struct {
		name   string
		s      policy.Settings
		action policy.Action
		sure   bool
	}{
		{"a sample", policy.Settings{Profile: policy.Strict, EnforceShare: 100, Rules: rules(t, policy.Rule{ID: "r", Action: policy.RuleAccept, Sample: 99, Match: all})}, policy.Reject, false},
		{"a sample of all", policy.Settings{Profile: policy.Strict, EnforceShare: 100, Rules: rules(t, policy.Rule{ID: "r", Action: policy.RuleAccept, Sample: 100, Match: all})}, policy.Accept, true},
		{"a sample of what does not match", policy.Settings{Profile: policy.Strict, EnforceShare: 100, Rules: rules(t, policy.Rule{ID: "r", Action: policy.RuleAccept, Sample: 99, Match: policy.Match{Result: []string{"none"}}})}, policy.Reject, true},
		{"a share", policy.Settings{Profile: policy.Strict, EnforceShare: 99}, policy.Accept, false},
		{"all observed", policy.Settings{Profile: policy.Strict, EnforceShare: 0}, policy.Accept, true},
		{"none observed", policy.Settings{Profile: policy.Strict, EnforceShare: 100}, policy.Reject, true},
		{"a share under monitor", policy.Settings{Profile: policy.Monitor, EnforceShare: 50}, policy.Accept, true},
	} {
		if d, sure := Again(tt.s, f); d.Action != tt.action || sure != tt.sure {
			t.Errorf("%s: Again() = %v, sure %v; want %v, %v", tt.name, d.Action, sure, tt.action, tt.sure)
		}
	}
	f.Authors[0].Verdict.Status = dmarc.Pass
	if _, sure := Again(policy.Settings{Profile: policy.Strict, EnforceShare: 50}, f); !sure {
		t.Error("Again() of a message that passes is not sure; want it sure, whatever is observed")
	}
}

// The address that is left of a client is the first of its network, which is
// not where the client was.
func TestAgainNeedsTheClientForEvidenceOfAForwarder(t *testing.T) {
	sealed := policy.ARC{Result: "pass", Sealers: []policy.Sealer{{Domain: "mx.example", Recorded: []policy.Recorded{{Method: "dmarc", Result: "pass", Domain: "news.bank.example"}}}}}
	tests := []struct {
		name     string
		networks []netip.Prefix
		change   func(*policy.Facts)
		evidence policy.Evidence
		sure     bool
	}{
		{"a network that could hold it", prefixes("192.0.2.0/25"), nil, policy.NoEvidence, false},
		{"a network that holds it", prefixes("192.0.2.0/24"), nil, policy.Forwarder, true},
		{"a network elsewhere", prefixes("192.0.3.0/25"), nil, policy.NoEvidence, true},
		{"a forwarder by SPF", prefixes("192.0.2.0/25"), func(f *policy.Facts) { f.SPF = policy.SPF{Result: "pass", Domain: "forwarder.example"} }, policy.Forwarder, true},
		{"a trusted sealer comes first", prefixes("192.0.2.0/25"), func(f *policy.Facts) { f.ARC = sealed }, policy.ARCSealer, true},
		{"nothing asks for a rejection", prefixes("192.0.2.0/25"), func(f *policy.Facts) { f.Authors[0].Verdict.Testing = true }, policy.NotWeighed, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := without(failing(), policy.MissingClient)
			s := policy.Settings{Profile: policy.Conformant, EnforceShare: 100, Quarantine: policy.Tag, TrustedForwarders: policy.TrustedForwarders{
				Sealers: []string{"mx.example"}, Networks: tt.networks, Domains: pats("forwarder.example"),
			}}
			if tt.change != nil {
				tt.change(&f)
			}
			if d, sure := Again(s, f); d.Evidence != tt.evidence || sure != tt.sure {
				t.Errorf("Again() = evidence %q, sure %v; want %q, %v", d.Evidence, sure, tt.evidence, tt.sure)
			}
		})
	}
}

// A rule that tightens names an author domain that it is about. Whether it is
// about the one that decides without it may hang on what is missing.
func TestAgainIsUnsureWhichAuthorDomainARuleNames(t *testing.T) {
	f := without(failing(), policy.MissingHistory)
	f.FromField, f.Authors = policy.FromSeveralDomains, append(f.Authors, f.Authors[0])
	f.Authors[0].Domain, f.Authors[0].Verdict = "broken.example", dmarc.Verdict{Status: dmarc.TempError, Cause: dmarc.CauseDomain}
	f.Authors[1].Verdict.Testing = true
	base := policy.Settings{Profile: policy.Strict, EnforceShare: 100, Quarantine: policy.Tag, TempDomain: policy.Tempfail, MaxDefer: time.Hour}
	if d := base.Decide(f); d.Author != "broken.example" {
		t.Fatalf("Decide() = %+v; want it decided by the author domain of which no history is known", d)
	}
	for _, tt := range []struct {
		name  string
		match policy.Match
		sure  bool
	}{
		{"history of either", policy.Match{Result: []string{"fail", "temperror"}, HistoryMin: new(50)}, false},
		{"history of the one of which it is known", policy.Match{Result: []string{"fail"}, HistoryMin: new(50)}, true},
		{"no history", policy.Match{Result: []string{"fail", "temperror"}}, true},
	} {
		s := base
		s.Rules = rules(t, policy.Rule{ID: "r", Action: policy.RuleTempfail, Match: tt.match})
		if d, sure := Again(s, f); d.Rule != "r" || sure != tt.sure {
			t.Errorf("%s: Again() = %+v, sure %v; want it decided by r, sure %v", tt.name, d, sure, tt.sure)
		}
	}
}

// A message of which a lookup gave way is deferred if the lookup could have led
// to another answer. Whether it could may hang on what is missing, too.
func TestAgainIsUnsureAfterDNSPressure(t *testing.T) {
	f := without(failing(), policy.MissingClient|policy.MissingRecipients)
	f.SPF.Result, f.Pressed = "temperror", []string{policy.PressedSPF}
	relay := pats("relay.example")
	accept := policy.Rule{ID: "accept", Action: policy.RuleAccept, Match: policy.Match{SPFPass: relay, Client: nets("192.0.2.128/25")}}
	before := policy.Rule{ID: "before", Priority: 1, Action: policy.RuleReject, Match: policy.Match{SPFPass: relay, RcptDomain: relay}}
	elsewhere := policy.Rule{ID: "elsewhere", Action: policy.RuleAccept, Match: policy.Match{SPFPass: relay, Client: nets("192.0.3.128/25")}}
	for _, tt := range []struct {
		name  string
		rules []policy.Rule
		sure  bool
	}{
		{"a rule that accepts when SPF passes", []policy.Rule{accept}, false},
		{"and another before it, so that both readings have one answer", []policy.Rule{accept, before}, false},
		{"a rule for another network", []policy.Rule{elsewhere}, true},
	} {
		s := policy.Settings{Profile: policy.Strict, EnforceShare: 100, Quarantine: policy.Tag, Rules: rules(t, tt.rules...)}
		if d, sure := Again(s, f); sure != tt.sure || d.Action != policy.Reject {
			t.Errorf("%s: Again() = %+v, sure %v; want a refusal, sure %v", tt.name, d, sure, tt.sure)
		}
	}
}

// Of a message of which signatures or sealers are missing, nothing is sure.
func TestAgainIsNeverSureWithoutAllSignatures(t *testing.T) {
	for _, missing := range []policy.MissingFacts{policy.MissingSignatures, policy.MissingARC} {
		f := without(failing(), missing)
		if d, sure := Again(policy.Settings{}, f); sure || d.Action != policy.Accept {
			t.Errorf("Again() without %d = %+v, sure %v; want it not sure", missing, d, sure)
		}
		f.Skip = policy.Loopback
		if _, sure := Again(policy.Settings{}, f); !sure {
			t.Errorf("Again() of what is not evaluated, without %d, is not sure; want it sure", missing)
		}
	}
}

func TestTellMarksDisagreementAsUnknown(t *testing.T) {
	f := failing()
	other := f
	other.TLS = true
	s := policy.Settings{Profile: policy.Strict, EnforceShare: 100, Rules: rules(t, policy.Rule{ID: "r", Action: policy.RuleAccept, Match: policy.Match{TLS: new(false), HELO: pats(f.Helo)}})}
	if told, ok := Tell(s, "r", f); !ok || told.Matches != policy.Holds {
		t.Errorf("Tell() = %+v, %v; want that it holds", told, ok)
	}
	told, _ := Tell(s, "r", f, other)
	for _, c := range told.Conditions {
		want := policy.Holds
		if c.Key == "tls" {
			want = policy.NotKnown
		}
		if c.State != want {
			t.Errorf("Tell() of two messages = %+v; want %s %s", told, c.Key, want)
		}
	}
	if told.Matches != policy.NotKnown {
		t.Errorf("Tell() of two messages = %+v; want that it is not known", told)
	}
	if _, ok := Tell(s, "gone", f); ok {
		t.Error("Tell() of a rule that is not there is ok")
	}
}

func TestEqualComparesDecisionsInEveryField(t *testing.T) {
	full := policy.Decision{
		Action: policy.Tag, Disposition: policy.Quarantined, Requested: dmarc.Reject, Reason: policy.LocalPolicy, Evidence: policy.NoEvidence,
		Why: "x", Author: "a.example", Effective: []policy.Policy{{Applied: dmarc.Reject}}, Rule: "r", Also: []string{"s"},
		Shadow: []policy.ShadowDecision{{Rule: "t"}}, ReportComment: "c", Unreported: "u",
	}
	v := reflect.ValueOf(full)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Field(i).IsZero() {
			t.Errorf("the field %s is not set: set it here, and compare it in Equal", name)
		}
		other := full
		reflect.ValueOf(&other).Elem().Field(i).SetZero()
		if Equal(&full, &other) {
			t.Errorf("Equal() = true for decisions that differ in %s", name)
		}
	}
	same := policy.Decision{Effective: []policy.Policy{}, Also: []string{}, Shadow: []policy.ShadowDecision{}}
	if !Equal(&full, &full) || !Equal(&policy.Decision{}, &same) {
		t.Error("Equal() = false for equal decisions, or for an empty list and none")
	}
}
