package policy

import (
	"fmt"
	"slices"
	"testing"

	"dmarcgate/auth/dmarc"
)

// What t and an unselected pct leave of a published policy, written out.
var lowered = []struct {
	published        dmarc.Policy
	testing, sampled bool // sampled: pct selects the message, or is ignored
	want             Policy
}{
	{dmarc.None, false, true, Policy{dmarc.None, AsPublished}},
	{dmarc.None, false, false, Policy{dmarc.None, AsPublished}},
	{dmarc.None, true, true, Policy{dmarc.None, AsPublished}},
	{dmarc.None, true, false, Policy{dmarc.None, AsPublished}},
	{dmarc.Quarantine, false, true, Policy{dmarc.Quarantine, AsPublished}},
	{dmarc.Quarantine, false, false, Policy{dmarc.None, SampledOut}},
	{dmarc.Quarantine, true, true, Policy{dmarc.None, PolicyTestMode}},
	{dmarc.Quarantine, true, false, Policy{dmarc.None, PolicyTestMode}},
	{dmarc.Reject, false, true, Policy{dmarc.Reject, AsPublished}},
	{dmarc.Reject, false, false, Policy{dmarc.Quarantine, SampledOut}},
	{dmarc.Reject, true, true, Policy{dmarc.Quarantine, PolicyTestMode}},
	{dmarc.Reject, true, false, Policy{dmarc.Quarantine, PolicyTestMode}}, // one step, not two
}

// What each profile does with the policy that is left, without evidence, with
// evidence against a rejection, and with evidence for one.
var carriedOut = []struct {
	profile  Profile
	applied  dmarc.Policy
	evidence Evidence // that there is
	want     answer
}{
	{Monitor, dmarc.None, NoEvidence, answer{Accept, Delivered, "", ""}},
	{Monitor, dmarc.None, BodyChanged, answer{Accept, Delivered, "", ""}},
	{Monitor, dmarc.None, SendsNoMail, answer{Accept, Delivered, "", ""}},
	{Monitor, dmarc.Quarantine, NoEvidence, answer{Accept, Delivered, "", ""}},
	{Monitor, dmarc.Quarantine, BodyChanged, answer{Accept, Delivered, "", ""}},
	{Monitor, dmarc.Quarantine, SendsNoMail, answer{Accept, Delivered, "", ""}},
	{Monitor, dmarc.Reject, NoEvidence, answer{Accept, Delivered, "", ""}},
	{Monitor, dmarc.Reject, BodyChanged, answer{Accept, Delivered, "", ""}},
	{Monitor, dmarc.Reject, SendsNoMail, answer{Accept, Delivered, "", ""}},
	{Conformant, dmarc.None, NoEvidence, answer{Accept, Delivered, "", ""}},
	{Conformant, dmarc.None, BodyChanged, answer{Accept, Delivered, "", ""}},
	{Conformant, dmarc.None, SendsNoMail, answer{Accept, Delivered, "", ""}},
	{Conformant, dmarc.Quarantine, NoEvidence, answer{Tag, Quarantined, "", ""}},
	{Conformant, dmarc.Quarantine, BodyChanged, answer{Tag, Quarantined, "", ""}},
	{Conformant, dmarc.Quarantine, SendsNoMail, answer{Tag, Quarantined, "", ""}},
	{Conformant, dmarc.Reject, NoEvidence, answer{Tag, Quarantined, LocalPolicy, NoEvidence}},
	{Conformant, dmarc.Reject, BodyChanged, answer{Tag, Quarantined, LocalPolicy, BodyChanged}},
	{Conformant, dmarc.Reject, SendsNoMail, answer{Reject, Rejected, "", SendsNoMail}},
	{Strict, dmarc.None, NoEvidence, answer{Accept, Delivered, "", ""}},
	{Strict, dmarc.None, BodyChanged, answer{Accept, Delivered, "", ""}},
	{Strict, dmarc.None, SendsNoMail, answer{Accept, Delivered, "", ""}},
	{Strict, dmarc.Quarantine, NoEvidence, answer{Tag, Quarantined, "", ""}},
	{Strict, dmarc.Quarantine, BodyChanged, answer{Tag, Quarantined, "", ""}},
	{Strict, dmarc.Quarantine, SendsNoMail, answer{Tag, Quarantined, "", ""}},
	{Strict, dmarc.Reject, NoEvidence, answer{Reject, Rejected, "", ""}},
	{Strict, dmarc.Reject, BodyChanged, answer{Reject, Rejected, "", ""}},
	{Strict, dmarc.Reject, SendsNoMail, answer{Reject, Rejected, "", ""}},
}

// answer is the part of a decision that carriedOut tells. An empty reason is
// that of the lowering.
type answer struct {
	action      Action
	disposition Disposition
	reason      Reason
	evidence    Evidence
}

func TestDecideEveryPolicyTestingPctAndProfile(t *testing.T) {
	draws := []struct {
		pct, draw uint8
		ignore    bool
		selected  bool
	}{
		{100, 0, false, true}, {100, 99, false, true}, {30, 29, false, true}, {30, 30, false, false}, {1, 0, false, true}, {1, 1, false, false},
		{0, 0, false, false}, {0, 99, false, false}, {0, 0, true, true}, {30, 99, true, true},
	}
	for _, low := range lowered {
		for _, d := range draws {
			if d.selected != low.sampled {
				continue
			}
			for _, out := range carriedOut {
				if out.applied != low.want.Applied {
					continue
				}
				f := weighed()
				evidenceFor(t, out.evidence)(&f)
				a := &f.Authors[0]
				a.Verdict.Policy, a.Verdict.Testing, a.Verdict.Pct, a.Draw = low.published, low.testing, d.pct, d.draw
				s := Settings{Profile: out.profile, EnforceShare: 100, Quarantine: Tag, IgnorePct: d.ignore}
				want := out.want
				if want.reason == "" {
					want.reason = low.want.Reason
				}
				got := s.Decide(f)
				if (answer{got.Action, got.Disposition, got.Reason, got.Evidence}) != want || got.Effective[0] != low.want || got.Requested != low.published {
					t.Errorf("p=%v t=%v pct=%d draw=%d ignored=%v in %v with evidence %q: Decide() = %+v; want %+v and effective %+v",
						low.published, low.testing, d.pct, d.draw, d.ignore, out.profile, out.evidence, got, want, low.want)
				}
			}
		}
	}
}

// evidenceFor returns the first case of a row that it finds.
func evidenceFor(t *testing.T, row Evidence) func(*Facts) {
	t.Helper()
	if row == NoEvidence {
		return func(*Facts) {}
	}
	i := slices.IndexFunc(evidenceCases, func(c evidenceCase) bool { return c.row == row && c.found })
	if i < 0 {
		t.Fatalf("no case that finds %q", row)
	}
	return evidenceCases[i].change
}

// The two tables have a line for everything there is.
func TestDecideTablesOfTestingAndPctAreComplete(t *testing.T) {
	seen := make(map[string]bool)
	for _, l := range lowered {
		seen[fmt.Sprint(l.published, l.testing, l.sampled)] = true
	}
	for _, c := range carriedOut {
		seen[fmt.Sprint(c.profile, c.applied, c.evidence)] = true
	}
	if want := 3*2*2 + 3*3*3; len(seen) != want {
		t.Errorf("the tables have %d different lines; want %d", len(seen), want)
	}
}
