package index

import (
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
