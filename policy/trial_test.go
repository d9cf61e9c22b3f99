package policy

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
)

// set makes rules of what matters in a test.
func set(t *testing.T, rules ...Rule) Rules {
	t.Helper()
	for i := range rules {
		r := &rules[i]
		if r.ID == "" {
			r.ID = "r"
		}
		r.Owner, r.Comment, r.Created = "o", "c", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if r.Action == RuleAccept && r.Reason == "" {
			r.Reason = TrustedForwarder
		}
	}
	rs, err := NewRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// relayed is a message for two domains that fails, from a forwarder.
func relayed(v dmarc.Verdict) Facts {
	f := one(v)
	f.Time = time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	f.Listener = "mta"
	f.Client = netip.MustParseAddr("192.0.2.1")
	f.Recipients = []string{"a.example", "b.example"}
	f.SPF = SPF{Result: "pass", Domain: "relay.example"}
	f.DKIM = []DKIM{{Result: "fail", Domain: "bank.example"}, {Result: "pass", Domain: "list.example"}}
	return f
}

var relay = nets("192.0.2.0/24")

// checkMatch wants the rule to decide, or everything as it is without rules.
func checkMatch(t *testing.T, s Settings, r Rule, f Facts, matches bool) Decision {
	t.Helper()
	plain := s.Decide(f)
	s.Rules = set(t, r)
	d := s.Decide(f)
	if got := d.Rule == "r"; got != matches {
		t.Errorf("Decide() = %+v; want the rule to match: %v", d, matches)
	}
	if !matches && !reflect.DeepEqual(d, plain) {
		t.Errorf("Decide() = %+v; want as without the rule, %+v", d, plain)
	}
	return d
}

func TestMatchNeedsEveryKeyAndOneItemOfEachList(t *testing.T) {
	tests := []struct {
		name   string
		match  Match
		change func(*Facts)
		want   bool
	}{
		{"client in a network", Match{Client: nets("198.51.100.0/24", "192.0.2.0/24")}, nil, true},
		{"client in none", Match{Client: nets("198.51.100.0/24")}, nil, false},
		{"client in IPv6 form", Match{Client: relay}, func(f *Facts) { f.Client = netip.MustParseAddr("::ffff:192.0.2.1") }, true},
		{"client without an address", Match{Client: relay}, func(f *Facts) { f.Client = netip.Addr{} }, false},
		{"SPF domain that passes", Match{SPFPass: pats("x.example", "relay.example")}, nil, true},
		{"another SPF domain", Match{SPFPass: pats("x.example")}, nil, false},
		{"SPF domain that fails", Match{SPFPass: pats("relay.example")}, func(f *Facts) { f.SPF.Result = "softfail" }, false},
		{"HELO alone is not SPF", Match{SPFPass: pats("h.example")}, func(f *Facts) { f.HELO = SPF{Result: "pass", Domain: "h.example"} }, false},
		{"signature that passes", Match{DKIMPass: pats("list.example")}, nil, true},
		{"signature that fails", Match{DKIMPass: pats("bank.example")}, nil, false},
		{"signature with a key in test mode", Match{DKIMPass: pats("list.example")}, func(f *Facts) { f.DKIM[1].Testing = true }, false},
		{"both keys", Match{Client: relay, DKIMPass: pats("list.example")}, nil, true},
		{"the first of two keys only", Match{Client: relay, DKIMPass: pats("x.example")}, nil, false},
		{"the second of two keys only", Match{Client: nets("198.51.100.0/24"), DKIMPass: pats("list.example")}, nil, false},
		{"the listener", Match{Client: relay, Listener: []string{"x", "mta"}}, nil, true},
		{"another listener", Match{Client: relay, Listener: []string{"x"}}, nil, false},
		{"the author domain", Match{Client: relay, Author: pats("bank.example")}, nil, true},
		{"its organization", Match{Client: relay, Author: pats("org:corp.example")}, func(f *Facts) { f.Authors[0].Org = "corp.example" }, true},
		{"another author domain", Match{Client: relay, Author: pats("a.example")}, nil, false},
		{"no result named is fail", Match{Client: relay}, nil, true},
		{"a pass", Match{Client: relay}, func(f *Facts) { f.Authors[0].Verdict.Status = dmarc.Pass }, false},
		{"another result", Match{Client: relay, Result: []string{"none", "temperror", "permerror"}}, nil, false},
		{"no record", Match{Client: relay, Result: []string{"none"}}, func(f *Facts) { f.Authors[0].Verdict = dmarc.Verdict{} }, true},
		{"no record is not fail", Match{Client: relay}, func(f *Facts) { f.Authors[0].Verdict = dmarc.Verdict{} }, false},
		{"a temperror", Match{Client: relay, Result: []string{"temperror"}}, func(f *Facts) { f.Authors[0].Verdict.Status = dmarc.TempError }, true},
		{"a temperror whose author domain passed", Match{Client: relay, Result: []string{"temperror"}},
			func(f *Facts) { f.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.TempError, AlignedSPF: true} }, false},
		{"a temperror whose author domain passed by DKIM", Match{Client: relay, Result: []string{"temperror"}},
			func(f *Facts) { f.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.TempError, AlignedDKIM: true} }, false},
		{"client with a zone", Match{Client: nets("fe80::/64")}, func(f *Facts) { f.Client = netip.MustParseAddr("fe80::1%eth0") }, true},
		{"a From field that gives nothing", Match{Client: relay, Result: []string{"permerror"}}, func(f *Facts) { f.FromField = FromUnparsable }, true},
		{"a From field that gives nothing has no author domain", Match{Client: relay, Result: []string{"permerror"}, Author: pats("bank.example")},
			func(f *Facts) { f.FromField = FromSeveralFields }, false},
		{"a message that is not evaluated", Match{Client: relay}, func(f *Facts) { f.Skip = Authenticated }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := relayed(fails(dmarc.Reject))
			if tt.change != nil {
				tt.change(&f)
			}
			rule := Rule{Mode: Enforce, Action: RuleAccept, Match: tt.match}
			if d := checkMatch(t, Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag}, rule, f, tt.want); tt.want && d.Action != Accept {
				t.Errorf("Decide() = %v; want accept", d.Action)
			}
		})
	}
}

func TestDecideGivesOneAnswerForAllRecipientsAndAuthors(t *testing.T) {
	strict := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag}
	accept := Rule{Action: RuleAccept, Match: Match{Client: relay, RcptDomain: pats("a.example")}}
	quarantine := Rule{Action: RuleQuarantine, Match: Match{RcptDomain: pats("a.example")}}
	reject := Rule{Action: RuleReject, Match: Match{RcptDomain: pats("a.example")}}
	tempfail := Rule{Action: RuleTempfail, Match: Match{RcptDomain: pats("a.example")}}
	both := []string{"a.example", "b.example"}
	tests := []struct {
		name   string
		rule   Rule
		policy dmarc.Policy
		rcpt   []string
		want   bool
	}{
		{"accept for the only recipient", accept, dmarc.Reject, []string{"a.example"}, true},
		{"accept for one of two", accept, dmarc.Reject, both, false},
		{"accept for one of two, though nothing is enforced", accept, dmarc.None, both, false},
		{"accept for no known recipient", accept, dmarc.Reject, nil, false},
		{"accept beside a recipient without a domain", accept, dmarc.Reject, []string{"a.example", ""}, false},
		{"reject for one of two", reject, dmarc.None, both, true},
		{"reject for none of two", reject, dmarc.None, []string{"c.example", "b.example"}, false},
		{"reject for no known recipient", reject, dmarc.None, nil, false},
		{"quarantine for one of two, instead of delivery", quarantine, dmarc.None, both, true},
		{"quarantine for one of two, as published", quarantine, dmarc.Quarantine, both, true},
		{"quarantine for one of two, instead of rejection", quarantine, dmarc.Reject, both, false},
		{"quarantine for all, instead of rejection", quarantine, dmarc.Reject, []string{"a.example"}, true},
		{"tempfail for one of two, instead of delivery", tempfail, dmarc.None, both, true},
		{"tempfail for one of two, instead of rejection", tempfail, dmarc.Reject, both, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := relayed(fails(tt.policy))
			f.Recipients = tt.rcpt
			tt.rule.Mode = Enforce
			checkMatch(t, strict, tt.rule, f, tt.want)
		})
	}
}

func TestAcceptRuleMustCoverEveryAuthorDomain(t *testing.T) {
	pass := author("good.example", dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject})
	fail := author("bank.example", fails(dmarc.Reject))
	other := author("other.example", fails(dmarc.Reject))
	open := author("open.example", dmarc.Verdict{Status: dmarc.TempError})
	accept := func(from ...string) Rule {
		return Rule{Mode: Enforce, Action: RuleAccept, Match: Match{Client: relay, Author: pats(from...)}}
	}
	reject := Rule{Mode: Enforce, Action: RuleReject, Match: Match{Author: pats("other.example")}}
	tests := []struct {
		name    string
		rule    Rule
		authors []Author
		want    bool
	}{
		{"accept, both named", accept("bank.example", "other.example"), []Author{fail, other}, true},
		{"accept, one named", accept("bank.example"), []Author{fail, other}, false},
		{"accept, one named and the other passed", accept("bank.example"), []Author{fail, pass}, true},
		{"accept, the other named and passed", accept("good.example"), []Author{fail, pass}, false},
		{"accept, no names, one passed", accept(), []Author{pass, fail}, true},
		{"accept, no names, one of another result", accept(), []Author{fail, open}, false},
		{"accept, no names, all passed", accept(), []Author{pass}, false},
		{"reject, one named", reject, []Author{pass, other}, true},
		{"reject, one named that passed", Rule{Mode: Enforce, Action: RuleReject, Match: Match{Author: pats("good.example")}}, []Author{pass, fail}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := relayed(dmarc.Verdict{})
			f.FromField, f.Authors = FromSeveralDomains, tt.authors
			checkMatch(t, Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag}, tt.rule, f, tt.want)
		})
	}
}

func TestRuleActionDecides(t *testing.T) {
	strict := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag}
	conformant := Settings{Profile: Conformant, EnforceShare: 100, Quarantine: Hold}
	refusing := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Reject, TempDomain: Tempfail, MaxDefer: time.Hour}
	inTest := fails(dmarc.Reject)
	inTest.Testing = true
	unselected := fails(dmarc.Reject)
	unselected.Pct = 0
	open := dmarc.Verdict{Status: dmarc.TempError, Cause: dmarc.CauseDomain}
	temperror := Match{Client: relay, Result: []string{"temperror"}}
	permerror := Match{Client: relay, Result: []string{"permerror"}}
	failing := Match{Client: relay}
	type want struct {
		action      Action
		disposition Disposition
		reason      Reason
	}
	tests := []struct {
		name  string
		s     Settings
		rule  Rule
		facts Facts
		want  want
	}{
		{"accept of p=reject", strict, Rule{Action: RuleAccept, Match: failing}, relayed(fails(dmarc.Reject)), want{Accept, Delivered, TrustedForwarder}},
		{"accept of a list", strict, Rule{Action: RuleAccept, Reason: MailingList, Match: failing}, relayed(fails(dmarc.Quarantine)), want{Accept, Delivered, MailingList}},
		{"accept of p=none overrides nothing", strict, Rule{Action: RuleAccept, Match: failing}, relayed(fails(dmarc.None)), want{Accept, Delivered, AsPublished}},
		{"quarantine of p=reject", strict, Rule{Action: RuleQuarantine, Reason: MailingList, Match: failing}, relayed(fails(dmarc.Reject)), want{Tag, Quarantined, MailingList}},
		{"quarantine of p=reject without a reason", strict, Rule{Action: RuleQuarantine, Match: failing}, relayed(fails(dmarc.Reject)), want{Tag, Quarantined, LocalPolicy}},
		{"quarantine of p=quarantine overrides nothing", strict, Rule{Action: RuleQuarantine, Reason: Other, Match: failing}, relayed(fails(dmarc.Quarantine)), want{Tag, Quarantined, AsPublished}},
		{"quarantine of p=none", conformant, Rule{Action: RuleQuarantine, Reason: Other, Match: failing}, relayed(fails(dmarc.None)), want{Hold, Quarantined, LocalPolicy}},
		{"quarantine where that is a refusal", refusing, Rule{Action: RuleQuarantine, Match: failing}, relayed(fails(dmarc.None)), want{Reject, Rejected, LocalPolicy}},
		{"reject of p=reject overrides nothing", conformant, Rule{Action: RuleReject, Match: failing}, relayed(fails(dmarc.Reject)), want{Reject, Rejected, AsPublished}},
		{"reject of p=none is local policy", strict, Rule{Action: RuleReject, Reason: Other, Match: failing}, relayed(fails(dmarc.None)), want{Reject, Rejected, LocalPolicy}},
		{"reject of p=reject with t=y is local policy", strict, Rule{Action: RuleReject, Match: failing}, relayed(inTest), want{Reject, Rejected, LocalPolicy}},
		{"quarantine of p=reject with t=y is what t=y asks for", strict, Rule{Action: RuleQuarantine, Match: failing}, relayed(inTest), want{Tag, Quarantined, PolicyTestMode}},
		{"tempfail of p=none", strict, Rule{Action: RuleTempfail, Reason: Other, Match: failing}, relayed(fails(dmarc.None)), want{Tempfail, Delivered, LocalPolicy}},
		{"tempfail of p=quarantine", strict, Rule{Action: RuleTempfail, Reason: Other, Match: failing}, relayed(fails(dmarc.Quarantine)), want{Tempfail, Delivered, LocalPolicy}},
		{"quarantine of p=reject with pct=0 is what pct asks for", strict, Rule{Action: RuleQuarantine, Reason: MailingList, Match: failing}, relayed(unselected), want{Tag, Quarantined, SampledOut}},
		{"quarantine of p=reject where pct is ignored", Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, IgnorePct: true}, Rule{Action: RuleQuarantine, Reason: MailingList, Match: failing}, relayed(unselected), want{Tag, Quarantined, MailingList}},
		{"tempfail of p=reject", strict, Rule{Action: RuleTempfail, Reason: Other, Match: failing}, relayed(fails(dmarc.Reject)), want{Tempfail, Delivered, Other}},
		{"as published where conformant", conformant, Rule{Action: RuleAsPublished, Match: failing}, relayed(fails(dmarc.Reject)), want{Reject, Rejected, AsPublished}},
		{"as published after t=y", conformant, Rule{Action: RuleAsPublished, Match: failing}, relayed(inTest), want{Hold, Quarantined, PolicyTestMode}},
		{"accept of a temperror", refusing, Rule{Action: RuleAccept, Match: temperror}, relayed(open), want{Accept, Delivered, AsPublished}},
		{"tempfail of a temperror", strict, Rule{Action: RuleTempfail, Match: temperror}, relayed(open), want{Tempfail, Delivered, LocalPolicy}},
		{"quarantine of a temperror", conformant, Rule{Action: RuleQuarantine, Match: temperror}, relayed(open), want{Hold, Quarantined, LocalPolicy}},
		{"quarantine of a temperror is never a refusal", refusing, Rule{Action: RuleQuarantine, Match: temperror}, relayed(open), want{Tag, Quarantined, LocalPolicy}},
		{"accept of a From field that gives nothing", strict, Rule{Action: RuleAccept, Match: permerror},
			Facts{Client: netip.MustParseAddr("192.0.2.1")}, want{Accept, Delivered, AsPublished}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.rule.Mode = Enforce
			tt.s.Rules = set(t, tt.rule)
			d := tt.s.Decide(tt.facts)
			if got := (want{d.Action, d.Disposition, d.Reason}); got != tt.want {
				t.Errorf("Decide() = %+v; want %+v", got, tt.want)
			}
			if d.Rule != "r" || !strings.HasSuffix(d.Why, "; rule r") || len(d.Effective) != len(tt.facts.Authors) {
				t.Errorf("Decide() = %+v; want the rule named, and a policy for each author domain", d)
			}
			if f := tt.facts; len(f.Authors) == 1 && f.Authors[0].Verdict.Status == dmarc.Fail && d.Requested != f.Authors[0].Verdict.Policy {
				t.Errorf("Requested = %v; want what is published, %v", d.Requested, f.Authors[0].Verdict.Policy)
			}
		})
	}
}

func TestRulePriorityDecidesAndOthersAreNamed(t *testing.T) {
	match := Match{Client: relay}
	rules := set(t,
		Rule{ID: "watch-first", Mode: Shadow, Priority: 900, Action: RuleReject, Match: match},
		Rule{ID: "off", Mode: Off, Priority: 800, Action: RuleReject, Match: match},
		Rule{ID: "elsewhere", Mode: Enforce, Priority: 700, Action: RuleReject, Match: Match{Listener: []string{"x"}}},
		Rule{ID: "decides", Mode: Enforce, Priority: 600, Action: RuleAccept, Match: match},
		Rule{ID: "also-b", Mode: Enforce, Priority: 500, Action: RuleReject, Match: match},
		Rule{ID: "also-a", Mode: Enforce, Priority: 500, Action: RuleTempfail, Match: match},
		Rule{ID: "watch-last", Mode: Shadow, Priority: 1, Action: RuleQuarantine, Match: match},
	)
	shadow := []ShadowDecision{{"watch-first", Reject, Rejected}, {"watch-last", Hold, Quarantined}}
	d := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Hold, Rules: rules}.Decide(relayed(fails(dmarc.Reject)))
	if d.Rule != "decides" || d.Action != Accept || !slices.Equal(d.Also, []string{"also-a", "also-b"}) || !slices.Equal(d.Shadow, shadow) {
		t.Errorf("Decide() = %+v; want it decided by %q, then also-a and also-b, watched by %v", d, "decides", shadow)
	}
	if want := "nothing aligned passed; rule decides"; d.Why != want {
		t.Errorf("Why = %q; want %q", d.Why, want)
	}
}

func TestMonitorAppliesNoRule(t *testing.T) {
	match := Match{Client: relay}
	plain := Settings{Profile: Monitor, Quarantine: Tag}
	s := plain
	s.Rules = set(t, Rule{ID: "a", Mode: Enforce, Action: RuleReject, Match: match}, Rule{ID: "b", Mode: Shadow, Action: RuleAccept, Match: match},
		Rule{ID: "c", Mode: Enforce, Action: RuleAsPublished, Match: match})
	f := relayed(fails(dmarc.Quarantine))
	d, want := s.Decide(f), plain.Decide(f)
	if d.Action != want.Action || d.Reason != want.Reason || d.Why != want.Why || d.Rule != "" || d.Also != nil {
		t.Errorf("Decide() = %+v; want as without rules, %+v", d, want)
	}
	if want := []ShadowDecision{{"a", Reject, Rejected}, {"b", Accept, Delivered}, {"c", Tag, Quarantined}}; !slices.Equal(d.Shadow, want) {
		t.Errorf("Shadow = %v; want %v", d.Shadow, want)
	}
}

func TestExpiredRuleEndsAtInstant(t *testing.T) {
	end := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	s := Settings{Profile: Strict, EnforceShare: 100, Rules: set(t, Rule{Mode: Enforce, Action: RuleAccept, Expires: end, Match: Match{Client: relay}})}
	for _, tt := range []struct {
		at   time.Time
		want Action
	}{
		{end.Add(-time.Nanosecond), Accept},
		{end, Reject},
		{end.In(time.FixedZone("", 7200)), Reject},
		{end.AddDate(1, 0, 0), Reject},
	} {
		f := relayed(fails(dmarc.Reject))
		f.Time = tt.at
		if got := s.Decide(f).Action; got != tt.want {
			t.Errorf("Decide() at %v = %v; want %v", tt.at, got, tt.want)
		}
	}
}

func TestDecisionNamesAuthorDomainOfRule(t *testing.T) {
	none := author("none.example", fails(dmarc.None))
	reject := author("r.example", fails(dmarc.Reject))
	none.Verdict.Why = "why none"
	tests := []struct {
		name   string
		rule   Rule
		author string
		why    string
	}{
		{"a stricter rule names its own", Rule{Action: RuleReject, Match: Match{Author: pats("none.example")}}, "none.example", "why none; rule r"},
		{"a rule about both leaves the one that decided", Rule{Action: RuleReject, Match: Match{Listener: []string{"mta"}}}, "r.example", "nothing aligned passed; rule r"},
		{"a milder rule too", Rule{Action: RuleAccept, Match: Match{Client: relay}}, "r.example", "nothing aligned passed; rule r"},
		{"what is published is not about one alone", Rule{Action: RuleAsPublished, Match: Match{Author: pats("none.example")}}, "r.example", "nothing aligned passed; rule r"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := relayed(dmarc.Verdict{})
			f.FromField, f.Authors = FromSeveralDomains, []Author{none, reject}
			tt.rule.Mode = Enforce
			d := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, Rules: set(t, tt.rule)}.Decide(f)
			if d.Author != tt.author || d.Why != tt.why || d.Requested != dmarc.Reject {
				t.Errorf("Decide() = author %q, reason %q, requested %v; want %q, %q, reject", d.Author, d.Why, d.Requested, tt.author, tt.why)
			}
		})
	}
}
