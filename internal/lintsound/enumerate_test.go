package lintsound

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/policy/ruletest"
)

// looks is what a set of rules looks at: messages that differ in nothing of it
// are one to the rules.
type looks struct {
	client                                                            [][]pattern.Network
	name, helo, mailFrom, spf, dkim, arc, listID, author, place, rcpt [][]pattern.Domain
	nullPath, isList, automatic, tls, body, listener, from, bad, none bool
	ends, sample                                                      bool
	words, authenticated, pass, earlier                               bool
	match                                                             []policy.Match
}

func looksOf(rules []policy.Rule) *looks {
	l := &looks{}
	for _, r := range rules {
		m, n := r.Match, r.Match.Not
		l.client = append(l.client, m.Client, n.Client)
		for _, k := range []struct {
			to        *[][]pattern.Domain
			key, deny []pattern.Domain
		}{
			{&l.name, m.IPRev, n.IPRev}, {&l.helo, m.HELO, n.HELO}, {&l.mailFrom, m.MailFrom, n.MailFrom}, {&l.spf, m.SPFPass, n.SPFPass},
			{&l.dkim, m.DKIMPass, n.DKIMPass}, {&l.arc, m.ARCPass, nil}, {&l.listID, m.ListID, n.ListID}, {&l.author, m.Author, n.Author},
			{&l.place, m.PolicyDomain, n.PolicyDomain}, {&l.rcpt, m.RcptDomain, n.RcptDomain},
		} {
			*k.to = append(*k.to, k.key, k.deny)
		}
		l.nullPath, l.isList, l.automatic = l.nullPath || m.NullPath != nil, l.isList || m.IsList != nil, l.automatic || m.Automatic != nil
		l.tls, l.body, l.listener = l.tls || m.TLS != nil, l.body || m.BodyChanged != nil, l.listener || m.Listener != nil
		l.from = l.from || m.FromField != nil
		l.bad = l.bad || slices.Contains(m.Result, "permerror") || slices.Contains(m.Result, "temperror")
		l.none = l.none || slices.Contains(m.Result, "none")
		l.sample = l.sample || r.Sample > 0
		l.ends = l.ends || !r.Expires.IsZero()
		l.words, l.authenticated, l.earlier = l.words || m.SPF != nil, l.authenticated || m.Authenticated != nil, l.earlier || m.EarlierSPFFail != nil
		l.pass = l.pass || slices.Contains(m.Result, "pass")
		l.match = append(l.match, m)
	}
	return l
}

// sees is which of the lists hold a domain.
func sees(lists [][]pattern.Domain, domain string) string {
	var b strings.Builder
	for _, list := range lists {
		if list != nil {
			b.WriteByte("01"[index(slices.ContainsFunc(list, func(p pattern.Domain) bool { return p.Holds(domain, dmarc.PublicSuffix().Org(domain)) }))])
		}
	}
	return b.String()
}

func index(v bool) int {
	if v {
		return 1
	}
	return 0
}

// self says whether a pass for the domain is an aligned one of an author that is
// no victim.
func self(domain string) string {
	switch dmarc.PublicSuffix().Org(domain) {
	case own:
		return own
	case mailbox:
		return mailbox
	}
	return ""
}

func (l *looks) connection(a arranged) string {
	var b strings.Builder
	for _, list := range l.client {
		b.WriteByte("01"[index(slices.ContainsFunc(list, func(n pattern.Network) bool { return holdsAddr(n, a) }))])
	}
	return b.String() + sees(l.name, a.name)
}

func holdsAddr(n pattern.Network, a arranged) bool {
	if p, ok := n.Prefix(); ok {
		return p.Contains(a.client)
	}
	return n.Map() != nil && n.Map().Holds(a.client)
}

func (l *looks) envelope(a arranged) string {
	from := "author"
	if a.mailFrom != "" || a.nullPath {
		from = sees(l.mailFrom, a.mailFrom)
	}
	if !slices.ContainsFunc(l.mailFrom, func(list []pattern.Domain) bool { return list != nil }) {
		from = ""
	}
	spf := ""
	if l.words {
		spf = a.spf + "/"
	}
	if a.spf == "pass" {
		if l.authenticated {
			spf = "pass/"
		}
		checked := a.mailFrom
		if a.nullPath {
			checked = a.helo
		}
		spf += self(checked)
		if s := sees(l.spf, checked); strings.Contains(s, "1") {
			spf += s
		}
	}
	return fmt.Sprint(sees(l.helo, a.helo), "/", from, "/", a.nullPath && l.nullPath, "/", spf)
}

func (l *looks) signatures(a arranged) string {
	passes := make([]byte, len(l.dkim))
	var other []string
	for _, s := range a.dkim {
		result, domain, _ := strings.Cut(s, ":")
		if result == "body" {
			if l.body {
				other = append(other, s)
			}
			continue
		}
		if d := self(domain); d != "" {
			other = append(other, d)
		}
		for i, list := range l.dkim {
			if sees([][]pattern.Domain{list}, domain) == "1" {
				passes[i] = 1
			}
		}
	}
	if l.authenticated && a.authenticates() {
		other = append(other, "pass")
	}
	return string(passes) + joined(other)
}

func (l *looks) chain(a arranged) string {
	if len(a.arc) == 0 {
		return strings.Repeat("0", len(l.arc))
	}
	var b strings.Builder
	for _, list := range l.arc {
		all := list != nil
		for _, d := range a.arc {
			all = all && sees([][]pattern.Domain{list}, d) == "1"
		}
		b.WriteByte("01"[index(all)])
	}
	return b.String()
}

func (l *looks) fields(a arranged) string {
	return fmt.Sprint(sees(l.listID, a.listID), a.listHeaders && l.isList, a.automatic && l.automatic, a.earlier && l.earlier)
}

// distinct keeps the plain one, which is the first, and of those that look the
// same the one that takes least.
func distinct(all []arranged, look func(arranged) string) []arranged {
	best := map[string]int{look(all[0]): 0}
	out := all[:1:1]
	for _, a := range all[1:] {
		if a.by > customer {
			continue
		}
		key := look(a)
		i, seen := best[key]
		switch {
		case !seen:
			best[key] = len(out)
			out = append(out, a)
		case a.by < out[i].by:
			out[i] = a
		}
	}
	return out
}

func distinctOf[T any](all []T, look func(T) string) []T {
	seen := make(map[string]bool)
	var out []T
	for _, v := range all {
		if key := look(v); !seen[key] {
			seen[key] = true
			out = append(out, v)
		}
	}
	return out
}

// cores are the classes as far as authors and their records go.
func (l *looks) cores() []class {
	lists := distinctOf(authorLists, func(list []string) string {
		var b strings.Builder
		for _, d := range list {
			b.WriteString(cmp.Or(self(d), "victim") + sees(l.author, d) + sees(l.place, d) + ",")
		}
		return b.String()
	})
	var out []class
	for _, list := range lists {
		for _, p := range []string{"reject", "quarantine", "none"} {
			out = append(out, class{authors: list, policy: p})
		}
		if l.none {
			out = append(out, class{authors: list})
		}
		if l.bad {
			out = append(out, class{authors: list, result: "permerror"})
		}
		if len(list) == 1 && list[0] == news {
			out = append(out, class{authors: list, policy: "reject", policyDomain: bank})
		}
		if l.from && len(list) == 1 {
			out = append(out, class{authors: list, policy: "reject", from: policy.FromSeveralMailboxes})
		}
	}
	if l.pass {
		out = append(out, passing(lists)...)
	}
	if l.bad { // nobody makes the lookups of a domain that is not its own fail
		out = append(out, class{authors: []string{own}, result: "temperror"})
	}
	if l.bad || l.from {
		for _, from := range unusable {
			out = append(out, class{from: from})
		}
	}
	return out
}

// passing are classes of mail that passes.
func passing(lists [][]string) []class {
	var out []class
	for _, list := range append(lists, []string{own}) {
		ways := []passed{replayed, byAccount, byGateway}
		switch list[0] {
		case own:
			ways = ownPasses
		case partner: // whose record names nobody else
			ways = ways[:1]
		}
		for _, p := range ways {
			if len(list) == 1 {
				out = append(out, class{authors: list, policy: "reject", passed: p})
			}
		}
	}
	return out
}

// chosen are the classes as far as anybody chooses.
func (l *looks) chosen() []class {
	out := []class{{rcpt: []string{corp}, listener: "mx", time: times[0], seed: 1}}
	vary := func(when bool, n int, set func(*class, int)) {
		if !when {
			return
		}
		var more []class
		for _, c := range out {
			for i := range n {
				set(&c, i)
				more = append(more, c)
			}
		}
		out = more
	}
	rcpts := distinctOf([][]string{{corp}, {branch}, {corp, branch}}, func(list []string) string {
		var b strings.Builder
		for _, d := range list {
			b.WriteString(sees(l.rcpt, d) + ",")
		}
		return b.String()
	})
	if !slices.ContainsFunc(l.rcpt, func(list []pattern.Domain) bool { return list != nil }) {
		rcpts = rcpts[:1]
	}
	vary(true, len(rcpts), func(c *class, i int) { c.rcpt = rcpts[i] })
	vary(l.listener, 2, func(c *class, i int) { c.listener = []string{"mx", "out"}[i] })
	vary(l.tls, 2, func(c *class, i int) { c.tls = i == 1 })
	clock := distinctOf(times, l.clock)
	vary(true, len(clock), func(c *class, i int) { c.time = clock[i] })
	counts := distinctOf([]int{0, 1, 60, 110, 150}, l.history)
	vary(true, len(counts), func(c *class, i int) { c.history = counts[i] })
	vary(l.sample, 4, func(c *class, i int) { c.seed = uint64(i + 1) })
	vary(true, 2, func(c *class, i int) { c.profile = []policy.Profile{policy.Strict, policy.Conformant}[i] })
	return out
}

func (l *looks) clock(at time.Time) string {
	var b strings.Builder
	if l.ends {
		b.WriteByte("01"[index(at.After(times[1]))])
	}
	for _, m := range l.match {
		b.WriteByte("01"[index(m.Clock(at))])
	}
	return b.String()
}

// history: under the profile conformant 50 messages are evidence.
func (l *looks) history(n int) string {
	var b strings.Builder
	for _, m := range l.match {
		if m.HistoryMin != nil {
			b.WriteByte("01"[index(n >= *m.HistoryMin)])
		}
		if m.HistoryMax != nil {
			b.WriteByte("01"[index(n <= *m.HistoryMax)])
		}
	}
	if b.Len() > 0 {
		b.WriteByte("01"[index(n >= policy.HistoryMessages)])
	}
	return b.String()
}

// messages makes facts, and keeps those that it made.
type messages struct{ known map[string]*policy.Facts }

func (m *messages) facts(c class, a arranged) policy.Facts {
	key := strings.Join([]string{joined(c.authors), string(c.from), c.policy, c.policyDomain, c.result, a.helo, a.mailFrom, string("nN"[index(a.nullPath)]), a.spf, c.passed.by, c.passed.from.name, joined(a.dkim), joined(a.arc), strconv.Itoa(c.history)}, "/")
	f, ok := m.known[key]
	if !ok {
		made := ruletest.Facts(c.given(a), today)
		f = &made
		if len(m.known) > 20_000 {
			clear(m.known)
		}
		m.known[key] = f
	}
	out := *f
	out.Time, out.Listener, out.TLS, out.Seed, out.Recipients = c.time, c.listener, c.tls, c.seed, c.rcpt
	if !c.passed.from.client.IsValid() {
		out.Client, out.ClientName = a.client, a.name
	}
	out.ListID, out.IsList, out.Automatic, out.EarlierSPFFail = a.listID, a.listHeaders, a.automatic, a.earlier
	return out
}

// world is every message that is different to a set of rules.
type world struct {
	cores, chosen                     []class
	conns, envs, signed, seals, wrote []arranged
}

func worldOf(rules []policy.Rule) *world {
	l := looksOf(rules)
	return &world{
		cores: l.cores(), chosen: l.chosen(),
		conns: distinct(allConnections, l.connection), envs: distinct(allEnvelopes, l.envelope), signed: distinct(allSigned, l.signatures),
		seals: distinct(allSealed, l.chain), wrote: distinct(allWritten, l.fields),
	}
}

var allConnections, allEnvelopes, allSigned, allSealed, allWritten = connections(), envelopes(), signed(), sealed(), written()

// factors are what a third party arranges, each apart from the others.
func (w *world) factors() [][]arranged {
	return [][]arranged{w.conns, w.envs, w.signed, w.seals, w.wrote}
}

// plain is the message in which nothing is arranged.
func (w *world) plain() (a arranged) {
	for _, f := range w.factors() {
		a = a.join(f[0])
	}
	return a
}

// arrangements are those of every fact together.
func (w *world) arrangements() []arranged {
	out := []arranged{{}}
	for _, factor := range w.factors() {
		var more []arranged
		for _, a := range out {
			for _, b := range factor {
				more = append(more, a.join(b))
			}
		}
		out = more
	}
	return out
}

func (w *world) size() int {
	n := len(w.cores) * len(w.chosen)
	for _, f := range w.factors() {
		n *= len(f)
	}
	return n
}

// classOf puts the two halves of a class together.
func classOf(core, chosen class) class {
	c := chosen
	c.authors, c.from, c.policy, c.policyDomain, c.result, c.passed = core.authors, core.from, core.policy, core.policyDomain, core.result, core.passed
	return c
}

// each calls do for every message of the world, or for limit of them where they are
// more; it stops when do says so.
func (w *world) each(r *rand.Rand, limit int, do func(class, arranged) bool) {
	if w.size() > limit {
		w.some(r, limit, do)
		return
	}
	arrangements := w.arrangements()
	for _, core := range w.cores {
		for _, chosen := range w.chosen {
			for _, a := range arrangements {
				if !do(classOf(core, chosen), a) {
					return
				}
			}
		}
	}
}

// some draws messages. Each fact is the plain one in half of them: most gains take
// little.
func (w *world) some(r *rand.Rand, n int, do func(class, arranged) bool) {
	factors := w.factors()
	for range n {
		var a arranged
		for _, f := range factors {
			i := 0
			if r.IntN(2) == 0 {
				i = r.IntN(len(f))
			}
			a = a.join(f[i])
		}
		if !do(classOf(w.cores[r.IntN(len(w.cores))], w.chosen[r.IntN(len(w.chosen))]), a) {
			return
		}
	}
}
