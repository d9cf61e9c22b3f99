package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy/pattern"
)

func author(domain string, v dmarc.Verdict) Author {
	return Author{Domain: domain, PolicyDomain: domain, Source: "author", Verdict: v}
}

func fails(p dmarc.Policy) dmarc.Verdict {
	return dmarc.Verdict{Status: dmarc.Fail, Policy: p, Pct: 100, Why: "nothing aligned passed"}
}

func one(v dmarc.Verdict) Facts {
	return Facts{FromField: FromOneMailbox, Authors: []Author{author("bank.example", v)}}
}

func TestDecideFollowsTheProfile(t *testing.T) {
	strict := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag}
	conformant := Settings{Profile: Conformant, EnforceShare: 100, Quarantine: Tag}
	monitor := Settings{Profile: Monitor, Quarantine: Tag}
	type want struct {
		action      Action
		disposition Disposition
		reason      Reason
	}
	tests := []struct {
		name  string
		s     Settings
		facts Facts
		want  want
	}{
		{"pass is delivered", strict, one(dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100}), want{}},
		{"no record is delivered", strict, one(dmarc.Verdict{}), want{}},
		{"an unusable record is delivered", strict, one(dmarc.Verdict{Status: dmarc.PermError, Policy: dmarc.Reject}), want{}},
		{"p=none changes nothing", strict, one(fails(dmarc.None)), want{}},
		{"strict quarantines", strict, one(fails(dmarc.Quarantine)), want{Tag, Quarantined, AsPublished}},
		{"strict rejects", strict, one(fails(dmarc.Reject)), want{Reject, Rejected, AsPublished}},
		{"monitor records p=reject only", monitor, one(fails(dmarc.Reject)), want{Accept, Delivered, AsPublished}},
		{"monitor has nothing to override for p=none", monitor, one(fails(dmarc.None)), want{}},
		{"conformant quarantines p=reject", conformant, one(fails(dmarc.Reject)), want{Tag, Quarantined, LocalPolicy}},
		{"conformant quarantines p=quarantine as published", conformant, one(fails(dmarc.Quarantine)), want{Tag, Quarantined, AsPublished}},
		{"quarantine can be the MTA's hold queue", Settings{Profile: Strict, EnforceShare: 100, Quarantine: Hold}, one(fails(dmarc.Quarantine)), want{Hold, Quarantined, AsPublished}},
		{"quarantine can be a refusal", Settings{Profile: Strict, EnforceShare: 100, Quarantine: Reject}, one(fails(dmarc.Quarantine)), want{Reject, Rejected, LocalPolicy}},
		{"zero settings enforce nothing", Settings{}, one(fails(dmarc.Reject)), want{Accept, Delivered, AsPublished}},
		{"zero facts are not a pass", strict, Facts{}, want{Reject, Rejected, LocalPolicy}},
		{"mail that is not evaluated is delivered", strict, Facts{Skip: Authenticated}, want{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := tt.s.Decide(tt.facts)
			if got := (want{d.Action, d.Disposition, d.Reason}); got != tt.want {
				t.Errorf("Decide() = %+v; want %+v", got, tt.want)
			}
			if tt.facts.Skip == Evaluated && len(tt.facts.Authors) > 0 && len(d.Effective) != len(tt.facts.Authors) {
				t.Errorf("Effective has %d entries; want one for each author domain", len(d.Effective))
			}
		})
	}
}

func TestDecideTestingAndPctLowerOneStep(t *testing.T) {
	tests := []struct {
		name      string
		policy    dmarc.Policy
		testing   bool
		pct, draw uint8
		ignorePct bool
		want      Policy
	}{
		{"pct=100 selects all", dmarc.Reject, false, 100, 99, false, Policy{dmarc.Reject, AsPublished}},
		{"pct=0 selects none", dmarc.Reject, false, 0, 0, false, Policy{dmarc.Quarantine, SampledOut}},
		{"the draw below pct is selected", dmarc.Reject, false, 30, 29, false, Policy{dmarc.Reject, AsPublished}},
		{"the draw at pct is not", dmarc.Reject, false, 30, 30, false, Policy{dmarc.Quarantine, SampledOut}},
		{"an unselected quarantine is none", dmarc.Quarantine, false, 0, 0, false, Policy{dmarc.None, SampledOut}},
		{"pct can be ignored", dmarc.Reject, false, 0, 0, true, Policy{dmarc.Reject, AsPublished}},
		{"t=y lowers reject", dmarc.Reject, true, 100, 0, false, Policy{dmarc.Quarantine, PolicyTestMode}},
		{"t=y and an unselected pct lower once", dmarc.Reject, true, 0, 0, false, Policy{dmarc.Quarantine, PolicyTestMode}},
		{"p=none stays as it is", dmarc.None, true, 0, 0, false, Policy{dmarc.None, AsPublished}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := one(dmarc.Verdict{Status: dmarc.Fail, Policy: tt.policy, Testing: tt.testing, Pct: tt.pct})
			f.Authors[0].Draw = tt.draw
			d := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, IgnorePct: tt.ignorePct}.Decide(f)
			if d.Effective[0] != tt.want {
				t.Errorf("Effective = %+v; want %+v", d.Effective[0], tt.want)
			}
			if d.Reason != tt.want.Reason {
				t.Errorf("Reason = %q; want %q", d.Reason, tt.want.Reason)
			}
			if d.Requested != tt.policy {
				t.Errorf("Requested = %v; want %v, as published", d.Requested, tt.policy)
			}
		})
	}
}

func TestDecideStrictestFailingAuthorDomainWins(t *testing.T) {
	pass := author("good.example", dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject})
	none := author("none.example", fails(dmarc.None))
	quarantine := author("q.example", fails(dmarc.Quarantine))
	reject := author("r.example", fails(dmarc.Reject))
	equal := author("s.example", fails(dmarc.Reject))
	tests := []struct {
		name    string
		authors []Author
		want    Action
		decided string
	}{
		{"a pass excuses no other", []Author{pass, reject}, Reject, "r.example"},
		{"the order does not matter", []Author{reject, pass}, Reject, "r.example"},
		{"reject over quarantine", []Author{quarantine, none, reject}, Reject, "r.example"},
		{"of equals the first is named", []Author{pass, reject, equal}, Reject, "r.example"},
		{"a fail without policy is named before a pass", []Author{pass, none}, Accept, "none.example"},
		{"five are evaluated", []Author{pass, pass, pass, pass, pass}, Accept, "good.example"},
		{"six are too many", []Author{pass, pass, pass, pass, pass, pass}, Reject, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := Facts{FromField: FromSeveralDomains, Authors: tt.authors}
			d := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag}.Decide(f)
			if d.Action != tt.want || d.Author != tt.decided {
				t.Errorf("Decide() = %v by %q; want %v by %q", d.Action, d.Author, tt.want, tt.decided)
			}
		})
	}
}

func TestDecideAnswersTempErrorByCause(t *testing.T) {
	s := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Hold, TempOurs: Tag, TempDomain: Tempfail, MaxDefer: 4 * time.Hour}
	ours := dmarc.Verdict{Status: dmarc.TempError, Policy: dmarc.Reject, Cause: dmarc.CauseOurs}
	theirs := dmarc.Verdict{Status: dmarc.TempError, Policy: dmarc.Reject, Cause: dmarc.CauseDomain}
	pressed := dmarc.Verdict{Status: dmarc.TempError, Policy: dmarc.Reject, Cause: dmarc.CausePressure}
	tests := []struct {
		name     string
		s        Settings
		verdict  dmarc.Verdict
		deferred time.Duration
		want     Action
		disp     Disposition
	}{
		{"our resolver answers nobody: delivered with a tag", s, ours, 0, Tag, Delivered},
		{"however long it lasts", s, ours, 10 * time.Hour, Tag, Delivered},
		{"the domain's DNS fails: try again", s, theirs, 0, Tempfail, Delivered},
		{"still", s, theirs, 4*time.Hour - 1, Tempfail, Delivered},
		{"but not for ever, and never past the policy", s, theirs, 4 * time.Hour, Hold, Quarantined},
		{"a lookup gave way: try again", s, pressed, 0, Tempfail, Delivered},
		{"however long that goes on", s, pressed, 400 * time.Hour, Tempfail, Delivered},
		{"whatever the settings deliver", Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, TempOurs: Tag, TempDomain: Tag}, pressed, 0, Tempfail, Delivered},
		{"under the profile conformant, too", Settings{Profile: Conformant, EnforceShare: 100, Quarantine: Tag, TempOurs: Tag, TempDomain: Tempfail}, pressed, time.Hour, Tempfail, Delivered},
		{"monitor does not defer for it", Settings{Profile: Monitor, TempOurs: Tempfail, TempDomain: Tempfail}, pressed, 0, Accept, Delivered},
		{"nor is what passes deferred for it", s, dmarc.Verdict{Status: dmarc.TempError, Cause: dmarc.CausePressure, AlignedSPF: true}, 0, Accept, Delivered},
		{"a pass of the author domain itself needs no record", s, dmarc.Verdict{Status: dmarc.TempError, Cause: dmarc.CauseDomain, AlignedDKIM: true}, 0, Accept, Delivered},
		{"monitor defers nobody", Settings{Profile: Monitor, TempOurs: Tempfail, TempDomain: Tempfail}, theirs, 0, Accept, Delivered},
		{"not even where quarantine is one", Settings{Profile: Strict, EnforceShare: 100, Quarantine: Reject, TempDomain: Tempfail}, theirs, time.Hour, Tag, Quarantined},
		{"temperror is never a rejection", Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, TempOurs: Tempfail, TempDomain: Tempfail}, theirs, time.Hour, Tag, Quarantined},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := one(tt.verdict)
			f.Deferred = tt.deferred
			d := tt.s.Decide(f)
			if d.Action != tt.want || d.Disposition != tt.disp {
				t.Errorf("Decide() = %v, %v; want %v, %v", d.Action, d.Disposition, tt.want, tt.disp)
			}
		})
	}
}

func TestTempUnknownAnswersMailOfUnknownClient(t *testing.T) {
	unknown := func(p dmarc.Policy) dmarc.Verdict {
		return dmarc.Verdict{Status: dmarc.TempError, Cause: dmarc.CauseClient, Policy: p, Pct: 100}
	}
	inTest, unsampled := unknown(dmarc.Quarantine), unknown(dmarc.Quarantine)
	inTest.Testing, unsampled.Pct = true, 0
	tests := []struct {
		name    string
		s       Settings
		verdict dmarc.Verdict
		want    Action
	}{
		{"tag", Settings{Profile: Strict, EnforceShare: 100, TempUnknown: Tag}, unknown(dmarc.Reject), Tag},
		{"tag under conformant", Settings{Profile: Conformant, EnforceShare: 100, TempUnknown: Tag}, unknown(dmarc.Reject), Tag},
		{"tag where quarantine is a refusal", Settings{Profile: Strict, EnforceShare: 100, Quarantine: Reject, TempUnknown: Tag}, unknown(dmarc.Quarantine), Tag},
		{"accept", Settings{Profile: Strict, EnforceShare: 100, TempUnknown: Accept}, unknown(dmarc.Reject), Accept},
		{"tempfail", Settings{Profile: Strict, EnforceShare: 100, TempUnknown: Tempfail}, unknown(dmarc.Quarantine), Tempfail},
		{"the settings for DNS say nothing here", Settings{Profile: Strict, EnforceShare: 100, TempOurs: Tempfail, TempDomain: Tempfail, TempUnknown: Tag}, unknown(dmarc.Reject), Tag},
		{"p=none asks for nothing", Settings{Profile: Strict, EnforceShare: 100, TempUnknown: Tempfail}, unknown(dmarc.None), Accept},
		{"t=y lowers quarantine to nothing", Settings{Profile: Strict, EnforceShare: 100, TempUnknown: Tempfail}, inTest, Accept},
		{"so does pct=0", Settings{Profile: Strict, EnforceShare: 100, TempUnknown: Tempfail}, unsampled, Accept},
		{"monitor does nothing", Settings{Profile: Monitor, TempUnknown: Tempfail}, unknown(dmarc.Reject), Accept},
		{"a pass is a pass", Settings{Profile: Strict, EnforceShare: 100, TempUnknown: Tempfail}, dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, AlignedDKIM: true}, Accept},
		{"the DNS of the domain has a setting of its own", Settings{Profile: Strict, EnforceShare: 100, TempDomain: Tempfail, MaxDefer: time.Hour, TempUnknown: Accept}, dmarc.Verdict{Status: dmarc.TempError, Cause: dmarc.CauseDomain}, Tempfail},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := one(tt.verdict)
			f.UnknownClient, f.Deferred = ClientUnreadable, 100*time.Hour
			if tt.verdict.Cause == dmarc.CauseDomain {
				f.Deferred = 0
			}
			d := tt.s.Decide(f)
			if d.Action != tt.want || d.Disposition != Delivered || d.Requested != dmarc.None {
				t.Errorf("Decide() = %v, %v, requested %v; want %v, none, none", d.Action, d.Disposition, d.Requested, tt.want)
			}
		})
	}
}

func TestUnmarshalTextReadsNamesOfEnumerations(t *testing.T) {
	for _, p := range []Profile{Monitor, Conformant, Strict} {
		text, _ := p.MarshalText()
		var got Profile
		if err := got.UnmarshalText(text); err != nil || got != p {
			t.Errorf("UnmarshalText(%s) = %v, %v; want %v", text, got, err, p)
		}
	}
	var d Disposition
	if err := d.UnmarshalText([]byte("discard")); err == nil {
		t.Error("UnmarshalText(discard) has no error")
	}
}

func TestStringOfUnknownNumberIsInvalid(t *testing.T) {
	for _, v := range []fmt.Stringer{
		Strict + 1, Rejected + 1, Reject + 1, FromReject + 1, Enforce + 1, RuleSkipReport + 1, Action(200), pattern.Weekday(7), pattern.Weekday(-1),
	} {
		if got := v.String(); got != "invalid" {
			t.Errorf("String of %T(%d) = %q; want invalid", v, v, got)
		}
	}
}

func TestDecideReasonExplainsUnappliedPolicy(t *testing.T) {
	open := dmarc.Verdict{Status: dmarc.TempError, Cause: dmarc.CauseDomain, Why: "no answer"}
	waits := Settings{Profile: Strict, EnforceShare: 100, Quarantine: Tag, TempDomain: Tempfail, MaxDefer: time.Hour}
	tests := []struct {
		name     string
		s        Settings
		verdict  dmarc.Verdict
		deferred time.Duration
		want     string
	}{
		{"as published", Settings{Profile: Strict, EnforceShare: 100}, fails(dmarc.Reject), 0, "nothing aligned passed"},
		{"monitor enforces nothing", Settings{Profile: Monitor}, fails(dmarc.Quarantine), 0, "nothing aligned passed; not enforced: profile monitor"},
		{"monitor has nothing to enforce", Settings{Profile: Monitor}, fails(dmarc.None), 0, "nothing aligned passed"},
		{"the sender is to try again", waits, open, 0, "no answer"},
		{"the sender has tried long enough", waits, open, time.Hour, "no answer; deferred long enough"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := one(tt.verdict)
			f.Deferred = tt.deferred
			if got := tt.s.Decide(f).Why; got != tt.want {
				t.Errorf("Why = %q; want %q", got, tt.want)
			}
		})
	}
}

func TestSuspendEnforcesNothingAndNamesEnd(t *testing.T) {
	until := time.Date(2026, 11, 30, 14, 0, 0, 500, time.FixedZone("", 3600))
	for _, p := range []Profile{Monitor, Conformant, Strict} {
		for _, observed := range []uint8{0, 50, 100} {
			s := Settings{Profile: p, EnforceShare: 100 - observed, Quarantine: Reject}
			got := s.Suspend(until)
			d := got.Decide(one(fails(dmarc.Reject)))
			if d.Action != Accept {
				t.Errorf("%v, observed %d, suspended: %v; want delivery", p, observed, d.Action)
			}
			if p == Monitor {
				continue // see package sum
			}
			if want := "not enforced: dmarcgate monitor until 2026-11-30T13:00:00Z"; !strings.HasSuffix(d.Why, want) {
				t.Errorf("%v, observed %d, suspended: reason %q; want %q at its end", p, observed, d.Why, want)
			}
		}
	}
}
