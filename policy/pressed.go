package policy

import "slices"

// What can be missing of a message because lookups gave way to others
// (Facts.Pressed). What made the verdict itself open is in the verdict.
const (
	PressedSPF       = "spf"
	PressedHELO      = "helo"
	PressedDKIM      = "dkim"       // of signatures with temperror
	PressedARC       = "arc"        // the chain failed for it
	PressedSendsMail = "sends_mail" // of author domains: what was not asked
)

// spfWords are the results of SPF (RFC 8601, Section 2.7.2).
var spfWords = []string{passWord, "fail", "softfail", "neutral", "none", tempWord, "permerror"}

const (
	passWord = "pass"
	tempWord = "temperror"
)

// Unpressed returns messages as this one could be if nothing had given way:
// with all that could have passed, with author domains that do not exist, and with
// each other result of SPF. Between them lies whatever it is. There are none where
// nothing gave way.
func (f *Facts) Unpressed() []Facts {
	if len(f.Pressed) == 0 {
		return nil
	}
	passed, missing := *f, *f
	passed.DKIM, passed.Authors, missing.Authors = slices.Clone(f.DKIM), slices.Clone(f.Authors), slices.Clone(f.Authors)
	pressed := func(word string) bool { return slices.Contains(f.Pressed, word) }
	for i := range passed.DKIM {
		if s := &passed.DKIM[i]; pressed(PressedDKIM) && s.Result == tempWord {
			s.Result = passWord
		}
	}
	if pressed(PressedSPF) {
		passed.SPF.Result = passWord
	}
	for i := range passed.Authors { // whether they pass is in their verdicts; by what may be open
		a := &passed.Authors[i]
		passes := resultOf(a.Verdict) == passWord
		a.Verdict.AlignedSPF = a.Verdict.AlignedSPF || passes && pressed(PressedSPF) && a.aligned(Recorded{Method: "spf", Domain: f.SPF.Domain})
		a.Verdict.AlignedDKIM = a.Verdict.AlignedDKIM || passes && pressed(PressedDKIM) && slices.ContainsFunc(passed.DKIM, func(s DKIM) bool { return s.passes() && a.signed(s.Domain) })
	}
	if pressed(PressedARC) {
		passed.ARC.Result = passWord
	}
	for i := range missing.Authors {
		if a := &missing.Authors[i]; pressed(PressedSendsMail) && !a.SendsMail.Queried {
			a.SendsMail = SendsMail{Queried: true, Missing: true}
		}
	}
	passed.Pressed, missing.Pressed = nil, nil
	all := []Facts{passed, missing}
	if pressed(PressedSPF) {
		for _, word := range spfWords {
			signed, other := passed, missing
			signed.SPF.Result, other.SPF.Result = word, word
			all = append(all, signed, other)
		}
	}
	return all
}
