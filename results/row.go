package results

import "dmarcgate/policy"

// State says whether a row counts in reports.
type State uint8

// The states of a row. Files hold their numbers.
const (
	Answered   State = iota // the MTA has the final answer
	Deferred                // answered with tempfail: the message will come again
	Unanswered              // the answer could not be written to the MTA
	Imported                // of another program: it only tells, and counts nowhere
)

// String returns the word of exports, "" for a state that there is not.
func (s State) String() string {
	words := [...]string{"answered", "deferred", "unanswered", "imported"}
	if int(s) >= len(words) {
		return ""
	}
	return words[s]
}

// Row is one message: what was known, and what was decided.
type Row struct {
	Sequence int64 // given by the store, rising
	State    State
	Facts    policy.Facts
	Decision policy.Decision
	Settings string // sum.Settings (package policy/sum) of what decided; "" is not known

	// Shape tells settings apart that the facts came about under, in a short
	// form that whoever made the row can read; "" is not known. Under another
	// shape the same message can have other facts.
	Shape string
}

// Author returns the author domain that decided, or else the first, or one
// without a name.
func (r *Row) Author() *policy.Author {
	for i := range r.Facts.Authors {
		if r.Facts.Authors[i].Domain == r.Decision.Author {
			return &r.Facts.Authors[i]
		}
	}
	if len(r.Facts.Authors) > 0 {
		return &r.Facts.Authors[0]
	}
	return &policy.Author{}
}
