package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"dmarcgate/policy/index"
)

// Rules is a set of rules in the order in which they are tried: higher
// priority first, then by id. It does not change. The zero value has none.
//
// Only, Without and Trying return views of a set: Decide goes by them, while
// lists and sums are those of the set.
type Rules struct {
	list   []Rule
	places map[string]int // of ids in list, from 1
	index  *index.Index
	pass   bool // one that is not off is about mail that passes

	only, without int   // positions, from 1; 0 is none
	trying        []int // positions, from 1
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
	places := make(map[string]int, len(list))
	for i, r := range list {
		places[r.ID] = i + 1
	}
	pass := slices.ContainsFunc(list, func(r Rule) bool { return r.Mode != Off && r.Match.passes() })
	return Rules{list: list, places: places, index: newIndex(list), pass: pass}
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

// AboutPass reports whether a rule is about mail that passes.
func (rs *Rules) AboutPass() bool {
	return rs.pass || slices.ContainsFunc(rs.trying, func(i int) bool { return rs.list[i-1].Match.passes() })
}

// Text returns the text of the reply that the rule has which decided, "" for none.
// What was made of its action afterwards, such as a deferral of a refusal, has none.
func (rs Rules) Text(d Decision) string {
	i := rs.places[d.Rule]
	if i == 0 {
		return ""
	}
	if r := &rs.list[i-1]; r.Action == RuleReject && d.Action == Reject || r.Action == RuleTempfail && d.Action == Tempfail {
		return r.Text
	}
	return ""
}

// Only returns a view in which id is the one rule: none where there is none.
func (rs Rules) Only(id string) Rules {
	if rs.only = rs.places[id]; rs.only == 0 {
		return Rules{}
	}
	return rs
}

// Without returns a view without the rule.
func (rs Rules) Without(id string) Rules {
	rs.without = rs.places[id]
	return rs
}

// Trying returns a view in which the rules are enforced, whatever their modes.
func (rs Rules) Trying(ids ...string) Rules {
	rs.trying = nil
	for _, id := range ids {
		if i := rs.places[id]; i > 0 {
			rs.trying = append(rs.trying, i)
		}
	}
	return rs
}

// find adds the rules of the view that could match the message.
func (rs *Rules) find(b *index.Bits, t *trial) {
	switch {
	case rs.only == 0:
		t.candidates(rs.index, b)
	case rs.list[rs.only-1].Mode != Off:
		b.Set(rs.only - 1)
	}
	for _, i := range rs.trying {
		if rs.only == 0 || rs.only == i {
			b.Set(i - 1)
		}
	}
	if rs.without > 0 {
		b.Unset(rs.without - 1)
	}
}

// at returns the rule at a position, counted from 0, as the view has it.
func (rs *Rules) at(i int) *Rule {
	r := &rs.list[i]
	if r.Mode != Enforce && slices.Contains(rs.trying, i+1) {
		tried := *r
		tried.Mode = Enforce
		return &tried
	}
	return r
}
