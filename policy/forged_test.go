package policy

import "testing"

// Whatever the profile, the rules, the client and the results are, a message
// with too many forged fields is refused.
func TestDecideRejectsTooManyForgedFields(t *testing.T) {
	m := newMaker()
	for range generated(t) {
		f, s := m.facts(), m.settings(t)
		f.Forged, f.TooManyForged = 1001, true
		f.Skip = pick(m, Evaluated, Authenticated, TrustedNetwork, BehindRelay)
		s.EnforceShare = pick[uint8](m, 0, 50, 100)
		d := s.Decide(f)
		if d.Action != Reject || d.Disposition != Rejected || d.Reason != LocalPolicy || d.Rule != "" || len(d.Effective) != len(f.Authors) {
			t.Fatalf("Decide(%+v) = %+v; want a refusal", f, d)
		}
	}
}

// A header that is longer than the limits has one answer, whatever of From is
// within them.
func TestDecideTruncatedHeaderHasOneAnswer(t *testing.T) {
	for _, profile := range []Profile{Monitor, Conformant, Strict} {
		s := Settings{Profile: profile, EnforceShare: 100, Quarantine: Tag}
		want := s.Decide(Facts{FromField: FromTruncated})
		if want.Why != "header longer than the limits" {
			t.Errorf("%v: reason = %q", profile, want.Why)
		}
		for _, from := range []From{FromOneMailbox, FromMissing, FromSeveralFields, FromEmptyGroup, FromUnparsable, FromTruncated} {
			for _, null := range []bool{false, true} {
				if got := s.Decide(Facts{FromField: from, HeaderTruncated: true, NullPath: null}); got.Action != want.Action || got.Why != want.Why {
					t.Errorf("%v: Decide(%s, null path %v) = %+v; want %+v", profile, from, null, got, want)
				}
			}
		}
	}
}
