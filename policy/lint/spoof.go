package lint

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/scope"
)

// spoof is a message that a third party sends in the name of an author domain.
type spoof struct {
	policy.Given
	effort effort
	by     []string // what had to be arranged
	owners []string // the parties that arrange it
	used   []way    // what they arrange
	wide   bool     // every party of them is one of many
	ways   []int    // which way of each part was taken, for spoofs beside this one
}

// Limits of the attack on one rule, ours: the first ways of each part reach every
// answer that a rule written by hand can give.
const (
	maxSpoofs = 24 // messages built for one match
	maxDodges = 12 // of each rule that stands before it
)

// part is one fact of a message, or several that hang together, with the ways to
// make them what a match asks for.
type part struct {
	ability string // see Options.Without
	ways    func(m *policy.Match, at time.Time) []way
}

// parts are in the order in which they are set: what comes later may look at what
// was set before.
var parts = []part{
	{"from_field", fromParts}, {"author", authorParts}, {"record", recordParts}, {"result", resultParts}, {"history", historyParts},
	{"path", pathParts}, {"helo", heloParts}, {"signature", signatureParts}, {"chain", chainParts}, {"client", clientParts}, {"client_name", clientNameParts},
	{"list", listParts}, {"header", headerParts}, {"recipient", recipientParts}, {"listener", listenerParts}, {"time", timeParts},
	{"authenticated", authenticatedParts}, {"pass", passParts},
}

// Abilities returns what Options.Without can take from the adversary: each part of
// a message, each effort, and what he tries when a rule by itself gives nothing.
func Abilities() []string {
	list := []string{efforts[anybody], efforts[account], efforts[customer], "avoid", "others", "below"}
	for _, p := range parts {
		list = append(list, p.ability)
	}
	return list
}

const passWord = "pass"

// denied reports whether a key must be false.
func denied(key *bool) bool { return key != nil && !*key }

// spoofs returns messages that are as m asks, the cheapest first, at most
// maxSpoofs. None tells that no message can be so.
func (a *attack) spoofs(m *policy.Match, at time.Time) []spoof {
	ways := make([][]way, len(parts))
	for i, p := range parts {
		if ways[i] = p.ways(m, at); len(ways[i]) == 0 {
			return nil
		}
		if a.off(p.ability) {
			ways[i] = []way{{}}
		}
		ways[i] = varied(ways[i])
	}
	var found []spoof
	add := func(choice []int) {
		if len(found) < maxSpoofs {
			found = append(found, build(ways, choice))
		}
	}
	first := make([]int, len(ways))
	add(first)
	for i := range ways { // each part on its own in every way, the others as they are cheapest
		for n := 1; n < len(ways[i]); n++ {
			choice := slices.Clone(first)
			choice[i] = n
			add(choice)
		}
	}
	slices.SortStableFunc(found, func(a, b spoof) int { return int(a.effort) - int(b.effort) })
	return found
}

// varied returns at most maxWays of the ways, some of each effort.
func varied(ways []way) []way {
	if len(ways) <= maxWays {
		return ways
	}
	count := map[effort]int{}
	return slices.DeleteFunc(ways, func(w way) bool { count[w.effort]++; return count[w.effort] > maxWays/2 })
}

func build(ways [][]way, choice []int) spoof {
	s := spoof{ways: choice, wide: true}
	for i, list := range ways {
		w := list[choice[i]]
		s.effort = max(s.effort, w.effort)
		if w.by != "" {
			s.by, s.used = append(s.by, w.by), append(s.used, w)
		}
		if w.owner != "" {
			s.owners = append(s.owners, w.owner)
			s.wide = s.wide && w.wide
		}
		if w.set != nil {
			w.set(&s.Given)
		}
	}
	s.wide = s.wide && len(s.owners) > 0
	return s
}

// plain is the same message without anything arranged: from a client, path and
// HELO of the adversary's own, without signature, seal or list fields.
func (s *spoof) plain() policy.Given {
	return policy.Given{
		Author: s.Author, FromField: s.FromField, Policy: s.Policy, PolicyDomain: s.PolicyDomain, Result: s.Result, History: s.History,
		Rcpt: s.Rcpt, Listener: s.Listener, Time: s.Time, TLS: s.TLS, EarlierSPFFail: s.EarlierSPFFail, SPF: strings.TrimPrefix(s.SPF, passWord),
		Client: attackerAddrs[0], Helo: thirdPartyHost, MailFrom: attackerName,
	}
}

// one is the only way.
func one(set func(*policy.Given)) []way { return []way{{set: set}} }

// with makes ways of names: set puts each into the message.
func with(list []way, set func(*policy.Given, string)) []way {
	for i, w := range list {
		list[i].set = func(g *policy.Given) { set(g, w.value) }
	}
	return list
}

// usable reports whether a From field gives author domains.
func usable(f policy.From) bool {
	return f == policy.FromOneMailbox || f == policy.FromSeveralMailboxes || f == policy.FromSeveralDomains
}

// fromParts: From can be written in every form. Without the key it is one mailbox,
// and the forms that have no author domain where the rule is about permerror.
func fromParts(m *policy.Match, _ time.Time) []way {
	forms := m.FromField
	if forms == nil {
		forms = []policy.From{policy.FromOneMailbox}
		if slices.Contains(m.Result, dmarc.PermError.String()) && m.Author == nil && m.PolicyDomain == nil {
			forms = append(forms, policy.FromMissing, policy.FromSeveralFields, policy.FromTruncated)
		}
	}
	permError := slices.Contains(m.Result, dmarc.PermError.String())
	about := m.Author != nil || m.PolicyDomain != nil || m.ARCPass != nil || m.Requested != nil
	var ways []way
	for _, f := range forms {
		if !usable(f) && (!permError || about) {
			continue // no author domain that the rule could be about
		}
		if f == policy.FromOneMailbox {
			f = "" // as it is written in a test
		}
		ways = append(ways, way{set: func(g *policy.Given) { g.FromField = f }})
	}
	return ways
}

// authorParts are the author domains: those that the rule names, else any victim.
func authorParts(m *policy.Match, _ time.Time) []way {
	var own []string
	if m.Author == nil && m.PolicyDomain != nil {
		for _, w := range names(written, m.Not.PolicyDomain, nil, m.PolicyDomain) {
			own = append(own, w.value, "news."+w.value)
		}
	} else {
		own = victimNames
	}
	list := names(written, m.Not.Author, own, m.Author)
	if m.PolicyDomain != nil {
		list = slices.DeleteFunc(list, func(w way) bool { return recordOf(m, w.value) == "" })
	}
	second := func(own bool) func(*policy.Given, string) {
		return func(g *policy.Given, name string) {
			g.Author = []string{name}
			switch {
			case g.FromField != policy.FromSeveralDomains:
			case own:
				g.Author, g.DKIM = append(g.Author, attackerName), []string{"pass:" + attackerName}
			default:
				g.Author = append(g.Author, "second."+name)
			}
		}
	}
	if !slices.Contains(m.FromField, policy.FromSeveralDomains) {
		return with(list, second(false))
	}
	list = varied(list) // and for each a domain of the adversary's own beside it, which passes
	return append(with(slices.Clone(list), second(true)), with(list, second(false))...)
}

// recordParts is where the record of the author domain is: at it, or above.
func recordParts(m *policy.Match, _ time.Time) []way {
	if m.PolicyDomain == nil {
		ways := one(func(g *policy.Given) { g.PolicyDomain = "" })
		if m.Not.PolicyDomain != nil { // a record elsewhere than where the rule looks
			ways = append(ways, way{set: func(g *policy.Given) { g.PolicyDomain = parentOf(g.Author) }})
		}
		return ways
	}
	return one(func(g *policy.Given) {
		if len(g.Author) > 0 {
			g.PolicyDomain = recordOf(m, g.Author[0])
		}
	})
}

// recordOf returns a domain that m names where the record of an author can be: at
// the author domain or above it (RFC 9989, Section 4.10); "" where there is none.
func recordOf(m *policy.Match, author string) string {
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

func parentOf(from []string) string {
	if len(from) == 0 {
		return ""
	}
	_, parent, _ := strings.Cut(from[0], ".")
	if !strings.Contains(parent, ".") {
		return ""
	}
	return parent
}

// resultParts: who forges mail chooses a victim by what it publishes. Lookups that
// fail are those of domains of the adversary's own.
func resultParts(m *policy.Match, _ time.Time) []way {
	results := m.Result
	switch {
	case results == nil:
		results = []string{dmarc.Fail.String()}
	case m.Requested != nil: // only what fails has a policy
		results = slices.DeleteFunc(slices.Clone(results), func(r string) bool { return r != dmarc.Fail.String() })
	}
	policies := m.Requested
	if policies == nil {
		policies = []string{"reject", "quarantine", "none"}
	}
	var ways []way
	for _, r := range results {
		switch r {
		case dmarc.Fail.String():
			for _, p := range policies {
				ways = append(ways, way{set: func(g *policy.Given) { g.Policy = p }})
			}
		case passWord: // see passParts
			ways = append(ways, way{set: func(g *policy.Given) { g.Policy = "reject" }})
		case dmarc.StatusNone.String():
			ways = append(ways, way{set: func(g *policy.Given) { g.Policy, g.PolicyDomain = "", "" }})
		case dmarc.PermError.String():
			ways = append(ways, way{set: func(g *policy.Given) {
				if g.FromField == "" || usable(g.FromField) {
					g.Policy, g.Result = "reject", r
				}
			}})
		case dmarc.TempError.String():
			w := way{set: func(g *policy.Given) { g.Policy, g.Result = "", r }}
			if m.Author != nil {
				w.effort = beyond
			}
			ways = append(ways, w)
		}
	}
	return ways
}

// historyParts: a victim that sends mail, and one that does not.
func historyParts(m *policy.Match, _ time.Time) []way {
	low, high := 0, policy.HistoryMessages
	if m.HistoryMin != nil {
		low = *m.HistoryMin
		high = max(low, high)
	}
	if m.HistoryMax != nil {
		high = *m.HistoryMax
	}
	if low > high {
		return nil
	}
	counts := slices.Compact([]int{low, high})
	var ways []way
	for _, n := range counts {
		ways = append(ways, way{set: func(g *policy.Given) { g.History = n }})
	}
	return ways
}

// pathParts is MAIL FROM with the result of SPF, which is about HELO for the null
// path. Whatever does not pass can be had from a domain of the adversary's own, or
// from one that lists other hosts.
func pathParts(m *policy.Match, _ time.Time) []way {
	var ways []way
	for _, word := range spfResults(m) {
		ways = append(ways, pathWith(m, word)...)
		if word == passWord && m.NullPath == nil && m.Not.MailFrom != nil { // a name that MAIL FROM may not have is in HELO
			null := *m
			null.NullPath = ptrTo(true)
			ways = append(ways, pathWith(&null, word)...)
		}
	}
	slices.SortStableFunc(ways, func(a, b way) int { return int(a.effort) - int(b.effort) })
	return ways
}

// spfResults returns the results of SPF that m can be about; "" is any but a pass.
func spfResults(m *policy.Match) []string {
	words := []string{""}
	if m.SPFPass != nil {
		words = []string{passWord}
	}
	if m.SPF != nil {
		words = slices.DeleteFunc(slices.Clone(m.SPF), func(w string) bool { return m.SPFPass != nil && w != passWord })
	}
	return slices.DeleteFunc(words, func(w string) bool { return w == passWord && denied(m.Authenticated) })
}

func pathWith(m *policy.Match, result string) []way {
	null := m.NullPath != nil && *m.NullPath
	kind, no := written, m.Not.MailFrom
	if result == passWord {
		kind, no = bySPF, slices.Concat(no, m.Not.SPFPass)
	}
	switch {
	case null && m.MailFrom != nil:
		return nil
	case null && kind == written:
		return one(func(g *policy.Given) { g.NullPath, g.MailFrom, g.SPF = true, "", result })
	case null:
		return with(names(kind, slices.Concat(m.Not.SPFPass, m.Not.HELO), attackerNames, m.SPFPass, m.HELO), func(g *policy.Given, name string) {
			g.NullPath, g.MailFrom, g.Helo, g.SPF = true, "", name, result
		})
	}
	return with(names(kind, no, attackerNames, m.SPFPass, m.MailFrom), func(g *policy.Given, name string) {
		g.MailFrom, g.SPF = name, result
	})
}

func heloParts(m *policy.Match, _ time.Time) []way {
	return with(names(written, m.Not.HELO, []string{thirdPartyHost, "host.stranger.test", "host.stranger.invalid"}, m.HELO), func(g *policy.Given, name string) {
		if !g.NullPath || g.Helo == "" {
			g.Helo = name
		}
	})
}

// signatureParts are signatures that pass, and the header of a genuine message of
// the author with another body.
func signatureParts(m *policy.Match, _ time.Time) []way {
	ways := one(func(*policy.Given) {})
	if m.DKIMPass != nil {
		if denied(m.Authenticated) {
			return nil
		}
		ways = with(names(byDKIM, m.Not.DKIMPass, nil, m.DKIMPass), func(g *policy.Given, name string) { g.DKIM = append(g.DKIM, "pass:"+name) })
	}
	if m.BodyChanged == nil || !*m.BodyChanged {
		return ways
	}
	for i, w := range ways {
		ways[i].by = strings.TrimPrefix(w.by+"; the header is that of a genuine message of the author, with another body", "; ")
		ways[i].set = func(g *policy.Given) {
			w.set(g)
			for _, a := range g.Author {
				g.DKIM = append(g.DKIM, "body:"+a)
			}
		}
	}
	return ways
}

func chainParts(m *policy.Match, _ time.Time) []way {
	if m.ARCPass == nil {
		return one(func(*policy.Given) {})
	}
	return with(names(byARC, nil, nil, m.ARCPass), func(g *policy.Given, name string) { g.ARC = []string{name} })
}

func clientParts(m *policy.Match, _ time.Time) []way {
	list := addresses(m.Client, m.Not.Client)
	return with(list, func(g *policy.Given, a string) { _ = g.Client.UnmarshalText([]byte(a)) })
}

func clientNameParts(m *policy.Match, _ time.Time) []way {
	if m.IPRev == nil {
		return one(func(*policy.Given) {})
	}
	return with(names(byName, m.Not.IPRev, nil, m.IPRev), func(g *policy.Given, name string) { g.Name = name })
}

func listParts(m *policy.Match, _ time.Time) []way {
	isList := m.IsList != nil && *m.IsList
	if m.ListID == nil {
		return one(func(g *policy.Given) { g.ListHeaders = isList })
	}
	if m.IsList != nil && !*m.IsList {
		return nil
	}
	return with(names(written, m.Not.ListID, nil, m.ListID), func(g *policy.Given, name string) { g.ListID, g.ListHeaders = name, true })
}

func headerParts(m *policy.Match, _ time.Time) []way {
	return one(func(g *policy.Given) {
		g.Automatic = m.Automatic != nil && *m.Automatic
		g.TLS = m.TLS == nil || *m.TLS
		g.EarlierSPFFail = m.EarlierSPFFail != nil && *m.EarlierSPFFail
	})
}

func recipientParts(m *policy.Match, _ time.Time) []way {
	list := names(written, m.Not.RcptDomain, rcptNames, m.RcptDomain)
	ways := with(slices.Clone(list), func(g *policy.Given, name string) { g.Rcpt = []string{name} })
	if len(list) > 0 && (m.RcptDomain != nil || m.Not.RcptDomain != nil) { // one message to two recipients
		ways = append(ways, way{set: func(g *policy.Given) { g.Rcpt = append([]string{list[0].value}, rcptNames[0]) }})
	}
	return ways
}

// rcptNames are recipients that no rule names.
var rcptNames = []string{"rcpt.example", "rcpt.test", "rcpt.invalid"}

func listenerParts(m *policy.Match, _ time.Time) []way {
	if m.Listener == nil {
		return one(func(*policy.Given) {})
	}
	var ways []way
	for _, l := range m.Listener {
		ways = append(ways, way{set: func(g *policy.Given) { g.Listener = l }})
	}
	return ways
}

// timeParts: the adversary waits for the hour that suits him. Once a year, clocks
// leave one out.
func timeParts(m *policy.Match, at time.Time) []way {
	const wait = 15 * 24 * time.Hour
	for t := at; t.Before(at.Add(wait)); t = t.Add(15 * time.Minute) {
		if m.Clock(t) {
			return one(func(g *policy.Given) { g.Time = t })
		}
	}
	for t := at.Truncate(time.Hour); t.Before(at.Add(wait)); t = t.Add(time.Minute) {
		if m.Clock(t) {
			return one(func(g *policy.Given) { g.Time = t })
		}
	}
	return nil
}

// authenticatedParts: whoever has a domain has a signature of it that passes.
func authenticatedParts(m *policy.Match, _ time.Time) []way {
	return one(func(g *policy.Given) {
		if m.Authenticated == nil || !*m.Authenticated || g.SPF == passWord || m.DKIMPass != nil {
			return
		}
		if own := ownName(m.Not.DKIMPass); own != "" {
			g.DKIM = append(g.DKIM, "pass:"+own)
		}
	})
}

// ownName is a domain of the adversary's own that is not denied; "" where all are.
func ownName(no []pattern.Domain) string {
	for _, w := range names(written, no, attackerNames) {
		return w.value
	}
	return ""
}

// passParts are mail that passes: in the name of a domain of the adversary's own, or
// of the party that is named.
func passParts(m *policy.Match, _ time.Time) []way {
	if !slices.Contains(m.Result, passWord) {
		return one(func(*policy.Given) {})
	}
	named := way{}
	if m.Author != nil || m.PolicyDomain != nil {
		named = way{effort: party, by: "the mail passes for its author domain"}
	}
	var ways []way
	known := true
	for _, by := range common(m.PassBy, []string{"dkim", "spf", "both"}, &known) {
		if denied(m.Authenticated) || by != "dkim" && m.SPF != nil && !slices.Contains(m.SPF, passWord) {
			continue
		}
		w := named
		w.set = func(g *policy.Given) { passing(m, g, by) }
		ways = append(ways, w)
	}
	return ways
}

// passing makes the message one that passes by SPF, a signature or both, as far as
// the other keys allow.
func passing(m *policy.Match, g *policy.Given, by string) {
	if m.Author == nil && m.PolicyDomain == nil {
		switch {
		case m.SPFPass != nil || m.MailFrom != nil && by != "dkim":
			g.Author = []string{cmp.Or(g.MailFrom, g.Helo)}
		case m.DKIMPass != nil:
			g.Author = []string{strings.TrimPrefix(g.DKIM[0], "pass:")}
		default:
			g.Author = []string{cmp.Or(ownName(m.Not.Author), attackerName)}
		}
	}
	author := g.Author[0]
	if by != "dkim" {
		g.SPF = passWord
		if m.SPFPass == nil && g.NullPath {
			g.Helo = author
		} else if m.SPFPass == nil && m.MailFrom == nil {
			g.MailFrom = author
		}
	} else if m.SPFPass == nil && m.MailFrom == nil && dmarc.Related(author, g.MailFrom) {
		g.SPF = strings.TrimPrefix(g.SPF, passWord)
	}
	if by != "spf" {
		g.DKIM = append(g.DKIM, "pass:"+author)
	}
}
