package lint

import (
	"fmt"
	"net/netip"
	"slices"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/policy/ruletest"
)

// overlaps finds rules of one priority that do different things with a message that
// all of them match: only their ids say which of them goes first.
func (a *attack) overlaps(rules []*policy.Rule) map[*policy.Rule]policy.Finding {
	found := make(map[*policy.Rule]policy.Finding)
	list := slices.DeleteFunc(inOrder(rules), func(r *policy.Rule) bool {
		return r.Mode != policy.Enforce || r.Action == policy.RuleSkipReport || r.Expired(a.at)
	})
	first := 0 // of those with the priority of r
	for i, r := range list {
		if r.Priority != list[first].Priority {
			first = i
		}
		if others := a.meeting(r, list[first:i]); len(others) > 0 {
			found[r] = overlap(others)
		}
	}
	return found
}

// meeting returns the rules that can decide in place of r by their id.
func (a *attack) meeting(r *policy.Rule, before []*policy.Rule) []*policy.Rule {
	var others []*policy.Rule
	for _, u := range before {
		if u.Action == r.Action || a.sketches[u].apart(a.sketches[r]) || !ranked(&u.Match, &r.Match) || a.spent(r, u) {
			continue
		}
		both, ok := a.meet(&u.Match, &r.Match)
		if !ok {
			continue
		}
		list := a.spoofs(&both, a.at)
		for i := range list[:min(len(list), maxDodges)] {
			d := a.decide(list[i].Given, ruletest.Facts(list[i].Given, a.at), policy.Strict, a.set)
			if d.Rule == u.ID && slices.Contains(d.Also, r.ID) {
				others = append(others, u)
				break
			}
		}
	}
	return others
}

// ranked reports whether two rules are about senders, authors or recipients of
// the same kind, so that whoever wrote them can be expected to have ranked them. A
// rule that names none is about everybody.
func ranked(a, b *policy.Match) bool {
	none := func(m *policy.Match) bool {
		return !slices.ContainsFunc(m.Keys(), func(k policy.Key) bool { return len(k.Domains)+len(k.Networks) > 0 })
	}
	ka, kb := a.Keys(), b.Keys()
	for i := range ka {
		if len(ka[i].Domains)+len(ka[i].Networks) > 0 && len(kb[i].Domains)+len(kb[i].Networks) > 0 {
			return true
		}
	}
	return none(a) || none(b)
}

func overlap(others []*policy.Rule) policy.Finding {
	first := others[0]
	text := fmt.Sprintf("rule %q%s can match the same message with another action (%v) and goes first only because of its id", first.ID, place(first), first.Action)
	if n := len(others) - 1; n > 0 {
		text += fmt.Sprintf(", as do %d more", n)
	}
	return policy.Finding{Level: policy.Warning, Code: policy.CodeOverlap, Fault: pattern.Fault{Key: "priority", Text: text, Fix: "give the two different priorities"}}
}

// meet returns a match of messages that a and b match; ok is false where no message
// is found that both do. Long lists are more work.
func (t *attack) meet(a, b *policy.Match) (both policy.Match, ok bool) {
	compare := func(x, y int) { t.work += 1 + (x+y)/8 + x*y/512 }
	both, ok = *a, true
	for _, k := range lists {
		x, y := *k.yes(a), *k.yes(b)
		switch {
		case x == nil:
			*k.yes(&both) = y
		case y != nil:
			compare(len(x), len(y))
			*k.yes(&both) = inBothLists(k.kind, x, y)
			ok = ok && len(*k.yes(&both)) > 0
		}
		*k.no(&both) = slices.Concat(*k.no(a), *k.no(b))
	}
	both.ARCPass = either(a.ARCPass, b.ARCPass)
	switch {
	case a.Client == nil:
		both.Client = b.Client
	case b.Client != nil:
		compare(len(a.Client), len(b.Client))
		both.Client = inBothNetworks(a.Client, b.Client)
		ok = ok && len(both.Client) > 0
	}
	both.Not.Client = slices.Concat(a.Not.Client, b.Not.Client)
	for _, k := range flags {
		x, y := *k(a), *k(b)
		ok = ok && (x == nil || y == nil || *x == *y)
		if x == nil {
			*k(&both) = y
		}
	}
	for _, k := range wordKeys {
		*k.list(&both) = common(*k.list(a), *k.list(b), &ok)
	}
	both.Listener, both.FromField = either(a.Listener, b.Listener), either(a.FromField, b.FromField)
	both.Result, both.Requested = either(a.Result, b.Result), either(a.Requested, b.Requested)
	both.Hours, both.Weekdays = either(a.Hours, b.Hours), either(a.Weekdays, b.Weekdays)
	if a.Hours == nil && a.Weekdays == nil {
		both.TZ = b.TZ
	}
	if both.HistoryMin == nil {
		both.HistoryMin = b.HistoryMin
	}
	if both.HistoryMax == nil {
		both.HistoryMax = b.HistoryMax
	}
	return both, ok
}

// either returns the list that is there; of two the first: that the other holds, too,
// is seen when the message is decided.
func either[T any](a, b []T) []T {
	if a == nil {
		return b
	}
	return a
}

// inBothLists returns what is in both lists, the cheapest of each effort: an item of
// which the other list holds every name that stands for it, or else such a name.
func inBothLists(kind proof, a, b []pattern.Domain) []pattern.Domain {
	var ways []way
	add := func(p pattern.Domain, other []pattern.Domain) {
		names := namesIn(p)
		for _, name := range names {
			if !oneHolds(other, name) {
				continue
			}
			item := p
			if slices.ContainsFunc(names, func(n string) bool { return !oneHolds(other, n) }) {
				item = pattern.NewDomain(pattern.Exact, name)
			}
			w := cost(kind, name, item)
			w.item = item
			ways = append(ways, w)
		}
	}
	for _, p := range a {
		add(p, b)
	}
	for _, p := range b {
		add(p, a)
	}
	slices.SortStableFunc(ways, func(a, b way) int { return int(a.effort) - int(b.effort) })
	var list []pattern.Domain
	for _, w := range varied(ways) {
		list = append(list, w.item)
	}
	return list
}

// inBothNetworks returns networks of one list that the other holds, as far as some of
// their addresses tell, or else addresses.
func inBothNetworks(a, b []pattern.Network) []pattern.Network {
	var list []pattern.Network
	add := func(n pattern.Network, other []pattern.Network) {
		var hosts []pattern.Network
		all := 0
		for _, p := range widest(n) {
			for _, addr := range some(p) {
				all++
				host := netip.PrefixFrom(addr, addr.BitLen())
				if slices.ContainsFunc(other, func(n pattern.Network) bool { return n.Covers(host) }) {
					hosts = append(hosts, pattern.NetworkOf(host))
				}
			}
		}
		if len(hosts) == all {
			hosts = []pattern.Network{n}
		}
		list = append(list, hosts...)
	}
	for _, n := range a {
		add(n, b)
	}
	for _, n := range b {
		add(n, a)
	}
	return list
}
