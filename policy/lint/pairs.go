package lint

import (
	"fmt"
	"slices"

	"dmarcgate/policy"
	"dmarcgate/policy/ruletest"
)

// contrary finds enforced rules that do something else than one before them about the
// same mail: with the same match, and nobody can know which of the two is meant; or
// with the same priority, and only their ids say which of them goes first.
func (a *attack) contrary() map[*policy.Rule]policy.Finding {
	found := make(map[*policy.Rule]policy.Finding)
	same := make(map[string]*policy.Rule)
	first := 0 // of the rules with the same priority
	for i, r := range a.deciding {
		if a.deciding[first].Priority != r.Priority {
			first = i
		}
		match := canonical(&r.Match)
		by, twice := same[match]
		if !twice {
			same[match] = r
		}
		if twice && by.Action != r.Action && alwaysBefore(by, r) {
			found[r] = finding(policy.Error, policy.CodeConflict, "match", fmt.Sprintf("rule %q%s has the same match and another action, %v", by.ID, place(by), by.Action),
				"keep one of the two rules, or add a criterion that distinguishes them")
		} else if others := a.meeting(r, a.deciding[first:i]); len(others) > 0 {
			by := others[0]
			text := fmt.Sprintf("rule %q%s can match the same message with another action (%v) and goes first only because of its id", by.ID, place(by), by.Action)
			if n := len(others) - 1; n > 0 {
				text += fmt.Sprintf(", as do %d more", n)
			}
			found[r] = finding(policy.Warning, policy.CodeOverlap, "priority", text, "give the two different priorities")
		}
	}
	return found
}

// alwaysBefore reports whether a rule that decides in place of r does so for every
// message, and for as long as r lasts.
func alwaysBefore(by, r *policy.Rule) bool {
	return (by.Sample == 0 || by.Sample == 100) && (by.Expires.IsZero() || !r.Expires.IsZero() && !by.Expires.Before(r.Expires))
}

// meeting returns the rules that can decide in place of r by their id. What is
// unclear between two rules is a question of style, and not of who can use them.
func (a *attack) meeting(r *policy.Rule, before []*policy.Rule) []*policy.Rule {
	return slices.DeleteFunc(slices.Clone(before), func(u *policy.Rule) bool {
		if u.Action == r.Action || a.asks[u].apart(a.asks[r]) || !ranked(&u.Match, &r.Match) || a.spent(r, u) {
			return true
		}
		both, ok := a.meet(a.asks[u], a.asks[r])
		set := a.set.Trying(u.ID, r.ID)
		return !ok || !slices.ContainsFunc(a.spoofs(&both, a.at, maxDodges), func(s spoof) bool {
			d := a.decide(ruletest.Facts(s.Given, a.at), policy.Strict, set)
			return d.Rule == u.ID && slices.Contains(d.Also, r.ID)
		})
	})
}

// ranked reports whether two rules are about senders, authors or recipients of
// the same kind, so that whoever wrote them can be expected to have ranked them. A
// rule that names none is about everybody.
func ranked(a, b *policy.Match) bool {
	noneA, noneB := true, true
	kb := b.Keys()
	for i, k := range a.Keys() {
		nameA, nameB := len(k.Domains)+len(k.Networks) > 0, len(kb[i].Domains)+len(kb[i].Networks) > 0
		if nameA && nameB {
			return true
		}
		noneA, noneB = noneA && !nameA, noneB && !nameB
	}
	return noneA || noneB
}
