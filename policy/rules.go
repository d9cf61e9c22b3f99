package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Rules is a set of rules in the order in which they are tried: higher
// priority first, then by id. It does not change. The zero value has none.
type Rules struct {
	list []Rule
}

// NewRules makes a set. The error is permanent and names every rule that is
// none (see Rule.Faults), every id that two rules have, and more than
// MaxRules of them.
func NewRules(rules []Rule) (Rules, error) {
	var errs []error
	if len(rules) > MaxRules {
		errs = append(errs, fmt.Errorf("%d rules; at most %d", len(rules), MaxRules))
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
	slices.SortFunc(list, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.ID, b.ID))
	})
	return Rules{list: list}, nil
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

// Hash returns 12 hexadecimal digits that two sets share only if they have
// the same rules. In which files and lines the rules stand does not count.
func (rs Rules) Hash() string {
	h := sha256.New()
	for _, r := range rs.list {
		r.File, r.Line = "", 0
		text, err := json.Marshal(r)
		if err != nil { // only a year that has five digits
			text = fmt.Appendf(nil, "%+v", r)
		}
		fmt.Fprintf(h, "%s\n", text)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}
