package index

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"dmarcgate/policy/pattern"
)

func found(b *Bits, n int) (list []int) {
	for i := range n {
		if b[i/64]&(1<<(i%64)) != 0 {
			list = append(list, i)
		}
	}
	return list
}

func network(s string) []pattern.Network {
	return []pattern.Network{pattern.NetworkOf(netip.MustParsePrefix(s))}
}

func domain(kind pattern.Kind, name string) [][]pattern.Domain {
	return [][]pattern.Domain{{pattern.NewDomain(kind, name)}}
}

func TestIndexFindsRuleByTheKeyThatFewestRulesShare(t *testing.T) {
	none := [][]pattern.Domain{nil}
	x := New([]*Keys{
		{Listener: []string{"mta"}, Domains: domain(pattern.Exact, "a.example")},
		{Listener: []string{"mta"}, Domains: domain(pattern.Below, "b.example")},
		{Listener: []string{"mta"}, Domains: domain(pattern.Organization, "c.example")},
		{Client: network("192.0.2.0/25"), Domains: none},
		{Domains: none},
		nil,
		{Listener: []string{"other"}, Domains: none},
	}, 1)
	tests := []struct {
		name string
		look func(*Bits)
		want []int
	}{
		{"nothing", func(*Bits) {}, []int{4}},
		{"a name", func(b *Bits) { x.Domain(b, 0, "a.example", "") }, []int{0, 4}},
		{"a name below", func(b *Bits) { x.Domain(b, 0, "x.b.example", "") }, []int{1, 4}},
		{"an organization", func(b *Bits) { x.Domain(b, 0, "x.c.example", "c.example") }, []int{2, 4}},
		{"every rule of a key", func(b *Bits) { x.All(b, 0) }, []int{0, 1, 2, 4}},
		{"a client", func(b *Bits) { x.Client(b, netip.MustParsePrefix("192.0.2.1/32"), false) }, []int{3, 4}},
		{"a client elsewhere", func(b *Bits) { x.Client(b, netip.MustParsePrefix("192.0.2.200/32"), true) }, []int{4}},
		{"a network that holds the client", func(b *Bits) { x.Client(b, netip.MustParsePrefix("192.0.2.0/24"), false) }, []int{4}},
		{"a network, of which a part is enough", func(b *Bits) { x.Client(b, netip.MustParsePrefix("192.0.2.0/24"), true) }, []int{3, 4}},
		{"a listener", func(b *Bits) { x.Start(b, "other") }, []int{4, 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b Bits
			x.Start(&b, "mta")
			tt.look(&b)
			if got := found(&b, 7); !slices.Equal(got, tt.want) {
				t.Errorf("found %v; want %v", got, tt.want)
			}
		})
	}
}

func TestBitsAreSetAndUnsetOneByOne(t *testing.T) {
	var b Bits
	for _, i := range []int{0, 1, 63, 64, 130, 9999} {
		b.Set(i)
	}
	b.Unset(1)
	b.Unset(64)
	if got, want := found(&b, 10_000), []int{0, 63, 130, 9999}; !slices.Equal(got, want) {
		t.Errorf("set are %v; want %v", got, want)
	}
	if Max != 10_000 {
		t.Errorf("Max = %d; want 10,000, as docs/rules.md has it", Max)
	}
	for n, want := range map[int]int{0: 0, 1: 1, 64: 1, 65: 2, 10_000: len(b)} {
		if got := b.Words(n); got != want {
			t.Errorf("Words(%d) = %d; want %d", n, got, want)
		}
	}
}

func TestIndexPassesOverRulesWithARarerKeyThatDoesNotHold(t *testing.T) {
	common := domain(pattern.Exact, "everybody.example")[0]
	var rules []*Keys
	for i := range 3 {
		rules = append(rules, &Keys{Client: network("192.0.2.0/24"), Domains: [][]pattern.Domain{common, domain(pattern.Exact, string(rune('a'+i))+".example")[0]}})
	}
	x := New(rules, 2)
	var b Bits
	x.Start(&b, "")
	x.Client(&b, netip.MustParsePrefix("192.0.2.1/32"), false)
	x.Domain(&b, 0, "everybody.example", "")
	x.Domain(&b, 1, "b.example", "")
	if got := found(&b, 3); !slices.Equal(got, []int{1}) {
		t.Errorf("found %v; want the second rule alone, by the name that no other rule has", got)
	}
}

// Every rule whose keys all hold is found, and no rule of which none holds.
func TestIndexFindsWhatMatchesAndNothingUnrelated(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"a.example", "b.example", "x.a.example", "x.b.example"}
	nets := []string{"192.0.2.0/24", "192.0.2.0/25", "192.0.2.128/25", "192.0.2.7/32", "2001:db8::/32", "2001:db8::/64", "198.51.100.0/24"}
	around := []string{"192.0.2.7/32", "192.0.2.200/32", "192.0.2.0/24", "2001:db8::1/128", "2001:db8::/48", "203.0.113.1/32"}
	one := func(list []string) string { return list[r.IntN(len(list))] }
	domainMap := pattern.NewDomainMap("m", append(domain(pattern.Exact, "a.example")[0], domain(pattern.Below, "b.example")[0]...)).Pattern()
	netMap := pattern.NewNetMap("m", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/25"), netip.MustParsePrefix("2001:db8::/64")}).Pattern()
	anyDomain := func() pattern.Domain {
		if r.IntN(4) == 0 {
			return domainMap
		}
		return pattern.NewDomain([]pattern.Kind{pattern.Exact, pattern.Below, pattern.Organization}[r.IntN(3)], one(names))
	}
	anyNetwork := func() pattern.Network {
		if r.IntN(3) == 0 {
			return netMap
		}
		return pattern.NetworkOf(netip.MustParsePrefix(one(nets)))
	}
	for range 200 {
		var rules []*Keys
		for range 1 + r.IntN(150) {
			k := &Keys{Domains: make([][]pattern.Domain, 2)}
			for i := range k.Domains {
				for range r.IntN(3) {
					k.Domains[i] = append(k.Domains[i], anyDomain())
				}
			}
			for range r.IntN(3) {
				k.Client = append(k.Client, anyNetwork())
			}
			if r.IntN(4) == 0 {
				k.Listener = []string{one([]string{"mta", "other"})}
			}
			rules = append(rules, k)
		}
		x, n := New(rules, 2), netip.MustParsePrefix(one(around))
		some, org := n.Bits() != n.Addr().BitLen() && r.IntN(2) == 0, one([]string{"", "a.example"})
		facts := []string{one(names), one(names)}
		var b Bits
		x.Start(&b, "mta")
		x.Client(&b, n, some)
		for i, name := range facts {
			x.Domain(&b, i, name, org)
		}
		for i, k := range rules {
			var holds []bool
			if k.Client != nil {
				holds = append(holds, slices.ContainsFunc(k.Client, func(p pattern.Network) bool { return p.Covers(n) || some && p.Overlaps(n) }))
			}
			if k.Listener != nil {
				holds = append(holds, slices.Contains(k.Listener, "mta"))
			}
			for j, list := range k.Domains {
				if list != nil {
					holds = append(holds, slices.ContainsFunc(list, func(p pattern.Domain) bool { return p.Holds(facts[j], org) }))
				}
			}
			in := b[i/64]&(1<<(i%64)) != 0
			if all := !slices.Contains(holds, false); all && !in {
				t.Fatalf("rule %+v is not found by %v (some %v), %q of %q; all its keys hold", k, n, some, facts, org)
			}
			if len(holds) > 0 && !slices.Contains(holds, true) && in {
				t.Fatalf("rule %+v is found by %v (some %v), %q of %q; none of its keys holds", k, n, some, facts, org)
			}
		}
	}
}

func TestIndexFindsEveryRuleOfAMap(t *testing.T) {
	names := []pattern.Domain{pattern.NewDomainMap("m", domain(pattern.Exact, "a.example")[0]).Pattern()}
	nets := []pattern.Network{pattern.NewNetMap("m", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}).Pattern()}
	otherNames := []pattern.Domain{pattern.NewDomainMap("o", domain(pattern.Exact, "b.example")[0]).Pattern()}
	x := New([]*Keys{
		{Domains: [][]pattern.Domain{names}}, {Client: nets, Domains: [][]pattern.Domain{nil}},
		{Domains: [][]pattern.Domain{names}}, {Client: nets, Domains: [][]pattern.Domain{nil}},
		{Domains: [][]pattern.Domain{otherNames}},
	}, 1)
	var b Bits
	x.Start(&b, "")
	x.Domain(&b, 0, "a.example", "")
	if got := found(&b, 5); !slices.Equal(got, []int{0, 2}) {
		t.Errorf("by a name of the map, found %v; want both rules with the map", got)
	}
	x.Start(&b, "")
	x.Client(&b, netip.MustParsePrefix("192.0.2.1/32"), false)
	if got := found(&b, 5); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("by a client in the map, found %v; want both rules with the map", got)
	}
}
