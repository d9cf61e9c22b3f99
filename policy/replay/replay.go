// Package replay decides again about stored messages of which some facts are
// missing, because privacy has removed them or an older program did not record
// them.
//
// Package policy decides about facts as they are: what needs a missing fact
// holds or does not, as the facts suppose (policy.Facts.Supposing). This package
// compares the readings. Equal answers are sure; it is not the place for any
// rule of its own about mail.
package replay

import (
	"slices"

	"dmarcgate/policy"
)

// Again decides about stored facts. They may be without some that the settings
// need: then sure is false if the decision depends on them, and the decision is
// the one in which nothing that needs them holds.
//
// A client whose address has become that of its network still tells for sure
// whether it is in networks that are wider or elsewhere. Of a message of which
// signatures or sealers are missing, nothing is sure: each may be what a rule or
// the evidence needs.
func Again(s policy.Settings, f policy.Facts) (d policy.Decision, sure bool) {
	withoutDraw(&s, &f)
	d = s.Decide(f)
	missing := f.AllMissing()
	switch {
	case missing == 0 || f.Skip != policy.Evaluated:
		return d, true
	case missing&(policy.MissingSignatures|policy.MissingARC) != 0 || !same(&s, f, &d):
		return d, false
	}
	// Whether a lookup that gave way could change the answer is asked of other
	// messages. Their decisions have to be the same in all readings, too: of the
	// two answers, only whether they differ is in the decision.
	for _, other := range f.Unpressed() {
		if o := s.Decide(other); !same(&s, other, &o) {
			return d, false
		}
	}
	return d, true
}

// withoutDraw says of a message without a seed that it is missing where rules could
// look at it: enforce makes none for mail that passes while no rule is about such
// mail.
func withoutDraw(s *policy.Settings, f *policy.Facts) {
	if f.Seed == 0 && s.Rules.AboutPass() {
		f.Missing |= policy.MissingSeed
	}
}

// same reports whether the decision about f is d in every reading.
func same(s *policy.Settings, f policy.Facts, d *policy.Decision) bool {
	all := open(s, f.AllMissing())
	for what := all; what != 0; what = (what - 1) & all { // each part of it
		if other := s.Decide(f.Supposing(what)); !Equal(d, &other) {
			return false
		}
	}
	return true
}

// open is what can hold or not: whatever it was, the decision lies between those
// in which it does and does not.
func open(s *policy.Settings, missing policy.MissingFacts) (what policy.Suppose) {
	if s.Rules.Len() > 0 {
		what |= policy.SupposeRules
	}
	if missing&policy.MissingClient != 0 && s.Profile == policy.Conformant && len(s.TrustedForwarders.Networks) > 0 {
		what |= policy.SupposeForwarder
	}
	if missing&policy.MissingSeed != 0 && s.Profile != policy.Monitor && s.EnforceShare < 100 {
		what |= policy.SupposeShare
	}
	return what
}

// Equal compares decisions as they are stored: an empty list is none.
func Equal(a, b *policy.Decision) bool {
	return a.Action == b.Action && a.Disposition == b.Disposition && a.Requested == b.Requested && a.Reason == b.Reason &&
		a.Evidence == b.Evidence && a.Why == b.Why && a.Author == b.Author && slices.Equal(a.Effective, b.Effective) &&
		a.Rule == b.Rule && slices.Equal(a.Also, b.Also) && slices.Equal(a.Shadow, b.Shadow) &&
		a.ReportComment == b.ReportComment && a.Unreported == b.Unreported
}

// Tell says what one rule says of a message, as Settings.Tell does, and
// policy.NotKnown of each condition that depends on what is missing. Others are
// the message with other values of facts that nothing is known of: what they
// disagree about is not known either.
func Tell(s policy.Settings, id string, f policy.Facts, others ...policy.Facts) (told policy.Told, ok bool) {
	withoutDraw(&s, &f)
	told, ok = s.Tell(f, id)
	for _, other := range append([]policy.Facts{f}, others...) {
		withoutDraw(&s, &other)
		for _, what := range []policy.Suppose{0, policy.SupposeRules} {
			if reading, ok := s.Tell(other.Supposing(what), id); ok {
				merge(&told, reading)
			}
		}
	}
	return told, ok
}

// merge makes what two readings of a message disagree about not known.
func merge(told *policy.Told, other policy.Told) {
	for i := range min(len(told.Conditions), len(other.Conditions)) {
		if told.Conditions[i].State != other.Conditions[i].State {
			told.Conditions[i].State = policy.NotKnown
		}
	}
	if told.Matches != other.Matches {
		told.Matches = policy.NotKnown
	}
}
