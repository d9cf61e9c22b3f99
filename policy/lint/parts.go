package lint

import (
	"cmp"
	"slices"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/scope"
)

// part is one fact of a message, or several that hang together, with the ways to
// make them what a match asks for.
type part struct {
	ability string // see Options.Without
	ways    func(m *asked, at time.Time) []way
}

// parts are in the order in which they are set: what comes later may look at what
// was set before.
var parts = []part{
	{"from_field", fromWays}, {"author", authorWays}, {"author", secondWays}, {"record", recordWays}, {"result", resultWays}, {"history", historyWays},
	{"path", pathWays}, {"helo", heloWays}, {"signature", signatureWays}, {"chain", chainWays}, {"client", clientWays}, {"client_name", clientNameWays},
	{"list", listWays}, {"header", headerWays}, {"recipient", recipientWays}, {"listener", listenerWays}, {"time", timeWays},
	{"pass", passingWays}, {"signature", bodyWays}, {"author", besideWays},
}

// Abilities returns what Options.Without can take from the adversary: each part of
// a message, each effort, and what he tries when a rule by itself gives nothing.
func Abilities() []string {
	list := []string{efforts[anybody], efforts[account], efforts[customer], "avoid", "others", "below"}
	for _, p := range parts {
		list = append(list, p.ability)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

const passWord = "pass"

// nothing is to be arranged.
var nothing = []way{{}}

// or returns the value of a key, or v where a match has none.
func or[T any](key *T, v T) T {
	if key == nil {
		return v
	}
	return *key
}

// orAll returns list, or all where a match has none.
func orAll[T any](list, all []T) []T {
	if list == nil {
		return all
	}
	return list
}

// each makes a way of each item: set puts it into the message.
func each[T any](list []T, set func(*policy.Given, T)) (ways []way) {
	for _, v := range list {
		ways = append(ways, way{set: func(g *policy.Given) { set(g, v) }})
	}
	return ways
}

// with makes the ways to have names or addresses those to use them in a message.
func with(list []way, set func(*policy.Given, string)) []way {
	for i, w := range list {
		if w.value != "" {
			list[i].set = func(g *policy.Given) { set(g, w.value) }
		}
	}
	return list
}

// fromWays: From can be written in every form. Without the key it is one mailbox, or
// has no author domain where the rule is about permerror and not about any author.
func fromWays(m *asked, _ time.Time) []way {
	usable := []policy.From{policy.FromOneMailbox, policy.FromSeveralMailboxes, policy.FromSeveralDomains}
	authorless := slices.Contains(m.Result, dmarc.PermError.String()) && m.Author == nil && m.PolicyDomain == nil && m.ARCPass == nil && m.Requested == nil
	list := orAll(m.FromField, []policy.From{policy.FromOneMailbox, policy.FromMissing, policy.FromSeveralFields, policy.FromTruncated})
	if !authorless {
		list = common(usable, list)
	}
	return each(list, func(g *policy.Given, f policy.From) {
		if f != policy.FromOneMailbox { // which tests have where they name none
			g.FromField = f
		}
	})
}

// authorWays are the author domains: those that the rule names, itself or by where their
// records are, else any victim.
func authorWays(m *asked, _ time.Time) []way {
	authors := slices.Clone(m.Author)
	if m.PolicyDomain != nil {
		for _, w := range names(written, m.Not.PolicyDomain, nil, m.PolicyDomain) {
			authors = append(authors, pattern.NewDomain(pattern.Exact, w.value), pattern.NewDomain(pattern.Exact, "news."+w.value))
		}
	}
	others := victimNames
	if slices.Contains(m.Result, passWord) {
		others = attackerNames[1:] // the first is in the path
	}
	list := slices.DeleteFunc(names(written, m.Not.Author, others, authors, m.Author), func(w way) bool { return m.PolicyDomain != nil && recordOf(m, w.value) == "" })
	return with(list, func(g *policy.Given, name string) { g.Author = []string{name} })
}

// secondWays are a second author domain: one of the adversary's own, which passes, or
// another one, unless besideWays add one.
func secondWays(m *asked, _ time.Time) []way {
	if !slices.Contains(m.FromField, policy.FromSeveralDomains) {
		return nothing
	}
	return each([]bool{true, false}, func(g *policy.Given, own bool) {
		switch {
		case g.FromField != policy.FromSeveralDomains || m.beside != "" && m.beside != g.Author[0]:
		case own && or(m.Authenticated, true):
			g.Author, g.DKIM = append(g.Author, attackerNames[0]), []string{"pass:" + attackerNames[0]}
		default:
			g.Author = append(g.Author, "second."+g.Author[0])
		}
	})
}

// besideWays are one more author domain, with a record of its own as the first has.
func besideWays(m *asked, _ time.Time) []way {
	return each([]string{m.beside}, func(g *policy.Given, name string) {
		if name == "" || len(g.Author) != 1 || g.Author[0] == name {
			return
		}
		if g.PolicyDomain == g.Author[0] {
			g.PolicyDomain = ""
		}
		g.Author = append(g.Author, name)
	})
}

// recordWays is where the record of the author domain is: at it, or above; where the
// rule looks, or elsewhere.
func recordWays(m *asked, _ time.Time) []way {
	ways := []func(string) string{func(author string) string { return recordOf(m, author) }}
	if m.PolicyDomain == nil && m.Not.PolicyDomain != nil {
		ways = append(ways, dmarc.PublicSuffix().Org)
	}
	return each(ways, func(g *policy.Given, record func(author string) string) {
		if len(g.Author) > 0 {
			g.PolicyDomain = record(g.Author[0])
		}
	})
}

// recordOf returns a domain that m names where the record of an author can be: at
// the author domain or above it (RFC 9989, Section 4.10); "" where there is none.
func recordOf(m *asked, author string) string {
	for _, w := range names(written, m.Not.PolicyDomain, nil, m.PolicyDomain) {
		if scope.AtOrBelow(author, w.value) {
			return w.value
		}
	}
	if oneHolds(m.PolicyDomain, author) && !oneHolds(m.Not.PolicyDomain, author) {
		return author
	}
	return ""
}

// resultWays: who forges mail chooses a victim by what it publishes. Lookups that
// fail are those of domains of the adversary's own.
func resultWays(m *asked, _ time.Time) (ways []way) {
	for _, result := range orAll(m.Result, failing) {
		asked := []string{"reject"}
		switch {
		case result == dmarc.Fail.String():
			asked = orAll(m.Requested, requests)
		case m.Requested != nil:
			continue // only what fails has a policy
		}
		list := each(asked, func(g *policy.Given, p string) {
			switch g.Policy = p; result {
			case dmarc.StatusNone.String():
				g.Policy, g.PolicyDomain = "", ""
			case dmarc.PermError.String(), dmarc.TempError.String():
				g.Result = result
			}
		})
		if result == dmarc.TempError.String() && m.Author != nil {
			list[0].effort = beyond
		}
		ways = append(ways, list...)
	}
	return ways
}

// historyWays: a victim that sends mail, and one that does not.
func historyWays(m *asked, _ time.Time) []way {
	low := or(m.HistoryMin, 0)
	high := or(m.HistoryMax, max(low, policy.HistoryMessages))
	if low > high {
		return nil
	}
	return each(slices.Compact([]int{low, high}), func(g *policy.Given, n int) { g.History = n })
}

// pathWays are MAIL FROM with the result of SPF, which is about HELO for the null
// path. Whatever does not pass can be had from a domain of the adversary's own, or
// from one that lists other hosts.
func pathWays(m *asked, _ time.Time) (ways []way) {
	for _, result := range orAll(m.SPF, []string{"", passWord}) { // "" is any but a pass
		pass := result == passWord
		if !pass && m.SPFPass != nil || pass && m.SPFPass == nil && m.SPF == nil || pass && !or(m.Authenticated, true) {
			continue
		}
		ways = append(ways, pathsOf(m, result, or(m.NullPath, false))...)
		if pass && m.NullPath == nil && m.Not.MailFrom != nil { // a name that MAIL FROM may not have is in HELO
			ways = append(ways, pathsOf(m, result, true)...)
		}
	}
	slices.SortStableFunc(ways, cheaper)
	return ways
}

func pathsOf(m *asked, result string, null bool) []way {
	kind, yes, no := written, m.MailFrom, m.Not.MailFrom
	if null {
		yes, no = m.HELO, m.Not.HELO
	}
	if result == passWord {
		kind, no = bySPF, slices.Concat(no, m.Not.SPFPass)
	}
	if null && m.MailFrom != nil {
		return nil
	}
	return with(names(kind, no, attackerNames, m.SPFPass, yes), func(g *policy.Given, name string) {
		if g.SPF, g.NullPath = result, null; null {
			g.Helo = name
		} else {
			g.MailFrom = name
		}
	})
}

func heloWays(m *asked, _ time.Time) []way {
	return with(names(written, m.Not.HELO, attackerNames, m.HELO), func(g *policy.Given, name string) {
		if !g.NullPath {
			g.Helo = name
		}
	})
}

// signatureWays: whoever has a domain has a signature of it that passes.
func signatureWays(m *asked, _ time.Time) []way {
	if m.DKIMPass != nil && !or(m.Authenticated, true) {
		return nil
	}
	var own []string
	if or(m.Authenticated, false) && m.SPFPass == nil && !slices.Contains(m.Result, passWord) {
		own = attackerNames
	}
	return with(names(byDKIM, m.Not.DKIMPass, own, m.DKIMPass), func(g *policy.Given, name string) { g.DKIM = append(g.DKIM, "pass:"+name) })
}

func bodyWays(m *asked, _ time.Time) []way {
	if !or(m.BodyChanged, false) {
		return nothing
	}
	return []way{{by: "the header is that of a genuine message of the author, with another body", set: func(g *policy.Given) {
		for _, a := range g.Author {
			g.DKIM = append(g.DKIM, "body:"+a)
		}
	}}}
}

func chainWays(m *asked, _ time.Time) []way {
	return with(names(byARC, nil, nil, m.ARCPass), func(g *policy.Given, name string) { g.ARC = []string{name} })
}

func clientWays(m *asked, _ time.Time) []way {
	return with(addresses(m.Client, m.Not.Client), func(g *policy.Given, a string) { _ = g.Client.UnmarshalText([]byte(a)) })
}

func clientNameWays(m *asked, _ time.Time) []way {
	return with(names(byName, m.Not.IPRev, nil, m.IPRev), func(g *policy.Given, name string) { g.Name = name })
}

func listWays(m *asked, _ time.Time) []way {
	if m.ListID != nil && !or(m.IsList, true) {
		return nil
	}
	return with(names(written, m.Not.ListID, nil, m.ListID), func(g *policy.Given, name string) { g.ListID = name })
}

func headerWays(m *asked, _ time.Time) []way {
	return []way{{set: func(g *policy.Given) {
		g.ListHeaders, g.Automatic = or(m.IsList, g.ListID != ""), or(m.Automatic, false)
		g.TLS, g.EarlierSPFFail = or(m.TLS, true), or(m.EarlierSPFFail, false)
	}}}
}

// rcptNames are recipients that no rule names.
var rcptNames = []string{"rcpt.example", "rcpt.test", "rcpt.invalid"}

// recipientWays are one recipient, or one message to two.
func recipientWays(m *asked, _ time.Time) []way {
	ways := with(names(written, m.Not.RcptDomain, rcptNames, m.RcptDomain), func(g *policy.Given, name string) { g.Rcpt = []string{name} })
	if len(ways) > 0 && (m.RcptDomain != nil || m.Not.RcptDomain != nil) {
		ways = append(ways, each([]string{ways[0].value}, func(g *policy.Given, name string) { g.Rcpt = []string{name, rcptNames[0]} })...)
	}
	return ways
}

func listenerWays(m *asked, _ time.Time) []way {
	return each(orAll(m.Listener, []string{""}), func(g *policy.Given, l string) { g.Listener = l })
}

// passingWays are mail that passes by SPF, a signature or both: in the name of a domain
// of the adversary's own, or of the author that is named.
func passingWays(m *asked, _ time.Time) []way {
	if !slices.Contains(m.Result, passWord) {
		return nothing
	}
	by := slices.DeleteFunc(slices.Clone(orAll(m.PassBy, passWays)), func(by string) bool {
		return !or(m.Authenticated, true) || by != "dkim" && m.SPF != nil && !slices.Contains(m.SPF, passWord)
	})
	ways := each(by, func(g *policy.Given, by string) {
		if by != "dkim" {
			passBySPF(m, g)
		}
		if by != "spf" {
			g.DKIM = append(g.DKIM, "pass:"+g.Author[0])
		}
	})
	for i, by := range by {
		if w := passed[by]; m.Author != nil || m.PolicyDomain != nil {
			ways[i].effort, ways[i].by = w.effort, w.by
		}
	}
	return ways
}

// passed are the ways to have mail pass for an author that is not the adversary's own.
var passed = map[string]way{
	"dkim": {by: "a genuine message of the author is sent again"},
	"spf":  {effort: account, by: "the mail comes through a sender that the SPF record of the author names"},
	"both": {effort: party, by: "the mail passes for its author domain"},
}

// passBySPF makes the author domain that for which SPF passes, as far as the other
// keys allow.
func passBySPF(m *asked, g *policy.Given) {
	g.SPF = passWord
	switch free := m.SPFPass == nil && m.MailFrom == nil; {
	case !free && m.Author == nil && m.PolicyDomain == nil:
		g.Author = []string{cmp.Or(g.MailFrom, g.Helo)}
	case free && g.NullPath:
		g.Helo = g.Author[0]
	case free:
		g.MailFrom = g.Author[0]
	}
}
