package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dmarcgate/auth/dmarc"
)

// everything is a match that every failing message has.
var everything = Match{Result: []string{"fail"}}

func TestSkipReportRuleNeverDecides(t *testing.T) {
	skip := func(id string, mode Mode) Rule {
		return Rule{ID: id, Mode: mode, Priority: 900, Action: RuleSkipReport, Match: everything}
	}
	accept := Rule{ID: "accept", Mode: Enforce, Action: RuleAccept, Match: everything}
	reject := Rule{ID: "reject", Mode: Shadow, Action: RuleReject, Match: everything}
	strict, monitor := Settings{Profile: Strict, EnforceShare: 100}, Settings{Profile: Monitor}
	tests := []struct {
		name   string
		s      Settings
		rules  []Rule
		want   string // unreported; rule; also
		shadow []ShadowDecision
	}{
		{"alone", strict, []Rule{skip("a", Enforce)}, "a;;", nil},
		{"before one that decides", strict, []Rule{skip("a", Enforce), accept}, "a;accept;", nil},
		{"the first is named, others beside", strict, []Rule{skip("a", Enforce), skip("b", Enforce), accept}, "a;accept;b", nil},
		{"in shadow, with what is done in the end", strict, []Rule{skip("a", Shadow), accept, reject}, ";accept;", []ShadowDecision{{"a", Accept, Delivered}, {"reject", Reject, Rejected}}},
		{"under monitor", monitor, []Rule{skip("a", Enforce), accept}, ";;", []ShadowDecision{{"a", Accept, Delivered}, {"accept", Accept, Delivered}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plain := tt.s
			plain.Rules = compile(slices.DeleteFunc(slices.Clone(tt.rules), func(r Rule) bool { return r.Action == RuleSkipReport }))
			tt.s.Rules = compile(tt.rules)
			d, without := tt.s.Decide(full()), plain.Decide(full())
			if got := d.Unreported + ";" + d.Rule + ";" + strings.Join(d.Also, " "); got != tt.want || !slices.Equal(d.Shadow, tt.shadow) {
				t.Errorf("Decide() = %+v; want %s and shadow %v", d, tt.want, tt.shadow)
			}
			if d.Action != without.Action || d.Reason != without.Reason || d.Why != without.Why {
				t.Errorf("Decide() = %+v; want it done as without, %+v", d, without)
			}
		})
	}
}

func TestDecisionNamesLimitedNumberOfRules(t *testing.T) {
	var rules []Rule
	for i := range 100 {
		rules = append(rules,
			Rule{ID: fmt.Sprintf("e%02d", i), Mode: Enforce, Action: RuleAccept, Match: everything},
			Rule{ID: fmt.Sprintf("s%02d", i), Mode: Shadow, Action: pick(newMaker(), RuleReject, RuleSkipReport), Match: everything})
	}
	d := Settings{Profile: Strict, EnforceShare: 100, Rules: compile(rules)}.Decide(full())
	if d.Rule != "e00" || len(d.Also) != MaxNamed || d.Also[31] != "e32" || len(d.Shadow) != MaxNamed || d.Shadow[31].Rule != "s31" {
		t.Errorf("Decide() = %+v; want e00, and of the others the first %d each", d, MaxNamed)
	}
}

func TestReportCommentGoesWithRuleReason(t *testing.T) {
	tests := []struct {
		name   string
		action RuleAction
		why    Reason
		policy dmarc.Policy
		want   string
	}{
		{"less than asked", RuleAccept, MailingList, dmarc.Reject, "as agreed"},
		{"less than asked, without a reason", RuleAccept, "", dmarc.Reject, "as agreed"},
		{"more than asked is not for the reason", RuleReject, MailingList, dmarc.None, ""},
		{"as asked", RuleReject, MailingList, dmarc.Reject, ""},
		{"as published", RuleAsPublished, LocalPolicy, dmarc.Quarantine, ""},
	}
	for _, tt := range tests {
		f := full()
		f.Authors[0].Verdict.Policy = tt.policy
		rule := Rule{ID: "r", Mode: Enforce, Action: tt.action, Reason: tt.why, ReportComment: "as agreed", Match: everything}
		d := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Reject, Rules: compile([]Rule{rule})}.Decide(f)
		if d.ReportComment != tt.want || d.Rule != "r" {
			t.Errorf("%s: Decide() = %+v; want the comment %q", tt.name, d, tt.want)
		}
	}
}

// Who raises a sample or the share adds messages and loses none.
func TestSampleAndShareGrowMonotonically(t *testing.T) {
	const messages = 1000
	accepts := Rule{ID: "r", Mode: Enforce, Action: RuleAccept, Match: everything}
	for _, tt := range []struct {
		name string
		at   func(percent int) Settings
		in   Action
	}{
		{"share", func(p int) Settings { return Settings{Profile: Strict, EnforceShare: uint8(p)} }, Reject},
		{"sample", func(p int) Settings {
			accepts.Sample = uint8(p) // 0 is all, and is not asked for here
			return Settings{Profile: Strict, EnforceShare: 100, Rules: compile([]Rule{accepts})}
		}, Accept},
	} {
		var counts [101]int
		var last [messages]bool
		for percent := 1; percent <= 100; percent++ {
			s, f := tt.at(percent), full()
			for i := range messages {
				f.Seed = uint64(i + 1)
				in := s.Decide(f).Action == tt.in
				if last[i] && !in {
					t.Fatalf("seed %d is in the %s of %d percent and not of %d", f.Seed, tt.name, percent-1, percent)
				}
				last[i] = in
				if in {
					counts[percent]++
				}
			}
		}
		if counts[100] != messages || counts[1] > 30 || counts[30] < 250 || counts[30] > 350 {
			t.Errorf("of %d messages, the %s has %d at 1, %d at 30 and %d at 100 percent; want about 10, about 300, and all",
				messages, tt.name, counts[1], counts[30], counts[100])
		}
	}
}

func TestEnforceShareMonitorsOtherMessages(t *testing.T) {
	f := full()
	rules := compile([]Rule{{ID: "r", Mode: Enforce, Action: RuleAccept, Match: everything}})
	d := Settings{Profile: Strict, Quarantine: Tag, EnforceShare: 0, Rules: rules}.Decide(f)
	if d.Action != Accept || d.Reason != LocalPolicy || d.Why != "nothing aligned passed; not enforced: outside enforce_share" || d.Rule != "" || len(d.Shadow) != 1 {
		t.Errorf("Decide() = %+v; want it watched, outside enforce_share", d)
	}
	monitor := Settings{Profile: Monitor, Quarantine: Tag, EnforceShare: 0, Rules: rules}.Decide(f)
	if monitor.Why != "nothing aligned passed; not enforced: profile monitor" {
		t.Errorf("Why = %q; want the profile monitor, which has no share", monitor.Why)
	}
	if monitor.Reason != AsPublished {
		t.Errorf("Reason = %q under monitor; want none: no other answer was wanted", monitor.Reason)
	}
	d.Why, d.Reason = monitor.Why, monitor.Reason
	if text(d) != text(monitor) {
		t.Errorf("Decide() = %+v; want it as under monitor, %+v", d, monitor)
	}
	f.Authors[0].Verdict.Policy = dmarc.None
	if d := (Settings{Profile: Strict, EnforceShare: 0}).Decide(f); d.Reason != AsPublished || strings.Contains(d.Why, "enforce_share") {
		t.Errorf("Decide() = %+v; want nothing said where nothing was to be enforced", d)
	}
	f = full()
	f.Seed = 0
	if d := (Settings{Profile: Strict, EnforceShare: 99}).Decide(f); d.Action != Accept {
		t.Errorf("Decide() without a seed = %v; want it observed", d.Action)
	}
}

func TestRulesWithoutAndOnly(t *testing.T) {
	rules := compile([]Rule{
		{ID: "off", Mode: Off, Action: RuleQuarantine, Match: everything},
		{ID: "first", Mode: Enforce, Priority: 9, Action: RuleAccept, Match: everything},
		{ID: "second", Mode: Enforce, Priority: 8, Action: RuleTempfail, Match: everything},
		{ID: "watches", Mode: Shadow, Priority: 99, Action: RuleReject, Match: everything},
		{ID: "elsewhere", Mode: Enforce, Priority: 99, Action: RuleAccept, Match: Match{Listener: []string{"x"}}},
	})
	for _, tt := range []struct {
		name string
		view Rules
		want string // rule; also; shadow
	}{
		{"the set", rules, "first;second;watches"},
		{"without one", rules.Without("first"), "second;;watches"},
		{"without one that watches", rules.Without("watches"), "first;second;"},
		{"without one that does not match", rules.Without("elsewhere"), "first;second;watches"},
		{"without nobody", rules.Without("gone"), "first;second;watches"},
		{"only one", rules.Only("second"), "second;;"},
		{"only one that watches", rules.Only("watches"), ";;watches"},
		{"only one that is off", rules.Only("off"), ";;"},
		{"only one that does not match", rules.Only("elsewhere"), ";;"},
		{"only nobody", rules.Only("gone"), ";;"},
		{"trying one that watches", rules.Trying("watches"), "watches;first second;"},
		{"trying one that is off", rules.Trying("off"), "first;second off;watches"},
		{"trying one that does not match", rules.Trying("elsewhere"), "first;second;watches"},
		{"trying nobody", rules.Trying("gone"), "first;second;watches"},
		{"trying two", rules.Trying("off", "watches"), "watches;first second off;"},
		{"trying two of which one is the only one", rules.Only("off").Trying("watches", "off"), "off;;"},
		{"trying it alone", rules.Only("off").Trying("off"), "off;;"},
		{"trying another than the only one", rules.Only("second").Trying("off"), "second;;"},
	} {
		d := Settings{Profile: Strict, EnforceShare: 100, Rules: tt.view}.Decide(full())
		var shadow []string
		for _, s := range d.Shadow {
			shadow = append(shadow, s.Rule)
		}
		if got := d.Rule + ";" + strings.Join(d.Also, " ") + ";" + strings.Join(shadow, " "); got != tt.want {
			t.Errorf("%s: Decide() by %s; want %s", tt.name, got, tt.want)
		}
	}
	if d := (Settings{Profile: Strict, EnforceShare: 100, Rules: rules}).Decide(full()); d.Rule != "first" || rules.list[4].Mode != Off {
		t.Errorf("Decide() = %+v after views; want the set as it was", d)
	}
}

func TestReportReasonSaysWhyLessWasDoneThanTheOwnerAsks(t *testing.T) {
	monitor, strict, conformant := Settings{}, Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag}, Settings{Profile: Conformant, EnforceShare: 100, Quarantine: Tag}
	author := func(change func(*Author)) Facts {
		f := full()
		f.Authors = f.Authors[:1]
		f.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100}
		change(&f.Authors[0])
		return f
	}
	tests := []struct {
		name     string
		settings Settings
		facts    Facts
		stored   Reason
		reported Reason
	}{
		{"p=reject under monitor", monitor, author(func(*Author) {}), AsPublished, LocalPolicy},
		{"p=quarantine under monitor", monitor, author(func(a *Author) { a.Verdict.Policy = dmarc.Quarantine }), AsPublished, LocalPolicy},
		{"p=none under monitor", monitor, author(func(a *Author) { a.Verdict.Policy = dmarc.None }), AsPublished, AsPublished},
		{"a pass under monitor", monitor, author(func(a *Author) { a.Verdict.Status = dmarc.Pass }), AsPublished, AsPublished},
		{"temperror under monitor", monitor, author(func(a *Author) { a.Verdict.Status = dmarc.TempError }), AsPublished, AsPublished},
		{"t=y and p=quarantine under monitor", monitor, author(func(a *Author) { a.Verdict.Policy, a.Verdict.Testing = dmarc.Quarantine, true }), PolicyTestMode, PolicyTestMode},
		{"t=y and p=reject under monitor", monitor, author(func(a *Author) { a.Verdict.Testing = true }), PolicyTestMode, LocalPolicy},
		{"t=y and p=reject under strict", strict, author(func(a *Author) { a.Verdict.Testing = true }), PolicyTestMode, PolicyTestMode},
		{"pct=0 and p=quarantine under monitor", monitor, author(func(a *Author) { a.Verdict.Policy, a.Verdict.Pct = dmarc.Quarantine, 0 }), SampledOut, SampledOut},
		{"outside enforce_share", Settings{Profile: Strict, Quarantine: Tag, EnforceShare: 0}, author(func(*Author) {}), LocalPolicy, LocalPolicy},
		{"p=reject under strict", strict, author(func(*Author) {}), AsPublished, AsPublished},
		{"p=quarantine under strict", strict, author(func(a *Author) { a.Verdict.Policy = dmarc.Quarantine }), AsPublished, AsPublished},
		{"p=reject under conformant", conformant, author(func(*Author) {}), LocalPolicy, LocalPolicy},
	}
	for _, tt := range tests {
		d := tt.settings.Decide(tt.facts)
		if d.Evidence == SendsNoMail || d.Evidence == SignsMail || d.Evidence == NoSuchDomain {
			t.Fatalf("%s: evidence %q; want none against it", tt.name, d.Evidence)
		}
		if d.Reason != tt.stored || d.ReportReason(tt.facts) != tt.reported {
			t.Errorf("%s: Reason = %q, ReportReason() = %q; want %q and %q", tt.name, d.Reason, d.ReportReason(tt.facts), tt.stored, tt.reported)
		}
	}
}
