package lint

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// What comparison says of two lists must be so for every domain and address.
func TestOverlapOfDomainsHoldsForEachDomain(t *testing.T) {
	names := []string{"a.example", "b.a.example", "c.b.a.example", "example.org", "x.example.org"}
	pattern := func() pattern.Domain {
		p := pattern.NewDomain(pattern.Kind(1+rand.IntN(3)), names[rand.IntN(len(names))])
		if rand.IntN(5) == 0 {
			return pattern.NewDomainMap(p.String(), []pattern.Domain{p}).Pattern()
		}
		return p
	}
	for range 20_000 {
		a, b := someSet(pattern), someSet(pattern)
		k, other := newKeySet("author", a), newKeySet("author", b)
		if rand.IntN(2) == 0 {
			k.makeIndex()
		}
		covers, overlaps := k.covers(&other), k.overlaps(&other)
		for i, domain := range names {
			org := names[i/3*3] // a.example or example.org
			inA := slices.ContainsFunc(a, func(it item) bool { return it.domain.Holds(domain, org) })
			inB := slices.ContainsFunc(b, func(it item) bool { return it.domain.Holds(domain, org) })
			maps := slices.ContainsFunc(slices.Concat(a, b), item.isMap)
			if covers && inB && !inA || !maps && inA && inB && !overlaps {
				t.Fatalf("%v and %v: covers %v, affects %v; but %s is in them: %v, %v", a, b, covers, overlaps, domain, inA, inB)
			}
		}
	}
}

func someSet(pattern func() pattern.Domain) []item {
	var items []item
	for range 1 + rand.IntN(3) {
		items = append(items, item{domain: pattern()})
	}
	return items
}

func TestOverlapOfNetworksHoldsForEachAddress(t *testing.T) {
	address := func() netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(rand.IntN(16))}) }
	some := func() []item {
		var items []item
		for range 1 + rand.IntN(3) {
			items = append(items, networkItem(address(), 26+rand.IntN(7)))
		}
		return items
	}
	for range 20_000 {
		a, b := some(), some()
		k, other := newKeySet("client", a), newKeySet("client", b)
		inBoth, missing := false, false
		for i := range 64 {
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
			inA := slices.ContainsFunc(a, func(it item) bool { return it.network.Covers(netip.PrefixFrom(addr, 32)) })
			inB := slices.ContainsFunc(b, func(it item) bool { return it.network.Covers(netip.PrefixFrom(addr, 32)) })
			inBoth, missing = inBoth || inA && inB, missing || inB && !inA
		}
		if covers, overlaps := k.covers(&other), k.overlaps(&other); covers == missing || overlaps != inBoth {
			t.Fatalf("%v and %v: covers %v, affects %v; want %v, %v", a, b, covers, overlaps, !missing, inBoth)
		}
	}
}

// BenchmarkRules wants 2 seconds at most for any of these sets of MaxRules.
func BenchmarkRules(b *testing.B) {
	sets := map[string]func(i int) policy.Match{
		"forwarders of one site": func(i int) policy.Match {
			return policy.Match{Client: nets(fmt.Sprintf("20.%d.%d.0/28", i/256, i%256)), RcptDomain: pats("us.example")}
		},
		"the same": func(int) policy.Match {
			return policy.Match{Client: nets("192.0.2.0/24"), RcptDomain: pats("us.example")}
		},
		"one sender, many authors": func(i int) policy.Match {
			return policy.Match{Client: nets("192.0.2.0/24"), Author: pats(fmt.Sprintf("a%d.example", i))}
		},
		"many senders of many authors": func(i int) policy.Match {
			return policy.Match{Client: nets(fmt.Sprintf("20.0.%d.0/24", i%100)), Author: pats(fmt.Sprintf("a%d.example", i/100))}
		},
		"long lists": func(i int) policy.Match {
			var m policy.Match
			for j := range 100 {
				m.Author = append(m.Author, pats(fmt.Sprintf("a%d.b%d.example", j, i))...)
				m.Client = append(m.Client, nets(fmt.Sprintf("20.%d.%d.%d/32", i/256, i%256, j))...)
			}
			return m
		},
		"anybody": func(i int) policy.Match { return policy.Match{Result: []string{"fail"}, HistoryMin: ptr(i)} },
	}
	for name, match := range sets {
		rules := make([]policy.Rule, policy.MaxRules)
		for i := range rules {
			rules[i] = sound()
			rules[i].ID, rules[i].Match = fmt.Sprintf("r%d", i), match(i)
			rules[i].Action = []policy.RuleAction{policy.RuleReject, policy.RuleTempfail}[i%2]
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Rules(rules, Options{Now: today})
			}
		})
	}
}
