package policy

import "slices"

// What can be missing of a message because lookups gave way to others
// (Facts.Pressed). What made the verdict itself open is in the verdict.
const (
	PressedSPF      = "spf"
	PressedHELO     = "helo"
	PressedDKIM     = "dkim"     // of signatures with temperror
	PressedARC      = "arc"      // the chain failed for it
	PressedStanding = "standing" // of author domains: what was not asked
)

const (
	passWord = "pass"
	tempWord = "temperror"
)

// unpressed returns messages as this one could be if nothing had given way:
// with all that could have passed, and with author domains that do not exist.
// Between the two lies whatever it is.
func (f *Facts) unpressed() []Facts {
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
		if a := &missing.Authors[i]; pressed(PressedStanding) && !a.Standing.Asked {
			a.Standing = Standing{Asked: true, Missing: true}
		}
	}
	return []Facts{passed, missing}
}

// pressed is the decision about a message of which something gave way: to
// tempfail it, if what gave way could have led to another answer. A sender can
// arrange that lookups give way, and must gain nothing by it; the next attempt
// finds what was answered meanwhile.
func (s *Settings) pressed(f *Facts, d Decision, trying int) Decision {
	for _, other := range f.unpressed() {
		if o, _ := s.once(&other, trying); o.Action != d.Action {
			return Decision{
				Action: Tempfail, Requested: d.Requested, Author: d.Author, Effective: d.Effective, Also: d.Also, Shadow: d.Shadow,
				Unreported: d.Unreported, Reason: d.Reason + "; what could change the answer was not found out: our DNS is overloaded or down",
			}
		}
	}
	return d
}
