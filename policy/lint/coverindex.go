package lint

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"slices"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// maxCompared is with how many others a rule is compared at most, those that
// list the rarest things first: our limit, so that 10,000 rules are compared in
// about a second.
const maxCompared = 200

// ranked is a rule as it is compared with others.
type ranked struct {
	*policy.Rule
	shape shape
	rank  int // 0 is tried first
}

// rankedRules sorts rules as Decide tries them.
func rankedRules(rules []*policy.Rule) []ranked {
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(a, b *policy.Rule) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.ID, b.ID))
	})
	out := make([]ranked, len(rules))
	for i, r := range rules {
		out[i] = ranked{r, shapeOf(&r.Match), i}
	}
	return out
}

// ruleIndex finds the rules that list something, in the order of their ranks.
// It goes by hashes: whoever asks compares what it gives.
type ruleIndex struct {
	seed  maphash.Seed
	lists map[uint64][]*ranked
	bits  map[int]bool                   // of networks that are listed, see bitsKey
	kinds [pattern.Organization + 1]bool // of patterns that are listed
}

func newRuleIndex() *ruleIndex {
	return &ruleIndex{seed: maphash.MakeSeed(), lists: make(map[uint64][]*ranked), bits: make(map[int]bool)}
}

// bitsKey tells the families apart.
func bitsKey(p netip.Prefix) int { return p.Bits()*256 + p.Addr().BitLen() }

// hash is that of an item of a key. All maps of a key have the same.
func (x *ruleIndex) hash(key string, it *item) uint64 {
	var h maphash.Hash
	h.SetSeed(x.seed)
	h.WriteString(key)
	switch p, isNet := it.network.Prefix(); {
	case it.isMap():
		h.WriteByte(0)
	case isNet:
		var b [20]byte
		a := p.Addr().As16()
		copy(b[:], a[:])
		binary.BigEndian.PutUint32(b[16:], uint32(bitsKey(p)))
		h.Write(b[:])
	case it.domain.Kind() != pattern.None:
		h.WriteByte(byte(it.domain.Kind()))
		h.WriteString(it.domain.Name())
	default:
		h.WriteString(it.word)
	}
	return h.Sum64()
}

func (x *ruleIndex) add(k *keySet, r *ranked) {
	for i := range k.items {
		it := &k.items[i]
		if p, ok := it.network.Prefix(); ok {
			x.bits[bitsKey(p)] = true
		} else if it.domain.Map() == nil {
			x.kinds[it.domain.Kind()] = true
		}
		h := x.hash(k.name, it)
		if list := x.lists[h]; len(list) == 0 || list[len(list)-1] != r {
			x.lists[h] = append(list, r)
		}
	}
}

// holding returns the lists of the rules that may hold an item of a key, the
// shortest first.
func (x *ruleIndex) holding(key string, items []item) [][]*ranked {
	var found [][]*ranked
	seen := make(map[uint64]bool)
	look := func(it *item) {
		h := x.hash(key, it)
		if list := x.lists[h]; len(list) > 0 && !seen[h] {
			seen[h] = true
			found = append(found, list)
		}
	}
	look(&item{network: new(pattern.NetMap).Pattern()})
	for i := range items {
		look(&items[i])
		x.above(&items[i], look)
	}
	slices.SortStableFunc(found, func(a, b []*ranked) int { return cmp.Compare(len(a), len(b)) })
	return found
}

// above calls look for what can hold it, as far as the index has such things.
func (x *ruleIndex) above(it *item, look func(*item)) {
	if p, ok := it.network.Prefix(); ok {
		for bits := p.Bits() - 1; bits >= 0; bits-- {
			if above := netip.PrefixFrom(p.Addr(), bits); x.bits[bitsKey(above)] {
				look(&item{network: pattern.NetworkOf(above.Masked())})
			}
		}
	}
	if it.domain.Map() == nil && (x.kinds[pattern.Below] || x.kinds[pattern.Organization]) {
		aboveDomain(it.domain, func(above item) bool {
			look(&above)
			return true
		})
	}
}

// coverIndex finds rules that hold for whatever another one holds for. Each is
// in it under one key that it lists: the one whose items are rarest.
func coverIndex(rules []ranked) *ruleIndex {
	x := newRuleIndex()
	count := make(map[uint64]int)
	for i := range rules {
		for _, k := range rules[i].shape {
			for j := range k.items {
				count[x.hash(k.name, &k.items[j])]++
			}
		}
	}
	for i := range rules {
		var rarest *keySet
		least := 0
		for j := range rules[i].shape {
			k := &rules[i].shape[j]
			if k.not || k.isNumbers() { // cannot be looked up; result, which is always there, can
				continue
			}
			if n := x.commonest(k, count); rarest == nil || n < least {
				rarest, least = k, n
			}
		}
		x.add(rarest, &rules[i])
	}
	return x
}

// commonest returns how many rules list what most of them do.
func (x *ruleIndex) commonest(k *keySet, count map[uint64]int) int {
	most := 0
	for i := range k.items {
		most = max(most, count[x.hash(k.name, &k.items[i])])
	}
	return most
}

func (k *keySet) isNumbers() bool { return k.items[0].numbers.high > 0 }
