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

const (
	passWord = "pass"
	tempWord = "temperror"
)

// Unpressed returns messages as this one could be if nothing had given way:
// with all that could have passed, and with author domains that do not exist.
// Between the two lies whatever it is. There are none where nothing gave way.
func (f *Facts) Unpressed() []Facts {
	if len(f.Pressed) == 0 {
		return nil
	}
	passed, missing := *f, *f
	passed.DKIM, missing.Authors = slices.Clone(f.DKIM), slices.Clone(f.Authors)
	pressed := func(word string) bool { return slices.Contains(f.Pressed, word) }
	for i := range passed.DKIM {
		if s := &passed.DKIM[i]; pressed(PressedDKIM) && s.Result == tempWord {
			s.Result = passWord
		}
	}
	if pressed(PressedSPF) {
		passed.SPF.Result = passWord
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
	return []Facts{passed, missing}
}
