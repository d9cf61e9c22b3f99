package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Rules is a set of rules in the order in which they are tried: higher
// priority first, then by id. It does not change. The zero value has none.
type Rules struct {
	list  []Rule
	index *index
	sum   string // of what decisions depend on
}

// NewRules makes a set. The error is permanent and names every rule that is
// none (see Rule.Faults) and every id that two rules have, or says that there
// are more than MaxRules. Whether rules are safe is not asked here: package lint
// tells that, and package config refuses what it calls an error.
func NewRules(rules []Rule) (Rules, error) {
	var errs []error
	if len(rules) > MaxRules {
		return Rules{}, fmt.Errorf("%d rules; at most %d", len(rules), MaxRules)
	}
	seen := make(map[string]bool)
	list := make([]Rule, len(rules))
	for i, r := range rules {
		for _, f := range r.Faults() {
			errs = append(errs, fmt.Errorf("rule %q: %w", r.ID, f))
		}
		if seen[r.ID] {
			errs = append(errs, fmt.Errorf("rule %q: another rule has this id", r.ID))
		}
		seen[r.ID] = true
		list[i] = r.clone()
	}
	if len(errs) > 0 {
		return Rules{}, errors.Join(errs...)
	}
	return compile(list), nil
}

// compile makes a set of a list of its own that has been checked.
func compile(list []Rule) Rules {
	slices.SortFunc(list, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.ID, b.ID))
	})
	return Rules{list: list, index: newIndex(list), sum: sumRules(list)}
}

func (r Rule) clone() Rule {
	r.Match = r.Match.clone()
	return r
}

// Len returns how many rules there are, those that are off among them.
func (rs Rules) Len() int { return len(rs.list) }

// List returns a copy of the rules in the order in which they are tried.
func (rs Rules) List() []Rule {
	list := make([]Rule, len(rs.list))
	for i, r := range rs.list {
		list[i] = r.clone()
	}
	return list
}
