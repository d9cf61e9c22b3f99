package rules

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/results"
	"dmarcgate/scope"
	"dmarcgate/site"
	"dmarcgate/survey"
	"dmarcgate/term"
)

// What the rule gets that add proposes.
const (
	addIdle     = 45 * 24 * time.Hour
	addPriority = 100 // as without the key
	maxAddRcpt  = 20  // domains of recipients that are named; with more, none is
)

// added is a rule that is proposed.
type added struct {
	ID    string   `json:"id"`
	Key   string   `json:"anchor"` // key of [rule.match]
	Value []string `json:"value"`
	TOML  string   `json:"toml"`
	Notes []string `json:"notes"` // what the operator should know; in the text, too

	// Of the messages that failed from the source of the message, those that the
	// rule is about.
	Covers int64 `json:"covers"`
	Failed int64 `json:"failed"`

	rule policy.Rule
}

// Add prints a rule for mail like a stored message, to be put into a file.
func Add(ctx context.Context, out io.Writer, o Options, w Wishes) error {
	b, err := locate(o)
	if errors.Is(err, errNoRules) { // the first rule of a site
		b, err = withoutRules(o)
	}
	if err != nil {
		return err
	}
	if b.cfg == nil {
		return fmt.Errorf("%s: %w", o.Config, errNoConfig)
	}
	if b.dir != "" {
		b.opts.SkipTests = true
		if b.set, err = site.LoadRules(b.cfg, b.dir, b.opts); err != nil {
			fmt.Fprintf(o.Warn, "cannot read the existing rules; ids and priorities not checked: %v\n", err)
		}
	}
	w.Owner = cmp.Or(w.Owner, "postmaster@"+site.Name(b.cfg))
	store, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	rows, err := site.ByQueueID(ctx, store, b.cfg, w.QueueID)
	if err != nil {
		return err
	}
	a, err := b.survey(ctx, store, rows, w)
	if err != nil {
		return err
	}
	for _, n := range a.Notes {
		fmt.Fprintln(o.Warn, "note: "+term.Printable(n))
	}
	if o.JSON {
		return json.NewEncoder(out).Encode(a)
	}
	_, err = io.WriteString(out, a.TOML)
	return err
}

// survey proposes a rule, and says how much of what its source brings it is
// about.
func (b *book) survey(ctx context.Context, store survey.Scanner, rows []results.Row, w Wishes) (*added, error) {
	if len(rows) == 0 {
		return b.propose(rows, w)
	}
	facts := &rows[len(rows)-1].Facts
	suffixes := dmarc.PublicSuffix()
	src := survey.SourceOf(facts, suffixes)
	now := b.opts.Now
	s := survey.New(store, results.Span{From: now.AddDate(0, 0, -survey.Days), To: now}, suffixes, src)
	if err := s.Look(ctx); err != nil {
		return nil, err
	}
	list, err := b.proposals(rows, w, s.Of(src))
	if err != nil {
		return nil, err
	}
	if err := measure(ctx, s, map[survey.Source][]*added{src: list}); err != nil {
		return nil, err
	}
	a := list[0]
	if w.AnyAuthor {
		a = widest(list)
	}
	a.comment("It " + s.Coverage(src, a.Covers) + ".")
	return a, nil
}

// withoutRules is the book of a site that has none.
func withoutRules(o Options) (*book, error) {
	cfg, err := config.Load(o.Config)
	if err != nil {
		return nil, err
	}
	return &book{ask: o, cfg: cfg, opts: site.RuleOptions(cfg)}, nil
}

// Wishes are what the operator says of the rule that Add proposes.
type Wishes struct {
	QueueID   string // of the stored message; the newest that has it counts
	ID        string // of the rule; "" is made from its anchor
	Owner     string // who is responsible for it; "" is the postmaster
	Days      int    // after how many days it expires
	AnyAuthor bool   // it is about mail of any author domain that the source of the message brings
}

// propose makes the narrowest rule with an anchor that accepts mail like the
// newest of the rows. The error says why there is none.
func (b *book) propose(rows []results.Row, w Wishes) (*added, error) {
	list, err := b.proposals(rows, w, nil)
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// proposals makes a rule for each anchor that the newest of the rows has, the
// narrowest first: there is one, or an error says why not. seen is what is known
// of the source of the message; nil is nothing.
func (b *book) proposals(rows []results.Row, w Wishes, seen *survey.Sighting) ([]*added, error) {
	if len(rows) == 0 {
		return nil, fmt.Errorf("the store has no message with the queue id %q", term.Printable(w.QueueID))
	}
	row := rows[len(rows)-1]
	failing, err := survey.NeedsRule(&row)
	if err != nil {
		return nil, err
	}
	p := &proposal{book: b, wishes: w, facts: row.Facts, failing: failing, seen: seen}
	if len(rows) > 1 {
		p.note("%d messages have this queue id; using the newest, of %s", len(rows), term.Stamp(row.Facts.Time))
	}
	if seen != nil && !seen.Forwards() && !p.vouched() {
		p.note("this message looks forged: its source brought no mail that %d organizations or more have signed, "+
			"and none of which only the body was changed, so nothing shows that it forwards mail", survey.ForwarderOrgs)
	}
	var list []*added
	for _, a := range p.anchors() {
		if out, ok := p.try(a); ok {
			list = append(list, out)
		}
	}
	if list == nil {
		return nil, p.unanchored()
	}
	return list, nil
}

// vouched reports whether somebody whom the configuration names vouches for the
// message.
func (p *proposal) vouched() bool {
	s := site.Site{Config: p.book.cfg}.Policy(p.book.cfg.Listeners[0])
	return survey.Genuine(survey.Weigher(s)(p.facts))
}

// proposal is a rule in the making.
type proposal struct {
	book    *book
	wishes  Wishes
	facts   policy.Facts
	failing []policy.Author
	seen    *survey.Sighting // nil when nothing is known
	notes   []string
}

// wide is what the source has brought when the rule is to be about all of it,
// otherwise nil.
func (p *proposal) wide() *survey.Sighting {
	if p.wishes.AnyAuthor {
		return p.seen
	}
	return nil
}

func (p *proposal) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// anchor is what ties a rule to the sender of the message.
type anchor struct {
	key   string
	value []string
	why   string
	set   func(*policy.Match, *policy.Given)
}

// anchors returns what could be one, the best first.
func (p *proposal) anchors() []anchor {
	return slices.Concat(p.signatures(), p.envelope(), p.chain(), p.name(), p.address())
}

// signatures of somebody who is not the author: a forwarder or a list that signs
// what it sends.
func (p *proposal) signatures() (out []anchor) {
	for _, s := range p.facts.DKIM {
		pat, ok := p.thirdParty(s.Domain)
		if s.Result != "pass" || s.Testing || !ok {
			continue
		}
		out = append(out, anchor{
			key: "dkim_pass", value: []string{s.Domain}, why: "its signature passed; nobody else can sign so",
			set: func(m *policy.Match, g *policy.Given) {
				m.DKIMPass, g.DKIM = []pattern.Domain{pat}, []string{"pass:" + s.Domain}
			},
		})
	}
	return out
}

func (p *proposal) envelope() []anchor {
	d := p.facts.SPF.Domain
	pat, ok := p.thirdParty(d)
	if p.facts.SPF.Result != "pass" || !ok {
		return nil
	}
	return []anchor{{
		key: "spf_pass", value: []string{d}, why: "SPF passed for this envelope sender; who sends for it says its DNS",
		set: func(m *policy.Match, g *policy.Given) {
			m.SPFPass, g.SPF, g.MailFrom = []pattern.Domain{pat}, "pass", d
		},
	}}
}

// thirdParty is the pattern of a domain that is not of an author: mail that is
// the author's own would have passed.
func (p *proposal) thirdParty(domain string) (pattern.Domain, bool) {
	pat, err := pattern.ParseDomain(domain)
	if err != nil || pat.String() != domain {
		return pattern.Domain{}, false
	}
	org := dmarc.PublicSuffix().Org(domain)
	for _, a := range p.facts.Authors {
		if org == "" || org == dmarc.PublicSuffix().Org(a.Domain) || domain == a.Domain || scope.AtOrBelow(domain, a.Org) {
			return pattern.Domain{}, false
		}
	}
	return pat, true
}

// chain is the sealers of ARC, if it passes. Whether one of them recorded a pass
// shows when the rule is tried.
func (p *proposal) chain() []anchor {
	var names []string
	var patterns []pattern.Domain
	for _, s := range p.facts.ARC.Sealers {
		pat, err := pattern.ParseDomain(s.Domain)
		if err != nil || pat.String() != s.Domain {
			return nil
		}
		if !slices.Contains(names, s.Domain) {
			names, patterns = append(names, s.Domain), append(patterns, pat)
		}
	}
	if p.facts.ARC.Result != "pass" || len(names) == 0 {
		return nil
	}
	return []anchor{{
		key: "arc_pass", value: names, why: "they sealed the message, and saw it pass before it was changed",
		set: func(m *policy.Match, g *policy.Given) { m.ARCPass, g.ARC = patterns, names },
	}}
}

func (p *proposal) name() []anchor {
	name := p.facts.ClientName
	pat, err := pattern.ParseDomain(name)
	if err != nil || pat.String() != name || !strings.Contains(name, ".") {
		return nil
	}
	names, patterns := []string{name}, []pattern.Domain{pat}
	if seen := p.wide(); seen != nil {
		for _, other := range seen.Names.List {
			if also, err := pattern.ParseDomain(other); err == nil && also.String() == other && strings.Contains(other, ".") && other != name && sourceName(other) == sourceName(name) {
				names, patterns = append(names, other), append(patterns, also)
			}
		}
	}
	return []anchor{{
		key: "iprev", value: names, why: "the client's name, which its address confirms",
		set: func(m *policy.Match, g *policy.Given) { m.IPRev, g.Name = patterns, name },
	}}
}

// sourceName is the organization of a client's name.
func sourceName(name string) string { return dmarc.PublicSuffix().Org(name) }

func (p *proposal) address() []anchor {
	client := p.facts.Client.Unmap().WithZone("")
	if !client.IsValid() || p.misses(policy.MissingClient) {
		return nil
	}
	all := []netip.Addr{client}
	if seen := p.wide(); seen != nil {
		for _, text := range seen.Addresses.List {
			if a, err := netip.ParseAddr(text); err == nil && a != client && survey.ClientNetwork(a) == survey.ClientNetwork(client) {
				all = append(all, a)
			}
		}
	}
	var value []string
	var nets []pattern.Network
	for _, a := range all {
		host := netip.PrefixFrom(a, a.BitLen())
		value, nets = append(value, host.String()), append(nets, pattern.NetworkOf(host))
	}
	return []anchor{{
		key: "client", value: value, why: "nothing else tells who sent it; the address may change",
		set: func(m *policy.Match, _ *policy.Given) { m.Client = nets },
	}}
}

func (p *proposal) misses(l policy.MissingFacts) bool { return p.facts.AllMissing()&l != 0 }

// unanchored says why there is no rule.
func (p *proposal) unanchored() error {
	text := "nothing ties this message to its sender: no signature or SPF of a forwarder passed, no sealer of ARC recorded a pass"
	switch {
	case p.misses(policy.MissingClient):
		text += ", and of the client only the network is still stored"
	case !p.facts.Client.IsValid():
		text += ", and the client has no address"
	default:
		text += ", and no rule about the client holds"
	}
	return errors.New(text + ". All other data is under the control of the sender, so no safe rule exists")
}
