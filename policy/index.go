package policy

import (
	"cmp"
	"net/netip"
	"slices"

	"dmarcgate/policy/pattern"
	"dmarcgate/scope"
)

// ruleBits is a set of rules by their position: a decision has room for it on
// its stack, has each rule once, and goes through it in the order of trial.
type ruleBits [(MaxRules + 63) / 64]uint64

func (b *ruleBits) set(i int) { b[i/64] |= 1 << (i % 64) }

func (b *ruleBits) unset(i int) { b[i/64] &^= 1 << (i % 64) }

func (b *ruleBits) add(positions []uint16) {
	for _, i := range positions {
		b.set(int(i))
	}
}

// words returns how many words n rules take.
func (b *ruleBits) words(n int) int { return (n + 63) / 64 }

// index finds the rules that could match a message. Each rule is in it under
// one of its keys, the one whose items the fewest rules name, and is found when
// that key holds; one without a key to look up is found always. Rules that are
// off are not in it.
type index struct {
	always   ruleBits
	clients  netIndex
	listener map[string][]uint16
	domains  [len(domainKeys)]domainIndex
}

// The keys of domains that rules are found by.
const (
	byIPRev = iota
	bySPFPass
	byDKIMPass
	byARCPass
	byHELO
	byMailFrom
	byListID
	byHeaderFrom
	byPolicyDomain
	byRcptDomain
)

// domainKeys returns the patterns of those keys.
var domainKeys = [...]func(*Match) []pattern.Domain{
	byIPRev:        func(m *Match) []pattern.Domain { return m.IPRev },
	bySPFPass:      func(m *Match) []pattern.Domain { return m.SPFPass },
	byDKIMPass:     func(m *Match) []pattern.Domain { return m.DKIMPass },
	byARCPass:      func(m *Match) []pattern.Domain { return m.ARCPass },
	byHELO:         func(m *Match) []pattern.Domain { return m.HELO },
	byMailFrom:     func(m *Match) []pattern.Domain { return m.MailFrom },
	byListID:       func(m *Match) []pattern.Domain { return m.ListID },
	byHeaderFrom:   func(m *Match) []pattern.Domain { return m.Author },
	byPolicyDomain: func(m *Match) []pattern.Domain { return m.PolicyDomain },
	byRcptDomain:   func(m *Match) []pattern.Domain { return m.RcptDomain },
}

// find adds the rules that could match the message, with what its facts suppose.
func (x *index) find(b *ruleBits, t *trial) {
	f := &t.facts
	*b = x.always
	x.clients.find(b, f)
	b.add(x.listener[f.Listener])
	x.findSender(b, t)
	for _, s := range t.subjects() {
		x.domains[byHeaderFrom].find(b, s.Domain, s.Org)
		x.domains[byPolicyDomain].find(b, s.PolicyDomain, s.policyOrg())
	}
	x.domains[byRcptDomain].findAll(b, f, MissingRecipients)
	if !x.domains[byRcptDomain].empty() {
		for _, d := range f.Recipients {
			x.domains[byRcptDomain].find(b, d, "")
		}
	}
}

// findSender is find by the keys about where the message came from.
func (x *index) findSender(b *ruleBits, t *trial) {
	f := &t.facts
	x.domains[byIPRev].findAll(b, f, MissingClientName)
	x.domains[byIPRev].find(b, f.ClientName, "")
	x.domains[byHELO].find(b, f.Helo, "")
	x.domains[byMailFrom].find(b, f.MailFrom, "")
	x.domains[byListID].findAll(b, f, MissingHeader)
	x.domains[byListID].find(b, f.ListID, "")
	if f.SPF.Result == "pass" {
		x.domains[bySPFPass].find(b, f.SPF.Domain, "")
	}
	for i := range f.DKIM {
		if f.DKIM[i].passes() {
			x.domains[byDKIMPass].find(b, f.DKIM[i].Domain, "")
		}
	}
	if f.ARC.Result == "pass" && len(f.ARC.Sealers) > 0 { // the key names every sealer, so the first of them
		x.domains[byARCPass].find(b, f.ARC.Sealers[0].Domain, "")
	}
}

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

// findAll adds every rule if the fact that its key is about is missing and the
// key supposed to hold.
func (x *domainIndex) findAll(b *ruleBits, f *Facts, l MissingFacts) {
	if f.supposes() && f.missing(l) {
		b.add(x.all)
	}
}

// find adds the rules whose patterns hold domain.
func (x *domainIndex) find(b *ruleBits, domain, org string) {
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
	shortened    map[netip.Prefix][]uint16 // by the network that a client inside is known by when LackClient
	maps         []listedRules[*pattern.NetMap]
}

// find adds the rules whose networks hold the client, see clientIn.
func (x *netIndex) find(b *ruleBits, f *Facts) {
	around, ok := f.around()
	if !ok {
		return
	}
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
	if f.supposes() && f.missing(MissingClient) {
		b.add(x.shortened[around])
	}
	for i := range x.maps {
		if m := x.maps[i].list; m.Covers(around) || f.supposes() && m.Overlaps(around) {
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

// newIndex makes the index of rules that are in the order of trial, at most
// MaxRules of them.
func newIndex(rules []Rule) *index {
	x := &index{listener: make(map[string][]uint16)}
	names := countItems(rules)
	for i := range rules {
		if r := &rules[i]; r.Mode != Off {
			x.put(uint16(i), &r.Match, names.best(&r.Match))
		}
	}
	return x
}

// The keys that are not in domainKeys.
const (
	byListener = len(domainKeys) + iota
	byClient
	byNothing
)

func (x *index) put(rule uint16, m *Match, key int) {
	switch key {
	case byNothing:
		x.always.set(int(rule))
	case byClient:
		x.clients.put(rule, m.Client)
	case byListener:
		for _, l := range m.Listener {
			x.listener[l] = append(x.listener[l], rule)
		}
	default:
		x.domains[key].put(rule, domainKeys[key](m))
	}
}

// itemCounts is how many rules name each item of each key.
type itemCounts struct {
	networks  map[pattern.Network]int
	listeners map[string]int
	domains   [len(domainKeys)]map[pattern.Domain]int
}

func countItems(rules []Rule) *itemCounts {
	c := &itemCounts{networks: make(map[pattern.Network]int), listeners: make(map[string]int)}
	for k := range c.domains {
		c.domains[k] = make(map[pattern.Domain]int)
	}
	for i := range rules {
		r := &rules[i]
		if r.Mode == Off {
			continue
		}
		count(c.networks, r.Match.Client)
		count(c.listeners, r.Match.Listener)
		for k, list := range domainKeys {
			count(c.domains[k], list(&r.Match))
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
func (c *itemCounts) best(m *Match) int {
	key, lowest := byNothing, 0
	consider := func(k, n int) {
		if key == byNothing || n < lowest {
			key, lowest = k, n
		}
	}
	if m.Client != nil {
		consider(byClient, most(c.networks, m.Client))
	}
	for k, list := range domainKeys {
		if patterns := list(m); patterns != nil {
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
