package results

import (
	"slices"
	"time"

	"dmarcgate/policy"
)

// RuleUse is what is known of a rule beyond the rows that are kept.
type RuleUse struct {
	Rule    string    `json:"rule"`
	First   time.Time `json:"first"` // of its matches, in any mode
	Last    time.Time `json:"last"`
	Matches int64     `json:"matches"`
}

// Ruled reports whether a row names a rule.
func (r *Row) Ruled() bool {
	d := &r.Decision
	return d.Rule != "" || d.Unreported != "" || len(d.Also)+len(d.Shadow) > 0
}

// rules returns the rules that a decision names, each once.
func rules(d *policy.Decision) []string {
	all := append([]string{d.Rule, d.Unreported}, d.Also...)
	for _, s := range d.Shadow {
		all = append(all, s.Rule)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(id string) bool { return id == "" })
}

// RuleUses counts by rule how rows use them.
type RuleUses map[string]RuleUse

// Add counts a row, unless another program decided it.
func (u RuleUses) Add(r *Row) {
	if r.State == Imported || !r.Ruled() {
		return
	}
	at := r.Facts.Time.UTC().Truncate(time.Millisecond)
	for _, id := range rules(&r.Decision) {
		use, found := u[id]
		if !found {
			use = RuleUse{Rule: id, First: at, Last: at}
		}
		if at.Before(use.First) {
			use.First = at
		}
		if at.After(use.Last) {
			use.Last = at
		}
		use.Matches++
		u[id] = use
	}
}
