package policy

import (
	"cmp"
	"maps"
	"slices"
)

// maxCompared is with how many others a rule is compared at most, those that
// list the rarest things first: our limit, so that 10,000 rules are compared in
// about a second.
const maxCompared = 1000

// ranked is a rule as it is compared with others.
type ranked struct {
	*Rule
	shape shape
	rank  int // 0 is tried first
}

// rankedRules sorts rules as Decide tries them.
func rankedRules(rules []*Rule) []ranked {
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(a, b *Rule) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.ID, b.ID))
	})
	out := make([]ranked, len(rules))
	for i, r := range rules {
		out[i] = ranked{r, shapeOf(&r.Match), i}
	}
	return out
}

// listing is an item of a key.
type listing struct {
	key string
	item
}

// mapped stands for any map of a key.
func mapped(key string) listing { return listing{key: key, item: item{word: "map:"}} }

// ruleIndex finds the rules that list something, in the order of their ranks.
type ruleIndex map[listing][]*ranked

func (x ruleIndex) add(k *keySet, r *ranked) {
	for _, it := range k.items {
		at := listing{k.name, it}
		if it.isMap() {
			at = mapped(k.name)
		}
		if list := x[at]; len(list) == 0 || list[len(list)-1] != r {
			x[at] = append(list, r)
		}
	}
}

// holding returns the lists of the rules that may hold an item of a key, the
// shortest first.
func (x ruleIndex) holding(key string, items []item) [][]*ranked {
	found := make(map[listing][]*ranked)
	look := func(at listing) {
		if list := x[at]; len(list) > 0 {
			found[at] = list
		}
	}
	look(mapped(key))
	for _, it := range items {
		for above := range it.above() {
			look(listing{key, above})
		}
	}
	return slices.SortedStableFunc(maps.Values(found), func(a, b []*ranked) int { return cmp.Compare(len(a), len(b)) })
}

// coverIndex finds rules that hold for whatever another one holds for. Each is
// in it under one key that it lists: the one whose items are rarest.
func coverIndex(rules []ranked) ruleIndex {
	count := make(map[listing]int)
	for i := range rules {
		for _, k := range rules[i].shape {
			for _, it := range k.items {
				count[listing{k.name, it}]++
			}
		}
	}
	x := make(ruleIndex)
	for i := range rules {
		var rarest *keySet
		least := 0
		for j := range rules[i].shape {
			k := &rules[i].shape[j]
			if k.not || k.items[0].numbers.high > 0 { // what is denied, and numbers, cannot be looked up; result is always there
				continue
			}
			if n := k.commonest(count); rarest == nil || n < least {
				rarest, least = k, n
			}
		}
		x.add(rarest, &rules[i])
	}
	return x
}

// commonest returns how many rules list what most of them do.
func (k *keySet) commonest(count map[listing]int) int {
	most := 0
	for _, it := range k.items {
		most = max(most, count[listing{k.name, it}])
	}
	return most
}
