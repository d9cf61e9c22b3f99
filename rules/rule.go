package rules

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/config/rulefile"
	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/pattern"
	"dmarcgate/policy/ruletest"
	"dmarcgate/survey"
	"dmarcgate/term"
)

// Somebody else, for the test of what the rule must not match: names of RFC
// 2606, addresses of RFC 5737.
const elseDomain = "somebody-else.example"

// What tells the two tests apart until they stand in a file.
const (
	likeLine = 1 + iota
	elseLine
)

var elseAddresses = []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, 250}), netip.AddrFrom4([4]byte{198, 51, 100, 250})}

// try makes the rule for an anchor. It is one if it loads, matches the message,
// and its tests pass.
func (p *proposal) try(a anchor) (*added, bool) {
	q := *p
	q.notes = slices.Clone(p.notes)
	r, ok := q.rule(a)
	if !ok || !q.trusted(r) || !q.matches(r) {
		return nil, false
	}
	if q.book.set != nil {
		r = q.fit(r)
	}
	out := &added{ID: r.ID, Key: a.key, Value: a.value, TOML: q.text(r, a), Notes: append([]string{}, q.notes...), rule: r}
	return out, q.loads(out.TOML)
}

// rule is the rule before it is tried.
func (p *proposal) rule(a anchor) (policy.Rule, bool) {
	today := p.book.opts.Now.UTC().Truncate(24 * time.Hour)
	r := policy.Rule{
		ID: p.id(a), Owner: term.Printable(p.wishes.Owner), Comment: "made from the message " + term.Printable(p.wishes.QueueID) + " of " + p.facts.Time.UTC().Format(time.DateOnly),
		Created: today, Expires: today.AddDate(0, 0, p.wishes.Days), Idle: addIdle,
		Mode: policy.Shadow, Priority: addPriority, Action: policy.RuleAccept, Reason: policy.TrustedForwarder,
	}
	if p.facts.IsList {
		r.Reason = policy.MailingList
	}
	g := policy.Given{Policy: p.requested(), Rcpt: p.recipients(), ListHeaders: p.facts.IsList}
	if c := p.facts.Client.Unmap().WithZone(""); c.IsValid() && !p.misses(policy.MissingClient) {
		g.Client = c
	}
	for _, author := range p.failing {
		pat, err := pattern.ParseDomain(author.Domain)
		if err != nil || pat.String() != author.Domain {
			return r, false // a rule without it would be about any author
		}
		g.Author = append(g.Author, author.Domain)
		if !p.wishes.AnyAuthor {
			r.Match.Author = append(r.Match.Author, pat)
		}
		if asked := author.Verdict.Policy.String(); !slices.Contains(r.Match.Requested, asked) {
			r.Match.Requested = append(r.Match.Requested, asked)
		}
	}
	rcpt := g.Rcpt
	if seen := p.wide(); seen != nil {
		rcpt = domainsOf(seen.Recipients)
		if seen.Requested != nil {
			r.Match.Requested = seen.Requested
		}
	}
	for _, d := range rcpt {
		pat, _ := pattern.ParseDomain(d) // of recipients
		r.Match.RcptDomain = append(r.Match.RcptDomain, pat)
	}
	r.Tests = tests(r, g, a)
	a.set(&r.Match, &policy.Given{})
	return r, true
}

// tests are that the message is accepted, and that the same from somebody else
// is not.
func tests(r policy.Rule, g policy.Given, a anchor) []policy.Test {
	like, other := g, g
	a.set(&policy.Match{}, &like)
	other.Client = elseAddresses[0]
	if other.Client == g.Client {
		other.Client = elseAddresses[1]
	}
	other.DKIM, other.SPF, other.MailFrom = []string{"pass:" + elseDomain}, "pass", elseDomain
	nobody := ""
	return []policy.Test{
		{Given: like, Expect: policy.Expect{Rule: &r.ID, Applied: policy.Delivered.String(), Reason: &r.Reason}, Line: likeLine},
		{Given: other, Expect: policy.Expect{Rule: &nobody}, Line: elseLine},
	}
}

// requested is the strictest policy that was asked for.
func (p *proposal) requested() string {
	asked := dmarc.None
	for _, a := range p.failing {
		asked = max(asked, a.Verdict.Policy)
	}
	return asked.String()
}

// recipients are the domains that the rule is for, nil when they are not known
// or too many.
func (p *proposal) recipients() []string {
	var out []string
	for _, d := range p.facts.Recipients {
		pat, err := pattern.ParseDomain(d)
		if err != nil || pat.String() != d {
			return nil
		}
		out = append(out, d)
	}
	if p.misses(policy.MissingRecipients) || len(out) > maxAddRcpt {
		return nil
	}
	return out
}

// domainsOf are the domains of recipients that a source has written to, nil when
// they are too many, or when a rule cannot name one of them.
func domainsOf(seen survey.Few) []string {
	for _, d := range seen.List {
		if pat, err := pattern.ParseDomain(d); err != nil || pat.String() != d {
			return nil
		}
	}
	if seen.More || len(seen.List) > maxAddRcpt {
		return nil
	}
	return seen.List
}

// id is the wish of the operator, or made of the anchor, and not that of
// another rule.
func (p *proposal) id(a anchor) string {
	if p.wishes.ID != "" {
		return p.wishes.ID
	}
	key, _, _ := strings.Cut(a.key, "_")
	base := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, key+"-"+a.value[0])
	const room = len("-1000")
	base = strings.TrimRight(base[:min(len(base), policy.MaxRuleID-room)], "-")
	id := base
	for n := 2; p.taken(id) && n < policy.MaxRules; n++ {
		id = fmt.Sprintf("%s-%d", base, n)
	}
	return id
}

func (p *proposal) taken(id string) bool {
	return p.book.set != nil && slices.ContainsFunc(p.book.set.Rules.List(), func(r policy.Rule) bool { return r.ID == id })
}

// trusted reports whether the anchor is one by itself, whoever the author is: a
// mailer for everybody is none.
func (p *proposal) trusted(r policy.Rule) bool {
	r.Match.Author = nil
	return !p.faulty([]policy.Rule{r})
}

// faulty reports whether there are errors in rules.
func (p *proposal) faulty(rules []policy.Rule) bool {
	found := lint.Rules(rules, p.book.opts.Options)
	return slices.ContainsFunc(found, func(f policy.Finding) bool { return f.Level == policy.Error })
}

// matches reports whether the rule accepts the message that it is made from.
func (p *proposal) matches(r policy.Rule) bool {
	r.Mode = policy.Enforce
	rules, err := policy.NewRules([]policy.Rule{r})
	if err != nil {
		return false
	}
	d := policy.Settings{Profile: policy.Strict, EnforceShare: 100, Quarantine: policy.Tag, Rules: rules}.Decide(p.facts)
	return d.Rule == r.ID && d.Action == policy.Accept
}

// fit makes the rule one of the set: other rules decide about its mail, too.
func (p *proposal) fit(r policy.Rule) policy.Rule {
	others := slices.DeleteFunc(p.book.set.Rules.List(), func(o policy.Rule) bool { return o.ID == r.ID })
	rank := make(map[string]int)
	for _, o := range others {
		rank[o.ID] = o.Priority
	}
	for range len(r.Tests) {
		all, err := policy.NewRules(append(slices.Clone(others), r))
		if err != nil {
			return r
		}
		for _, f := range ruletest.Run(all) {
			winner := f.Got.Rule
			switch {
			case f.Rule != r.ID || winner == "" || winner == r.ID:
			case f.Line == likeLine && rank[winner] < policy.MaxPriority:
				r.Priority = max(r.Priority, rank[winner]+1)
				p.note("the rule %s decides about this mail, too; this one has a higher priority", winner)
			case f.Line == elseLine:
				r.Tests[1].Expect.Rule = &winner
				p.note("the rule %s decides about the same mail from anybody else", winner)
			}
		}
	}
	return r
}

// loads reports whether the text is rules without a fault or an error, with
// tests that pass.
func (p *proposal) loads(text string) bool {
	rules, err := rulefile.Parse("proposal", []byte(text))
	if err != nil || p.faulty(rules) {
		return false
	}
	set, err := policy.NewRules(rules)
	return err == nil && (p.book.set != nil || len(ruletest.Run(set)) == 0)
}

// text writes the rule with comments. Whatever comes from the message has been
// parsed as a domain or an address, or goes through term.Printable.
func (p *proposal) text(r policy.Rule, a anchor) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Made from the message %s of %s, which failed DMARC for %s.", term.Printable(p.wishes.QueueID), term.Stamp(p.facts.Time), term.Printable(p.failing[0].Domain))
	line("# Shadow mode changes nothing: see the impact with dmarcgate rules test %s", r.ID)
	line("# and dmarcgate rules hits, then write mode = \"enforce\".")
	for _, n := range p.notes {
		line("# Note: %s.", term.Printable(n))
	}
	line("[[rule]]")
	line("id       = %s", tomlfile.Quote(r.ID))
	line("owner    = %s", tomlfile.Quote(r.Owner))
	line("comment  = %s", tomlfile.Quote(r.Comment))
	line("created  = %s", r.Created.Format(time.DateOnly))
	line("expires  = %s  # date of the next review", r.Expires.Format(time.DateOnly))
	line("idle     = %s  # warn after this time without a match", tomlfile.Quote(config.Duration(r.Idle).String()))
	line("mode     = %s", tomlfile.Quote(r.Mode.String()))
	line("priority = %d", r.Priority)
	line("action   = %s", tomlfile.Quote(r.Action.String()))
	line("reason   = %s  # reason in reports to the author domain", tomlfile.Quote(string(r.Reason)))
	line("[rule.match]")
	line("# The anchor: %s.", a.why)
	line("%s = %s", a.key, tomlfile.QuoteList(a.value))
	if len(r.Match.Author) > 0 {
		line("author = %s", tomlfile.QuoteList(term.Texts(r.Match.Author)))
	} else {
		line("# No author: matches mail of any author domain from this source.")
	}
	line("requested = %s", tomlfile.QuoteList(r.Match.Requested))
	if len(r.Match.RcptDomain) > 0 {
		line("rcpt_domain = %s", tomlfile.QuoteList(term.Texts(r.Match.RcptDomain)))
	} else {
		line("# rcpt_domain would narrow the rule, but is not stored: see docs/store.md on privacy.")
	}
	for i, t := range r.Tests {
		line("")
		line("# %s", []string{"The message.", "The same from somebody else."}[i])
		b.WriteString(rulefile.TestText(t))
	}
	return b.String()
}
