package lint

import (
	"slices"

	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// negations returns matches of one key each: a message that one of them matches is
// not matched by m.
func negations(m *policy.Match) []policy.Match {
	var list []policy.Match
	add := func(set bool, n policy.Match) {
		if set {
			list = append(list, n)
		}
	}
	for _, k := range lists {
		if yes, no := *k.yes(m), *k.no(m); true {
			var n policy.Match
			*k.no(&n) = yes
			add(yes != nil, n)
			n = policy.Match{}
			*k.yes(&n) = no
			add(no != nil, n)
		}
	}
	add(m.Client != nil, policy.Match{Not: policy.Exclude{Client: m.Client}})
	add(m.Not.Client != nil, policy.Match{Client: m.Not.Client})
	for _, k := range flags {
		if v := *k(m); v != nil {
			var n policy.Match
			*k(&n) = ptrTo(!*v)
			add(true, n)
		}
	}
	add(m.HistoryMin != nil && *m.HistoryMin > 0, policy.Match{HistoryMax: less(m.HistoryMin)})
	add(m.HistoryMax != nil, policy.Match{HistoryMin: more(m.HistoryMax)})
	add(m.Requested != nil, policy.Match{Requested: others(m.Requested, "reject", "quarantine", "none")})
	return list
}

// listKey is a key with its counterpart that has "not_" in front.
type listKey struct {
	yes, no func(*policy.Match) *[]pattern.Domain
}

var lists = []listKey{
	{func(m *policy.Match) *[]pattern.Domain { return &m.IPRev }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.IPRev }},
	{func(m *policy.Match) *[]pattern.Domain { return &m.SPFPass }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.SPFPass }},
	{func(m *policy.Match) *[]pattern.Domain { return &m.DKIMPass }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.DKIMPass }},
	{func(m *policy.Match) *[]pattern.Domain { return &m.HELO }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.HELO }},
	{func(m *policy.Match) *[]pattern.Domain { return &m.MailFrom }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.MailFrom }},
	{func(m *policy.Match) *[]pattern.Domain { return &m.ListID }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.ListID }},
	{func(m *policy.Match) *[]pattern.Domain { return &m.Author }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.Author }},
	{func(m *policy.Match) *[]pattern.Domain { return &m.PolicyDomain }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.PolicyDomain }},
	{func(m *policy.Match) *[]pattern.Domain { return &m.RcptDomain }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.RcptDomain }},
}

// flags are the keys that are true or false.
var flags = []func(*policy.Match) **bool{
	func(m *policy.Match) **bool { return &m.TLS },
	func(m *policy.Match) **bool { return &m.NullPath },
	func(m *policy.Match) **bool { return &m.IsList },
	func(m *policy.Match) **bool { return &m.Automatic },
	func(m *policy.Match) **bool { return &m.BodyChanged },
}

// join returns a match of the keys of m and of the one key of n. Where m has this
// key already, ok is false, but that more can be denied.
func join(m, n *policy.Match) (both policy.Match, ok bool) {
	both, ok = *m, true
	for _, k := range lists {
		if no := *k.no(n); no != nil {
			*k.no(&both) = slices.Concat(*k.no(m), no)
		}
		if yes := *k.yes(n); yes != nil {
			ok = ok && *k.yes(m) == nil
			*k.yes(&both) = yes
		}
	}
	if n.Not.Client != nil {
		both.Not.Client = slices.Concat(m.Not.Client, n.Not.Client)
	}
	if n.Client != nil {
		ok = ok && m.Client == nil
		both.Client = n.Client
	}
	for _, k := range flags {
		if v := *k(n); v != nil {
			ok = ok && (*k(m) == nil || **k(m) == *v)
			*k(&both) = v
		}
	}
	for _, k := range []func(*policy.Match) **int{
		func(m *policy.Match) **int { return &m.HistoryMin }, func(m *policy.Match) **int { return &m.HistoryMax },
	} {
		if v := *k(n); v != nil {
			ok = ok && *k(m) == nil
			*k(&both) = v
		}
	}
	if n.Requested != nil {
		ok = ok && m.Requested == nil && len(n.Requested) > 0
		both.Requested = n.Requested
	}
	return both, ok
}

func ptrTo[T any](v T) *T { return &v }

func less(n *int) *int {
	if n == nil {
		return nil
	}
	return ptrTo(*n - 1)
}

func more(n *int) *int {
	if n == nil {
		return nil
	}
	return ptrTo(*n + 1)
}

func others(have []string, all ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(have, s) })
}
