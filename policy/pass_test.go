package policy

import (
	"slices"
	"testing"

	"dmarcgate/auth/dmarc"
)

// passing is a message of one author domain that passes by SPF alone.
func passing() Facts {
	f := full()
	passedBy(true, false)(&f)
	return f
}

func passRule(action RuleAction, change func(*Match)) Rule {
	r := Rule{ID: "r", Owner: "o", Created: noon, Mode: Enforce, Action: action, Match: Match{Result: []string{"pass"}, SPFPass: pats("relay.example")}}
	if change != nil {
		change(&r.Match)
	}
	return r
}

func TestDecideRuleAboutPassTightens(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rule   Rule
		facts  func(*Facts)
		want   Action
		reason Reason
	}{
		{"reject", passRule(RuleReject, nil), nil, Reject, LocalPolicy},
		{"tempfail", passRule(RuleTempfail, nil), nil, Tempfail, LocalPolicy},
		{"quarantine", passRule(RuleQuarantine, nil), nil, Hold, LocalPolicy},
		{"tag whatever quarantine is", passRule(RuleTag, nil), nil, Tag, LocalPolicy},
		{"a rule about failing mail is not about it", passRule(RuleReject, func(m *Match) { m.Result = nil }), nil, Accept, AsPublished},
		{"nor is one about every other result", passRule(RuleTag, func(m *Match) { m.Result = ruleResults }), nil, Accept, AsPublished},
		{"one of two author domains passes, the other asks for more", passRule(RuleTag, nil), func(f *Facts) {
			f.FromField, f.Authors = FromSeveralDomains, append(f.Authors, author("shop.example", fails(dmarc.Reject)))
		}, Reject, AsPublished},
		{"the other asks for nothing", passRule(RuleTag, nil), func(f *Facts) {
			f.FromField, f.Authors = FromSeveralDomains, append(f.Authors, author("shop.example", fails(dmarc.None)))
		}, Tag, LocalPolicy},
		{"by SPF alone, where a signature could not be checked", passRule(RuleReject, func(m *Match) { m.PassBy = []string{"spf"} }), func(f *Facts) { f.DKIM[0].Result = tempWord }, Tempfail, LocalPolicy},
		{"not evaluated", passRule(RuleReject, nil), func(f *Facts) { f.Skip = Loopback }, Accept, AsPublished},
		{"outside the sample", func() Rule { r := passRule(RuleReject, nil); r.Sample = 1; return r }(), func(f *Facts) { f.Seed = 0 }, Accept, AsPublished},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := passing()
			if tt.facts != nil {
				tt.facts(&f)
			}
			s := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Hold, Rules: set(t, tt.rule)}
			d := s.Decide(f)
			if d.Action != tt.want || d.Reason != tt.reason || d.ReportReason(f) != tt.reason {
				t.Errorf("Decide() = %+v; want %v, reason %q", d, tt.want, tt.reason)
			}
			if d.Action == Tag && d.Disposition != Quarantined {
				t.Errorf("disposition = %v; want quarantine", d.Disposition)
			}
			s.Profile = Monitor
			if d := s.Decide(f); d.Action != Accept {
				t.Errorf("Decide() under monitor = %+v; want it delivered", d)
			}
		})
	}
}

// severest returns the severest answer that f can get if what gave way is found out.
func severest(s Settings, f Facts) Action {
	found := f
	found.Pressed = nil
	most := s.Decide(found).Action
	for _, other := range f.Unpressed() {
		most = max(most, s.Decide(other).Action)
	}
	return most
}

// Whatever the other rules are, and whichever stands first. A message that is deferred
// because something gave way has no answer yet: a rule about pass may give one, if
// nothing severer could be found out.
func TestRuleAboutPassNeverMakesMilder(t *testing.T) {
	decides, yields := 0, 0
	ruled(t, func(m maker, s Settings, f Facts) {
		extra := m.rule(0, m.maps())
		extra.ID, extra.Mode, extra.Priority, extra.Action = pick(m, "a", "z"), Enforce, m.IntN(6), pick(m, RuleTag, RuleQuarantine, RuleTempfail, RuleReject)
		extra.Match.Result = []string{"pass"}
		if m.yes(70) {
			extra.Match = Match{Result: []string{"pass"}}
		}
		more := s
		more.Rules = compile(append(slices.DeleteFunc(s.Rules.List(), func(r Rule) bool { return r.Match.passes() }), extra))
		s.Rules = compile(slices.DeleteFunc(s.Rules.List(), func(r Rule) bool { return r.Match.passes() }))
		was, is := s.Decide(f), more.Decide(f)
		if is.Action < was.Action && (len(f.Pressed) == 0 || is.Action < severest(s, f)) {
			t.Errorf("Decide(%s) with the rule %s = %s; want nothing milder than %s", text(f), text(extra), text(is), text(was))
		}
		if is.Rule == extra.ID {
			decides++
		}
		if slices.Contains(is.Also, extra.ID) {
			yields++
		}
	})
	if share := generated(t) / 100; decides < share || yields < share {
		t.Errorf("the rule decides %d messages and yields for %d; want at least %d of each, or the property says nothing", decides, yields, share)
	}
}

// Rules about mail that passes cost nothing where there are none, and are seen in
// every view of a set that has some.
func TestRulesKnowWhetherOneIsAboutPass(t *testing.T) {
	off := passRule(RuleTag, nil)
	off.ID, off.Mode = "off", Off
	if rs := set(t, good()); rs.AboutPass() {
		t.Error("AboutPass() of rules about failing mail = true")
	}
	rs := compile([]Rule{good(), off})
	if rs.AboutPass() {
		t.Error("AboutPass() of a rule that is off = true")
	}
	if tried := rs.Trying("off"); !tried.AboutPass() {
		t.Error("AboutPass() of a rule that is tried = false")
	}
	if d := (Settings{Profile: Strict, EnforceShare: 100, Rules: rs.Trying("off").Only("off")}).Decide(passing()); d.Rule != "off" {
		t.Errorf("Decide() with a rule that is tried = %+v; want it to decide", d)
	}
}

// Whatever could not be checked, nothing is refused for good because of it.
func TestDecideDefersWhatCouldNotBeChecked(t *testing.T) {
	for _, tt := range []struct {
		name  string
		match Match
		facts func(*Facts)
		want  Action
	}{
		{"nothing passes", Match{Authenticated: new(false)}, func(f *Facts) { f.SPF.Result, f.DKIM = "none", nil }, Reject},
		{"SPF of an unrelated domain has a temporary error", Match{Authenticated: new(false)}, func(f *Facts) { f.SPF.Result, f.DKIM = tempWord, nil }, Tempfail},
		{"a key could not be fetched", Match{Authenticated: new(false)}, func(f *Facts) { f.SPF.Result, f.DKIM = "fail", []DKIM{{Result: tempWord, Domain: "x.example"}} }, Tempfail},
		{"what is refused without the rule", Match{Authenticated: new(false)}, func(f *Facts) {
			f.SPF.Result, f.DKIM, f.Authors[0].Verdict = tempWord, nil, fails(dmarc.Reject)
		}, Reject},
		{"the client is not known", Match{SPF: []string{"none"}}, func(f *Facts) { f.SPF.Result, f.UnknownClient = "none", ClientNoField }, Tempfail},
		{"a rule that does not ask", Match{Author: pats("org:bank.example")}, func(f *Facts) { f.SPF.Result, f.DKIM = tempWord, nil }, Reject},
	} {
		f := full()
		f.Authors[0].Verdict = fails(dmarc.None)
		tt.facts(&f)
		s := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, Rules: compile([]Rule{{ID: "r", Mode: Enforce, Action: RuleReject, Match: tt.match}})}
		if d := s.Decide(f); d.Action != tt.want || d.Rule != "r" {
			t.Errorf("%s: Decide() = %+v; want %v by the rule", tt.name, d, tt.want)
		}
	}
}

// A rejection that waits for what could not be checked is no shield against another.
func TestDecideRejectsByARuleBelowOneThatDefers(t *testing.T) {
	floor := Rule{ID: "floor", Mode: Enforce, Priority: 2, Action: RuleReject, Match: Match{Authenticated: new(false)}}
	named := Rule{ID: "named", Mode: Enforce, Priority: 1, Action: RuleReject, Match: Match{Author: pats("org:bank.example")}}
	between := Rule{ID: "between", Mode: Enforce, Priority: 1, Action: RuleAccept, Match: Match{Author: pats("org:bank.example")}}
	pass := passRule(RuleReject, func(m *Match) { m.PassBy = []string{"spf"} })
	spared := passRule(RuleReject, nil)
	pass.ID, pass.Priority, spared.ID = "pass", spared.Priority+1, "spared"
	unchecked := func(f *Facts) { f.SPF.Result, f.DKIM, f.Authors[0].Verdict = tempWord, nil, fails(dmarc.None) }
	for _, tt := range []struct {
		name  string
		rules []Rule
		facts func(*Facts)
		want  string
		also  []string
	}{
		{"another rejection below", []Rule{floor, named}, unchecked, "named", []string{"floor"}},
		{"something milder between", []Rule{floor, between, named}, unchecked, "named", []string{"between", "floor"}},
		{"everything could be checked", []Rule{floor, named}, func(f *Facts) { unchecked(f); f.SPF.Result = "none" }, "floor", []string{"named"}},
		{"mail that passes", []Rule{pass, spared}, func(f *Facts) { *f = passing(); passedBy(true, false)(f); f.DKIM[0].Result = tempWord }, "spared", []string{"pass"}},
	} {
		f := full()
		tt.facts(&f)
		d := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, Rules: compile(tt.rules)}.Decide(f)
		if d.Action != Reject || d.Rule != tt.want || !slices.Equal(d.Also, tt.also) {
			t.Errorf("%s: Decide() = %+v; want a rejection by %s, also %q", tt.name, d, tt.want, tt.also)
		}
	}
}

// A lookup that gave way could have led to any result of SPF.
func TestDecideTempfailsWhereSPFGaveWayToARule(t *testing.T) {
	for _, word := range []string{"fail", "softfail", "neutral", "none", "permerror"} {
		for _, m := range []Match{{SPF: []string{word}}, {SPF: []string{word}, DKIMPass: pats("list.example")}} {
			f := failing(PressedSPF, PressedDKIM)
			f.Authors[0].Verdict = fails(dmarc.None)
			s := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, Rules: compile([]Rule{{ID: "r", Mode: Enforce, Action: RuleTag, Match: m}})}
			if d := s.Decide(f); d.Action != Tempfail {
				t.Errorf("Decide() with a rule about %s = %+v; want tempfail: SPF could have been that", text(m), d)
			}
		}
	}
	f := failing(PressedDKIM)
	passedBy(true, false)(&f)
	f.SPF, f.DKIM[0].Domain = SPF{Result: "pass", Domain: "bank.example"}, "bank.example"
	s := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, Rules: compile([]Rule{passRule(RuleTag, func(m *Match) { m.SPFPass, m.PassBy = nil, []string{"spf"} })})}
	if d := s.Decide(f); d.Action != Tempfail {
		t.Errorf("Decide() where it could pass by both = %+v; want tempfail", d)
	}
}

func TestFaultsOfRulesAboutPassAndTighteningKeys(t *testing.T) {
	pass := []string{"pass"}
	relay := pats("relay.example")
	for _, tt := range []struct {
		name   string
		action RuleAction
		match  Match
		want   string
	}{
		{"tag", RuleTag, Match{Result: pass}, ""},
		{"reject without an anchor", RuleReject, Match{Result: pass, Author: relay, PassBy: []string{"spf"}}, CodeRejectPass},
		{"reject what is not known to have failed earlier", RuleReject, Match{Result: pass, EarlierSPFFail: new(false)}, CodeRejectPass},
		{"reject after an earlier fail", RuleReject, Match{Result: pass, EarlierSPFFail: new(true)}, ""},
		{"reject by SPF", RuleReject, Match{Result: pass, SPFPass: relay}, ""},
		{"reject by a signature", RuleReject, Match{Result: pass, DKIMPass: relay}, ""},
		{"reject by name", RuleReject, Match{Result: pass, IPRev: relay}, ""},
		{"reject by client", RuleReject, Match{Result: pass, Client: nets("192.0.2.0/24")}, ""},
		{"accept", RuleAccept, Match{Result: pass, SPFPass: relay}, CodeResultPass},
		{"as_published", RuleAsPublished, Match{Result: pass, SPFPass: relay}, CodeResultPass},
		{"skip_report", RuleSkipReport, Match{Result: pass, SPFPass: relay}, CodeResultPass},
		{"beside another result", RuleTag, Match{Result: []string{"pass", "fail"}}, CodeResultPass},
		{"the history of what passes", RuleTag, Match{Result: pass, HistoryMax: new(1)}, CodeResultPass},
		{"the policy of what passes", RuleTag, Match{Result: pass, Requested: []string{"none"}}, CodeResultPass},
		{"the chain of what passes", RuleTag, Match{Result: pass, ARCPass: relay}, CodeResultPass},
		{"pass_by of what fails", RuleTag, Match{PassBy: []string{"spf"}}, CodeResultPass},
		{"earlier_spf_fail of what fails", RuleTag, Match{Result: []string{"fail"}, EarlierSPFFail: new(true)}, CodeResultPass},
		{"a word of pass_by", RuleTag, Match{Result: pass, PassBy: []string{"arc"}}, CodeUnknownWord},
		{"spf", RuleReject, Match{SPF: []string{"fail", "softfail"}}, ""},
		{"a word of spf", RuleReject, Match{SPF: []string{"hardfail"}}, CodeUnknownWord},
		{"refused for a temporary error", RuleReject, Match{SPF: []string{"temperror"}}, CodeWrongResult},
		{"spf that accepts", RuleAccept, Match{SPF: []string{"fail"}, Client: nets("192.0.2.0/24")}, CodeTightenOnly},
		{"spf that hides", RuleSkipReport, Match{SPF: []string{"fail"}, Author: relay}, CodeTightenOnly},
		{"authenticated", RuleReject, Match{Authenticated: new(false), Result: []string{"none", "fail"}}, ""},
		{"authenticated that accepts", RuleAccept, Match{Authenticated: new(false), Client: nets("192.0.2.0/24")}, CodeTightenOnly},
	} {
		r := good()
		r.Action, r.Match = tt.action, tt.match
		var got string
		for _, f := range r.Faults() {
			got += f.Code
		}
		if got != tt.want {
			t.Errorf("%s: faults %q; want %q", tt.name, got, tt.want)
		}
	}
}
