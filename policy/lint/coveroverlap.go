package lint

import (
	"cmp"
	"slices"
)

// senderKeys say whose mail a rule is about. Two rules that have none of these
// in common are not said to overlap: any two could meet in some message, and a
// finding for each pair would hide those that matter.
var senderKeys = []string{
	"client", "iprev", "spf_pass", "dkim_pass", "arc_pass", "helo", "mail_from", "list_id", "author", "policy_domain",
}

// overlaps returns the enforced rules before which others go that have the same
// priority, do something else, and can match the same message: either they
// name the same sender, or one of them is about any sender.
func overlaps(rules []ranked) []overlap {
	var all []overlap
	for len(rules) > 0 {
		n := slices.IndexFunc(rules, func(r ranked) bool { return r.Priority != rules[0].Priority })
		if n < 0 {
			n = len(rules)
		}
		all = append(all, overlapsAmong(rules[:n])...)
		rules = rules[n:]
	}
	return all
}

func overlapsAmong(rules []ranked) []overlap {
	if !slices.ContainsFunc(rules, func(r ranked) bool { return r.Action != rules[0].Action }) {
		return nil
	}
	f := overlapFinder{index: newRuleIndex(), before: make(map[*ranked][]*ranked)}
	for i := range rules {
		f.add(&rules[i])
	}
	for i := range rules {
		f.compare(&rules[i])
	}
	return f.result(rules)
}

// overlapFinder compares rules of one priority.
type overlapFinder struct {
	index  *ruleIndex
	any    []*ranked             // rules about any sender
	before map[*ranked][]*ranked // by the one that comes later
}

func (f *overlapFinder) add(r *ranked) {
	named := false
	for i := range r.shape {
		if k := &r.shape[i]; k.names() {
			f.index.add(k, r)
			named = true
		}
	}
	if !named {
		f.any = append(f.any, r)
	}
}

// names reports whether k says whose mail a rule is about.
func (k *keySet) names() bool { return !k.not && slices.Contains(senderKeys, k.name) }

// compare looks for the rules that hold an item of r. Those of which r holds
// one find r when it is their turn.
func (f *overlapFinder) compare(r *ranked) {
	lists := [][]*ranked{f.any}
	for i := range r.shape {
		if k := &r.shape[i]; k.names() {
			lists = append(lists, f.index.holding(k.name, k.items)...)
		}
	}
	slices.SortStableFunc(lists, func(a, b []*ranked) int { return cmp.Compare(len(a), len(b)) })
	compared := 0
	for _, list := range lists {
		for _, other := range list {
			if compared == maxCompared {
				return
			}
			if other.Action != r.Action {
				compared++
				f.note(r, other)
			}
		}
	}
}

func (f *overlapFinder) note(a, b *ranked) {
	if !a.shape.meets(b.shape) {
		return
	}
	if a.rank < b.rank {
		a, b = b, a
	}
	f.before[a] = append(f.before[a], b)
}

func (f *overlapFinder) result(rules []ranked) []overlap {
	var all []overlap
	for i := range rules {
		others := f.before[&rules[i]]
		if len(others) == 0 {
			continue
		}
		slices.SortFunc(others, func(a, b *ranked) int { return cmp.Compare(a.rank, b.rank) })
		all = append(all, overlap{&rules[i], slices.Compact(others)})
	}
	return all
}
