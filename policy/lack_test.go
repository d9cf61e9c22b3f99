package policy

import (
	"net/netip"
	"reflect"
	"testing"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy/pattern"
)

func TestARuleIsUnsureWhenOnlyWhatLacksIsOpen(t *testing.T) {
	tests := []struct {
		name  string
		lacks Lack
		match Match
		holds truth
	}{
		{"a network that is wider than what is left of the client", LackClient, Match{ClientIP: nets("192.0.0.0/16")}, yes},
		{"the very network", LackClient, Match{ClientIP: nets("192.0.2.0/24")}, yes},
		{"a part of it", LackClient, Match{ClientIP: nets("192.0.2.128/25")}, unsure},
		{"another network", LackClient, Match{ClientIP: nets("192.0.3.0/25")}, no},
		{"a part of it, and another that is wide enough", LackClient, Match{ClientIP: nets("192.0.2.128/25", "192.0.0.0/16")}, yes},
		{"two halves of a map are the whole", LackClient, Match{ClientIP: []pattern.Network{pattern.NewNetMap("m", prefixes("192.0.2.0/25", "192.0.2.128/25")).Pattern()}}, yes},
		{"a part of it, of a map", LackClient, Match{ClientIP: []pattern.Network{pattern.NewNetMap("m", prefixes("192.0.2.0/25")).Pattern()}}, unsure},
		{"not a part of it", LackClient, Match{Not: Exclude{ClientIP: nets("192.0.2.128/25")}}, unsure},
		{"not all of it", LackClient, Match{Not: Exclude{ClientIP: nets("192.0.2.0/24")}}, no},
		{"not another network", LackClient, Match{Not: Exclude{ClientIP: nets("192.0.3.0/24")}}, yes},
		{"a part of it, where another key does not hold", LackClient, Match{ClientIP: nets("192.0.2.128/25"), Listener: []string{"x"}}, no},
		{"a part of it, where no author domain is meant", LackClient, Match{ClientIP: nets("192.0.2.128/25"), HeaderFrom: pats("x.example")}, no},
		{"the client's name", LackClientName, Match{IPRev: pats("x.example")}, unsure},
		{"not the client's name", LackClientName, Match{Not: Exclude{IPRev: pats("x.example")}}, unsure},
		{"the recipients", LackRecipients, Match{RcptDomain: pats("x.example")}, unsure},
		{"not the recipients", LackRecipients, Match{Not: Exclude{RcptDomain: pats("x.example")}}, unsure},
		{"list_id", LackHeader, Match{ListID: pats("x.example")}, unsure},
		{"not list_id", LackHeader, Match{Not: Exclude{ListID: pats("x.example")}}, unsure},
		{"list_headers", LackHeader, Match{IsList: new(true)}, unsure},
		{"auto_submitted", LackHeader, Match{Automatic: new(false)}, unsure},
		{"tls", LackHeader, Match{TLS: new(false)}, unsure},
		{"history of a domain that asks for less than reject", LackHistory, Match{HistoryMin: new(1000)}, unsure},
		{"a key that needs nothing that lacks", 1<<6 - 1, Match{HELO: pats("helo.relay.example")}, yes},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := full()
			f.Lacks = tt.lacks
			f.Authors[0].Verdict.Policy = dmarc.Quarantine
			f = lacking(f)
			plain := Settings{Profile: Strict, Quarantine: Tag}
			s := plain
			s.Rules = compile([]Rule{{ID: "r", Mode: Enforce, Action: RuleAccept, Match: tt.match}})
			d, sure := s.Again(f)
			if sure != (tt.holds != unsure) || (d.Rule == "r") != (tt.holds == yes) {
				t.Errorf("Again() = rule %q, sure %v; want %v (0 no, 1 unsure, 2 yes)", d.Rule, sure, tt.holds)
			}
			if want := plain.Decide(f); tt.holds != yes && !reflect.DeepEqual(d, want) {
				t.Errorf("Again() = %+v; want as without the rule, %+v", d, want)
			}
		})
	}
}

func TestHistoryThatWasEvidenceIsKnown(t *testing.T) {
	f := full() // asks for reject
	f.Version = 0
	s := Settings{Profile: Strict, Rules: compile([]Rule{{ID: "r", Mode: Enforce, Action: RuleAccept, Match: Match{HistoryMin: new(50)}}})}
	if d, sure := s.Again(f); !sure || d.Rule != "r" {
		t.Errorf("Again() = rule %q, sure %v; want r, sure", d.Rule, sure)
	}
}

func TestASampleAndTheShareNeedTheSeed(t *testing.T) {
	f := full()
	f.Version = 0
	all := Match{Result: ruleResults}
	for _, tt := range []struct {
		name   string
		s      Settings
		action Action
		sure   bool
	}{
		{"a sample", Settings{Profile: Strict, Rules: compile([]Rule{{ID: "r", Mode: Enforce, Action: RuleAccept, Sample: 99, Match: all}})}, Refuse, false},
		{"a sample of all", Settings{Profile: Strict, Rules: compile([]Rule{{ID: "r", Mode: Enforce, Action: RuleAccept, Sample: 100, Match: all}})}, Accept, true},
		{"a sample of what does not match", Settings{Profile: Strict, Rules: compile([]Rule{{ID: "r", Mode: Enforce, Action: RuleAccept, Sample: 99, Match: Match{Result: []string{"none"}}}})}, Refuse, true},
		{"a share", Settings{Profile: Strict, Observed: 1}, Accept, false},
		{"all observed", Settings{Profile: Strict, Observed: 100}, Accept, true},
		{"none observed", Settings{Profile: Strict}, Refuse, true},
		{"a share under monitor", Settings{Profile: Monitor, Observed: 50}, Accept, true},
	} {
		if d, sure := tt.s.Again(f); d.Action != tt.action || sure != tt.sure {
			t.Errorf("%s: Again() = %v, sure %v; want %v, %v", tt.name, d.Action, sure, tt.action, tt.sure)
		}
	}
	passes := ordinary()
	if _, sure := (Settings{Profile: Strict, Observed: 50}).Again(passes); !sure {
		t.Error("Again() of a message that passes is not sure; want it sure, whatever is observed")
	}
}

// The address that is left of a client is the first of its network, which is
// not where the client was.
func TestEvidenceOfAForwarderNeedsTheClient(t *testing.T) {
	f := weighed()
	f.Client = netip.MustParseAddr("192.0.2.200")
	f.Lacks = LackClient
	f = lacking(f)
	tests := []struct {
		name     string
		networks []netip.Prefix
		change   func(*Facts)
		evidence Evidence
		sure     bool
	}{
		{"a network that could hold it", prefixes("192.0.2.0/25"), nil, NoEvidence, false},
		{"a network that holds it", prefixes("192.0.2.0/24"), nil, Forwarder, true},
		{"a network elsewhere", prefixes("192.0.3.0/25"), nil, NoEvidence, true},
		{"a forwarder by SPF", prefixes("192.0.2.0/25"), func(f *Facts) { f.SPF = SPF{Result: "pass", Domain: "forwarder.example"} }, Forwarder, true},
		{"a trusted sealer comes first", prefixes("192.0.2.0/25"), func(f *Facts) { sealed(f, recorded("dmarc", "pass", "news.bank.example"), "mx.example") }, ARCSealer, true},
		{"nothing asks for a rejection", prefixes("192.0.2.0/25"), func(f *Facts) { f.Authors[0].Verdict.Testing = true }, NotWeighed, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, f := knowing, f
			s.Known.Networks = tt.networks
			f.Authors = []Author{f.Authors[0]}
			if tt.change != nil {
				tt.change(&f)
			}
			if d, sure := s.Again(f); d.Evidence != tt.evidence || sure != tt.sure {
				t.Errorf("Again() = evidence %q, sure %v; want %q, %v", d.Evidence, sure, tt.evidence, tt.sure)
			}
		})
	}
}
