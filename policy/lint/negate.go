package lint

import (
	"cmp"
	"slices"

	"dmarcgate/auth/dmarc"
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
	for _, k := range wordKeys {
		var n policy.Match
		*k.list(&n) = others(*k.list(m), k.words...)
		add(*k.list(m) != nil, n)
	}
	add(m.Requested != nil, policy.Match{Requested: others(m.Requested, "reject", "quarantine", "none")})
	add(m.Result != nil, policy.Match{Result: others(m.Result, "fail", "none", "permerror", "temperror")})
	add(m.FromField != nil, policy.Match{FromField: others(m.FromField, policy.FromOneMailbox, policy.FromSeveralMailboxes, policy.FromSeveralDomains, policy.FromMissing, policy.FromSeveralFields)})
	if len(m.Hours) == 1 {
		add(true, policy.Match{Hours: []pattern.Hours{{Begin: m.Hours[0].End % pattern.DayMinutes, End: cmp.Or(m.Hours[0].Begin, pattern.DayMinutes)}}})
	}
	add(m.Weekdays != nil, policy.Match{Weekdays: others(m.Weekdays, 0, 1, 2, 3, 4, 5, 6)})
	return list
}

// listKey is a key with its counterpart that has "not_" in front.
type listKey struct {
	kind    proof
	yes, no func(*policy.Match) *[]pattern.Domain
}

var lists = [...]listKey{
	{byName, func(m *policy.Match) *[]pattern.Domain { return &m.IPRev }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.IPRev }},
	{bySPF, func(m *policy.Match) *[]pattern.Domain { return &m.SPFPass }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.SPFPass }},
	{byDKIM, func(m *policy.Match) *[]pattern.Domain { return &m.DKIMPass }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.DKIMPass }},
	{written, func(m *policy.Match) *[]pattern.Domain { return &m.HELO }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.HELO }},
	{written, func(m *policy.Match) *[]pattern.Domain { return &m.MailFrom }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.MailFrom }},
	{written, func(m *policy.Match) *[]pattern.Domain { return &m.ListID }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.ListID }},
	{written, func(m *policy.Match) *[]pattern.Domain { return &m.Author }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.Author }},
	{written, func(m *policy.Match) *[]pattern.Domain { return &m.PolicyDomain }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.PolicyDomain }},
	{written, func(m *policy.Match) *[]pattern.Domain { return &m.RcptDomain }, func(m *policy.Match) *[]pattern.Domain { return &m.Not.RcptDomain }},
}

// flags are the keys that are true or false.
var flags = []func(*policy.Match) **bool{
	func(m *policy.Match) **bool { return &m.TLS },
	func(m *policy.Match) **bool { return &m.NullPath },
	func(m *policy.Match) **bool { return &m.IsList },
	func(m *policy.Match) **bool { return &m.Automatic },
	func(m *policy.Match) **bool { return &m.BodyChanged },
	func(m *policy.Match) **bool { return &m.Authenticated },
	func(m *policy.Match) **bool { return &m.EarlierSPFFail },
}

// wordKeys are the keys of words that deny nothing, with all words that there are.
var wordKeys = []struct {
	list  func(*policy.Match) *[]string
	words []string
}{
	{func(m *policy.Match) *[]string { return &m.SPF }, []string{"none", "fail", "softfail", "neutral", "pass", "temperror", "permerror"}},
	{func(m *policy.Match) *[]string { return &m.PassBy }, []string{"dkim", "spf", "both"}},
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
	if n.Hours != nil {
		ok = ok && m.Hours == nil
		both.Hours = n.Hours
	}
	for _, k := range wordKeys {
		*k.list(&both) = common(*k.list(m), *k.list(n), &ok)
	}
	both.Requested = common(m.Requested, n.Requested, &ok)
	both.FromField = common(m.FromField, n.FromField, &ok)
	both.Weekdays = common(m.Weekdays, n.Weekdays, &ok)
	if n.Result != nil {
		both.Result = common(m.Result, n.Result, &ok)
		if m.Result == nil { // fail alone
			both.Result = common([]string{dmarc.Fail.String()}, n.Result, &ok)
		}
	}
	return both, ok
}

// common returns the words of both lists, of which nil is all; ok becomes false where
// there is none.
func common[T comparable](a, b []T, ok *bool) []T {
	switch {
	case b == nil:
		return a
	case a != nil:
		b = slices.DeleteFunc(slices.Clone(b), func(w T) bool { return !slices.Contains(a, w) })
	}
	*ok = *ok && len(b) > 0
	return b
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

func others[T comparable](have []T, all ...T) []T {
	return slices.DeleteFunc(slices.Clone(all), func(s T) bool { return slices.Contains(have, s) })
}
