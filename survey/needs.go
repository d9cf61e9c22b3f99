package survey

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/term"
)

// NeedsRule returns the author domains that a rule for the message must be
// about, or why it needs none.
func NeedsRule(r *results.Row) ([]policy.Author, error) {
	f := &r.Facts
	switch {
	case r.State == results.Imported:
		return nil, errors.New("another program has decided about this message; facts needed for a rule were not recorded")
	case f.Skip != policy.Evaluated:
		return nil, fmt.Errorf("this message was not evaluated (%s): rules do not apply to such mail, which is accepted", f.Skip)
	case f.HeaderTruncated || len(f.Authors) == 0:
		return nil, fmt.Errorf("the From field of this message gives no author domain to evaluate (%s); the sender has to fix the field", cmp.Or(string(f.FromField), "unknown"))
	}
	var failing []policy.Author
	for _, a := range f.Authors {
		switch v := a.Verdict; {
		case v.Status == dmarc.Fail:
			failing = append(failing, a)
		case v.Status != dmarc.Pass && v.Status != dmarc.StatusNone:
			return nil, fmt.Errorf("the DMARC result of %s is %s, to be fixed in its DNS; a rule would outlast a temporary problem", term.Printable(a.Domain), v.Status)
		}
	}
	if len(failing) == 0 {
		return nil, errors.New("this message did not fail and needs no rule: explain --qid shows how the message passed")
	}
	if !slices.ContainsFunc(failing, func(a policy.Author) bool { return a.Verdict.Policy != dmarc.None }) {
		return nil, errors.New("this message failed, but its author domain asks for nothing (p=none), so it needs no rule")
	}
	return failing, nil
}
