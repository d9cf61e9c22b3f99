package lint

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"dmarcgate/policy/pattern"
	"dmarcgate/scope"
)

// These files compare matches: whether one holds whenever another does, and
// whether both can hold for one message. Where that cannot be told, as of two
// maps, the answer is no: a finding must be true.

// item is one thing that a key lists: a pattern of domains or networks, a word,
// or a range of numbers. It is comparable.
type item struct {
	domain  pattern.Domain
	network pattern.Network
	word    string
	numbers numbers
}

// numbers are those from low to before high.
type numbers struct{ low, high int }

func (it item) isMap() bool { return it.domain.Map() != nil || it.network.Map() != nil }

// covers reports whether whatever b holds is held by a, of the same key.
func (a item) covers(b item) bool {
	switch {
	case a == b:
		return true
	case a.numbers.high > 0:
		return a.numbers.low <= b.numbers.low && b.numbers.high <= a.numbers.high
	}
	return a.domain.Kind() != pattern.None && domainCovers(a.domain, b.domain)
}

// overlaps reports whether there is something that both hold.
func (a item) overlaps(b item) bool {
	if a.numbers.high > 0 {
		return a.numbers.low < b.numbers.high && b.numbers.low < a.numbers.high
	}
	return a.covers(b) || b.covers(a) || shareOrg(a.domain, b.domain)
}

// domainCovers reports whether p holds whatever q does.
func domainCovers(p, q pattern.Domain) bool {
	switch {
	case p == q:
		return true
	case p.Map() != nil:
		return q.Kind() == pattern.Exact && p.Map().Holds(q.Name(), "-") // no pattern names this organization: which one q has is not known
	}
	return p.Kind() == pattern.Below && q.Map() == nil && strings.HasSuffix(q.Name(), "."+p.Name())
}

// shareOrg: which names belong to an organization, DNS tells. They are at or
// below its domain.
func shareOrg(p, q pattern.Domain) bool {
	if p.Map() != nil || q.Map() != nil || p.Kind() != pattern.Organization && q.Kind() != pattern.Organization {
		return false
	}
	return p.Kind() != pattern.Exact && scope.AtOrBelow(q.Name(), p.Name()) || q.Kind() != pattern.Exact && scope.AtOrBelow(p.Name(), q.Name())
}

// above returns every item that can hold something that it holds, and is
// neither a map nor narrower.
func (it item) above() iter.Seq[item] {
	return func(yield func(item) bool) {
		if !yield(it) {
			return
		}
		if p, ok := it.network.Prefix(); ok {
			for bits := p.Bits() - 1; bits >= 0 && yield(networkItem(p.Addr(), bits)); bits-- {
			}
		}
		if it.domain.Map() == nil {
			aboveDomain(it.domain, yield)
		}
	}
}

func networkItem(a netip.Addr, bits int) item {
	return item{network: pattern.NetworkOf(netip.PrefixFrom(a, bits).Masked())}
}

func aboveDomain(p pattern.Domain, yield func(item) bool) {
	for name := p.Name(); name != ""; _, name, _ = strings.Cut(name, ".") {
		for kind := pattern.Below; kind <= pattern.Organization; kind++ {
			if q := pattern.NewDomain(kind, name); q != p && !yield(item{domain: q}) {
				return
			}
		}
	}
}

// keySet is one key of a match with what it lists.
type keySet struct {
	name  string
	not   bool
	items []item
	maps  []item          // those of the items that are maps
	nets  *pattern.NetMap // of the networks that are no maps, see networks
	index map[item]bool   // of a long list, see long: its items
	under map[string]bool // and every name that one of them is or is below
}

// longList is how many items a list has at most that is searched from end to
// end.
const longList = 16

func newKeySet(name string, items []item) keySet {
	bare, not := strings.CutPrefix(name, "not_")
	k := keySet{name: bare, not: not, items: items}
	for i := range items {
		if items[i].isMap() {
			k.maps = append(k.maps, items[i])
		}
	}
	return k
}

// networks returns those of k in one map, which is made when it is first asked
// for: most rules are never compared.
func (k *keySet) networks() *pattern.NetMap {
	if k.nets == nil {
		var nets []netip.Prefix
		for i := range k.items {
			if p, ok := k.items[i].network.Prefix(); ok {
				nets = append(nets, p)
			}
		}
		k.nets = pattern.NewNetMap("", nets)
	}
	return k.nets
}

// long reports whether k is looked up instead of being searched, and prepares
// that.
func (k *keySet) long() bool {
	if k.index == nil && len(k.items) > longList {
		k.makeIndex()
	}
	return k.index != nil
}

func (k *keySet) makeIndex() {
	k.index, k.under = make(map[item]bool), make(map[string]bool)
	for _, it := range k.items {
		k.index[it] = true
		if it.domain.Map() == nil {
			for name := it.domain.Name(); name != ""; _, name, _ = strings.Cut(name, ".") {
				k.under[name] = true
			}
		}
	}
}

// covers reports whether every item of b is held by k.
func (k *keySet) covers(b *keySet) bool {
	return !slices.ContainsFunc(b.items, func(it item) bool { return !k.coversItem(it) })
}

func (k *keySet) coversItem(it item) bool {
	return k.anyMap(it) || k.some(it, item.covers, func(n *pattern.NetMap, p netip.Prefix) bool { return n.Covers(p) })
}

// overlaps reports whether there is something that both hold.
func (k *keySet) overlaps(b *keySet) bool {
	if len(b.items) < len(k.items) {
		k, b = b, k
	}
	return slices.ContainsFunc(k.items, b.overlapsItem)
}

func (k *keySet) overlapsItem(it item) bool {
	wide := it.domain.Kind() == pattern.Below || it.domain.Kind() == pattern.Organization
	return k.anyMap(it) || wide && k.long() && k.under[it.domain.Name()] ||
		k.some(it, item.overlaps, func(n *pattern.NetMap, p netip.Prefix) bool { return n.Overlaps(p) })
}

// anyMap reports whether one of the maps holds all of it.
func (k *keySet) anyMap(it item) bool {
	p, isNet := it.network.Prefix()
	return slices.ContainsFunc(k.maps, func(m item) bool {
		return m == it || isNet && m.network.Map() != nil && m.network.Map().Covers(p) || m.domain.Map() != nil && domainCovers(m.domain, it.domain)
	})
}

// some reports whether test holds for it and an item of k that is no map.
func (k *keySet) some(it item, test func(a, b item) bool, inNets func(*pattern.NetMap, netip.Prefix) bool) bool {
	if p, ok := it.network.Prefix(); ok {
		return inNets(k.networks(), p)
	}
	if !k.long() {
		return slices.ContainsFunc(k.items, func(a item) bool { return test(a, it) })
	}
	for a := range it.above() {
		if k.index[a] && test(a, it) {
			return true
		}
	}
	return false
}

// shape is the keys of a match that are written, in the order of compareKeys.
// result is always one of them.
type shape []keySet

func compareKeys(a, b *keySet) int {
	if a.not != b.not {
		if a.not {
			return 1
		}
		return -1
	}
	return cmp.Compare(a.name, b.name)
}

func (s shape) find(name string, not bool) *keySet {
	for i := range s {
		if s[i].not == not && s[i].name == name {
			return &s[i]
		}
	}
	return nil
}

// covers reports whether s holds for whatever b holds for.
func (s shape) covers(b shape) bool {
	for i := range s {
		k := &s[i]
		other := b.find(k.name, k.not)
		switch {
		case other == nil:
			return false
		case k.not && !other.covers(k), !k.not && !k.covers(other):
			return false
		}
	}
	return true
}

// meets reports whether one message can be what both are about: where both
// list the same key, one client, one author domain, one recipient, one
// signature holds for both, and neither denies what the other lists. Of two
// lists that have nothing in common it says no, although a message can have two
// signatures.
func (s shape) meets(b shape) bool {
	for i := range s {
		k := &s[i]
		if other := b.find(k.name, false); other != nil && (k.not && k.covers(other) || !k.not && !k.overlaps(other)) {
			return false
		}
		if other := b.find(k.name, true); other != nil && !k.not && other.covers(k) {
			return false
		}
	}
	return true
}
