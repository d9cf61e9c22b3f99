package index

import (
	"cmp"
	"net/netip"
	"slices"

	"dmarcgate/policy/pattern"
	"dmarcgate/scope"
)

// Max is how many rules an index has at most.
const Max = 10_000

// Bits is a set of rules by their position: a decision has room for it on
// its stack, has each rule once, and goes through it in the order of trial.
type Bits [(Max + 63) / 64]uint64

// Set adds the rule at a position.
func (b *Bits) Set(i int) { b[i/64] |= 1 << (i % 64) }

// Unset takes the rule at a position away.
func (b *Bits) Unset(i int) { b[i/64] &^= 1 << (i % 64) }

func (b *Bits) add(positions []uint16) {
	for _, i := range positions {
		b.Set(int(i))
	}
}

// Words returns how many words n rules take.
func (b *Bits) Words(n int) int { return (n + 63) / 64 }

// Keys is what a rule asks for, as far as it can be looked up. A key that is nil
// asks for nothing. Domains has the same keys in the same places for every rule.
type Keys struct {
	Client   []pattern.Network
	Listener []string
	Domains  [][]pattern.Domain
}

// Index finds the rules that could match a message. Each rule is in it under
// one of its keys, the one whose items the fewest rules name, and is found when
// that key holds; one without a key to look up is found always.
type Index struct {
	always   Bits
	clients  netIndex
	listener map[string][]uint16
	domains  []domainIndex
}

// New makes the index of rules, at most Max of them, with so many keys of domains.
// What is nil of them is not in it.
func New(rules []*Keys, domains int) *Index {
	x := &Index{listener: make(map[string][]uint16), domains: make([]domainIndex, domains)}
	names := countItems(rules, domains)
	for i, k := range rules {
		if k != nil {
			x.put(uint16(i), k, names.best(k))
		}
	}
	return x
}

// What a rule is found by that is no place in Keys.Domains.
const (
	byNothing = -1 - iota
	byClient
	byListener
)

func (x *Index) put(rule uint16, k *Keys, key int) {
	switch key {
	case byNothing:
		x.always.Set(int(rule))
	case byClient:
		x.clients.put(rule, k.Client)
	case byListener:
		for _, l := range k.Listener {
			x.listener[l] = append(x.listener[l], rule)
		}
	default:
		x.domains[key].put(rule, k.Domains[key])
	}
}

// Start makes b the rules that are found always, and those found by the listener.
func (x *Index) Start(b *Bits, listener string) {
	*b = x.always
	b.add(x.listener[listener])
}

// Client adds the rules with a network that holds all addresses of around, one of
// which the client has. With some, a network that holds a part of them is enough;
// around is then one address, or a network of scope.ClientNetwork.
func (x *Index) Client(b *Bits, around netip.Prefix, some bool) { x.clients.find(b, around, some) }

// Domain adds the rules of which the key holds a domain with its organization: ""
// where that is the domain itself, or is not known.
func (x *Index) Domain(b *Bits, key int, domain, org string) { x.domains[key].find(b, domain, org) }

// All adds every rule that is found by the key.
func (x *Index) All(b *Bits, key int) { b.add(x.domains[key].all) }

// Empty reports whether no rule is found by the key.
func (x *Index) Empty(key int) bool { return x.domains[key].empty() }

// domainIndex is the rules that are found by one key of domains.
type domainIndex struct {
	all   []uint16
	names [pattern.Listed]map[string][]uint16 // by the kind of pattern
	maps  []listedRules[*pattern.DomainMap]
}

// listedRules is the rules that name a map.
type listedRules[M any] struct {
	list  M
	rules []uint16
}

func (x *domainIndex) empty() bool { return len(x.all) == 0 }

// find adds the rules whose patterns hold domain.
func (x *domainIndex) find(b *Bits, domain, org string) {
	if x.empty() {
		return
	}
	b.add(x.names[pattern.Exact][domain])
	b.add(x.names[pattern.Organization][cmp.Or(org, domain)])
	if len(x.names[pattern.Below]) > 0 {
		for name := range pattern.Above(domain) {
			b.add(x.names[pattern.Below][name])
		}
	}
	for i := range x.maps {
		if x.maps[i].list.Holds(domain, org) {
			b.add(x.maps[i].rules)
		}
	}
}

func (x *domainIndex) put(rule uint16, patterns []pattern.Domain) {
	x.all = append(x.all, rule)
	for _, p := range patterns {
		switch {
		case p.Kind() == pattern.Listed:
			x.maps = listRule(x.maps, p.Map(), rule)
		case x.names[p.Kind()] == nil:
			x.names[p.Kind()] = map[string][]uint16{p.Name(): {rule}}
		default:
			x.names[p.Kind()][p.Name()] = append(x.names[p.Kind()][p.Name()], rule)
		}
	}
}

func listRule[M comparable](lists []listedRules[M], m M, rule uint16) []listedRules[M] {
	i := slices.IndexFunc(lists, func(l listedRules[M]) bool { return l.list == m })
	if i < 0 {
		return append(lists, listedRules[M]{m, []uint16{rule}})
	}
	lists[i].rules = append(lists[i].rules, rule)
	return lists
}

// netIndex is the rules that are found by client.
type netIndex struct {
	bits4, bits6 []int                     // the lengths of networks that there are
	networks     map[netip.Prefix][]uint16 // masked
	shortened    map[netip.Prefix][]uint16 // by the network of scope.ClientNetwork that it is a part of
	maps         []listedRules[*pattern.NetMap]
}

// find adds the rules whose networks hold the client.
func (x *netIndex) find(b *Bits, around netip.Prefix, some bool) {
	lengths := x.bits6
	if around.Addr().Is4() {
		lengths = x.bits4
	}
	for _, n := range lengths {
		if n <= around.Bits() {
			p, _ := around.Addr().Prefix(n)
			b.add(x.networks[p])
		}
	}
	if some {
		b.add(x.shortened[around])
	}
	for i := range x.maps {
		if m := x.maps[i].list; m.Covers(around) || some && m.Overlaps(around) {
			b.add(x.maps[i].rules)
		}
	}
}

func (x *netIndex) put(rule uint16, patterns []pattern.Network) {
	for _, p := range patterns {
		prefix, ok := p.Prefix()
		switch {
		case p.Map() != nil:
			x.maps = listRule(x.maps, p.Map(), rule)
		case ok:
			x.putNetwork(rule, prefix.Masked())
		}
	}
}

func (x *netIndex) putNetwork(rule uint16, p netip.Prefix) {
	if x.networks == nil {
		x.networks, x.shortened = make(map[netip.Prefix][]uint16), make(map[netip.Prefix][]uint16)
	}
	lengths := &x.bits6
	if p.Addr().Is4() {
		lengths = &x.bits4
	}
	if !slices.Contains(*lengths, p.Bits()) {
		*lengths = append(*lengths, p.Bits())
	}
	x.networks[p] = append(x.networks[p], rule)
	if around := scope.ClientNetwork(p.Addr()); p.Bits() > around.Bits() {
		x.shortened[around] = append(x.shortened[around], rule)
	}
}

// itemCounts is how many rules name each item of each key.
type itemCounts struct {
	networks  map[pattern.Network]int
	listeners map[string]int
	domains   []map[pattern.Domain]int
}

func countItems(rules []*Keys, domains int) *itemCounts {
	c := &itemCounts{networks: make(map[pattern.Network]int), listeners: make(map[string]int), domains: make([]map[pattern.Domain]int, domains)}
	for k := range c.domains {
		c.domains[k] = make(map[pattern.Domain]int)
	}
	for _, k := range rules {
		if k == nil {
			continue
		}
		count(c.networks, k.Client)
		count(c.listeners, k.Listener)
		for i, list := range k.Domains {
			count(c.domains[i], list)
		}
	}
	return c
}

func count[T comparable](counts map[T]int, items []T) {
	for _, item := range items {
		counts[item]++
	}
}

// best returns the key to find a rule by: that of which the most common item is
// the rarest.
func (c *itemCounts) best(m *Keys) int {
	key, lowest := byNothing, 0
	consider := func(k, n int) {
		if key == byNothing || n < lowest {
			key, lowest = k, n
		}
	}
	if m.Client != nil {
		consider(byClient, most(c.networks, m.Client))
	}
	for k, patterns := range m.Domains {
		if patterns != nil {
			consider(k, most(c.domains[k], patterns))
		}
	}
	if m.Listener != nil {
		consider(byListener, most(c.listeners, m.Listener))
	}
	return key
}

func most[T comparable](counts map[T]int, items []T) int {
	n := 0
	for _, item := range items {
		n = max(n, counts[item])
	}
	return n
}
