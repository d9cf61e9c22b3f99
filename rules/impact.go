package rules

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
	"dmarcgate/policy/replay"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// maxTouched is how many queue ids stand for a change.
const maxTouched = 3

// ruleTouch is what a rule would have done with stored messages, had it been
// enforced.
type ruleTouch struct {
	Rule    string        `json:"rule"`
	Matched int64         `json:"matched"`
	Alone   []*ruleChange `json:"alone"`  // answers that would have changed, with this rule and no other
	InSet   []*ruleChange `json:"in_set"` // the same, among the other rules
	// Unsure is how many messages lack a fact that the rule needs, or that
	// decides what becomes of them without it.
	Unsure  int64      `json:"cannot_tell"`
	Sealers []*sealing `json:"sealers,omitempty"`
}

// ruleChange is messages that would have had another answer.
type ruleChange struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Messages int64    `json:"messages"`
	QueueIDs []string `json:"qids"`
}

func changedOf(list []*ruleChange) (n int64) {
	for _, c := range list {
		n += c.Messages
	}
	return n
}

// addChange counts a message whose answer would be another one.
func addChange(list []*ruleChange, from, to, qid string) []*ruleChange {
	i := slices.IndexFunc(list, func(c *ruleChange) bool { return c.From == from && c.To == to })
	if i < 0 {
		i, list = len(list), append(list, &ruleChange{From: from, To: to, QueueIDs: []string{}})
	}
	c := list[i]
	c.Messages++
	if len(c.QueueIDs) < maxTouched && qid != "" {
		c.QueueIDs = append(c.QueueIDs, qid)
	}
	return list
}

// sealing is what a sealer that a rule trusts has sealed.
type sealing struct {
	Sealer   string `json:"sealer"`
	Sealed   int64  `json:"sealed"`   // chains that pass
	Recorded int64  `json:"recorded"` // in how many it recorded a pass for an author domain
}

// toucher counts what rules would have done with stored messages.
type toucher struct {
	order     []policy.Rule // as the rules are tried
	asked     map[string]*ruleTouch
	sealers   map[string]*sealers // of rules with arc_pass
	listeners map[string]*touching
	elsewhere int64 // messages of listeners that are gone
	seen      int64
}

// touching is the settings of a listener in which all rules only watch, so that
// one decision tells what each of them would have done.
type touching struct {
	watch, bare policy.Settings
	each        map[string]policy.Settings // of one rule alone, without other evidence
}

// newToucher prepares for some rules of a set. Listeners with the profile
// monitor count as strict: nothing would change under monitor.
func newToucher(in site.Site, rules []policy.Rule, chosen []policy.Rule) (*toucher, error) {
	t := &toucher{order: rules, asked: make(map[string]*ruleTouch), sealers: make(map[string]*sealers), listeners: make(map[string]*touching)}
	for _, r := range chosen {
		t.asked[r.ID] = &ruleTouch{Rule: r.ID, Alone: []*ruleChange{}, InSet: []*ruleChange{}}
		if len(r.Match.ARCPass) > 0 {
			t.sealers[r.ID] = newSealers(r)
		}
	}
	watching := slices.Clone(rules)
	watching = slices.DeleteFunc(watching, func(r policy.Rule) bool { return r.Mode == policy.Off && t.asked[r.ID] == nil })
	for i := range watching {
		watching[i].Mode = policy.Shadow
	}
	all, err := policy.NewRules(watching)
	if err != nil {
		return nil, err
	}
	alone := make(map[string]policy.Rules)
	for _, r := range chosen {
		r.Mode = policy.Shadow
		if alone[r.ID], err = policy.NewRules([]policy.Rule{r}); err != nil {
			return nil, err
		}
	}
	for _, l := range in.Config.Listeners {
		t.listeners[l.Name] = newTouching(in, l, all, alone)
	}
	return t, nil
}

func newTouching(in site.Site, l config.Listener, all policy.Rules, alone map[string]policy.Rules) *touching {
	bare := in.Policy(l)
	bare.Observed, bare.Rules = 0, policy.Rules{}
	if bare.Profile == policy.Monitor {
		bare.Profile = policy.Strict
	}
	g := &touching{bare: bare, watch: bare, each: make(map[string]policy.Settings)}
	g.watch.Rules = all
	for id, rules := range alone {
		s := bare
		s.Known, s.Rules = policy.Known{}, rules
		g.each[id] = s
	}
	return g
}

// scan counts the messages of a span whose answer the MTA has.
func (t *toucher) scan(ctx context.Context, store results.Queries, span results.Span) error {
	err := store.Scan(ctx, span, func(r results.Row) error {
		if r.State == results.Answered {
			t.add(&r)
		}
		return ctx.Err()
	})
	for id, s := range t.sealers {
		t.asked[id].Sealers = s.list()
	}
	return err
}

func (t *toucher) add(r *results.Row) {
	g := t.listeners[r.Facts.Listener]
	if g == nil {
		t.elsewhere++
		return
	}
	t.seen++
	t.seal(&r.Facts)
	watched, sure := replay.Again(g.watch, r.Facts)
	if len(watched.Shadow) == 0 && sure {
		return
	}
	bare, bareSure := replay.Again(g.bare, r.Facts)
	m := touched{
		qid: r.Facts.QueueID, order: t.order, bare: bare, bareSure: bareSure, shadow: watched.Shadow,
		setSure: sure && len(watched.Shadow) < policy.MaxNamed, // a decision names no more: there may be more
	}
	for id, n := range t.asked {
		ruleSure := true
		if !m.setSure {
			alone, known := replay.Again(g.each[id], r.Facts)
			ruleSure = known && len(alone.Shadow) > 0 == (m.match(id) >= 0)
		}
		n.add(m, ruleSure)
	}
}

// add counts a message. ruleSure says that it is known whether the rule
// matches.
func (n *ruleTouch) add(m touched, ruleSure bool) {
	matches := m.match(n.Rule) >= 0
	if matches {
		n.Matched++
	}
	switch {
	case !ruleSure || matches && !m.bareSure:
		n.Unsure++
		return
	case !matches:
		return
	}
	if from, to := m.alone(n.Rule); from != to {
		n.Alone = addChange(n.Alone, from, to, m.qid)
	}
	if !m.setSure { // another rule may decide
		n.Unsure++
		return
	}
	if from, to := m.inSet(n.Rule); from != to {
		n.InSet = addChange(n.InSet, from, to, m.qid)
	}
}

// touched is one message that rules match.
type touched struct {
	qid    string
	order  []policy.Rule
	bare   policy.Decision         // without rules
	shadow []policy.ShadowDecision // of all rules that match

	bareSure, setSure bool // that nothing lacks which bare, or what other rules do, hangs on
}

// match returns which of shadow is of a rule, or -1.
func (t touched) match(id string) int {
	return slices.IndexFunc(t.shadow, func(s policy.ShadowDecision) bool { return s.Rule == id })
}

// alone is the answer without rules, and with this one.
func (t touched) alone(id string) (from, to string) {
	return t.answer(func(policy.Rule) bool { return false }), t.answer(func(r policy.Rule) bool { return r.ID == id })
}

// inSet is the answer of the set without this rule, and with it.
func (t touched) inSet(id string) (from, to string) {
	others := func(r policy.Rule) bool { return r.Mode == policy.Enforce && r.ID != id }
	return t.answer(others), t.answer(func(r policy.Rule) bool { return r.ID == id || others(r) })
}

// answer is what the message is answered with when some of the rules count: the
// first that matches decides, but for rules about reports.
func (t touched) answer(counts func(policy.Rule) bool) string {
	action, unreported := t.bare.Action.String(), false
	decided := false
	for _, r := range t.order {
		i := t.match(r.ID)
		switch {
		case i < 0 || !counts(r):
		case r.Action == policy.RuleSkipReport:
			unreported = true
		case !decided:
			action, decided = t.shadow[i].Action.String(), true
		}
	}
	if unreported {
		action += ", not reported"
	}
	return action
}

// sealers counts what the sealers that a rule trusts have sealed.
type sealers struct {
	names map[string]*sealing // by domain; those of suffixes as they come
	below []string            // ".example.org"
}

// maxSealers bounds those that are counted without being named.
const maxSealers = 100

func newSealers(r policy.Rule) *sealers {
	s := &sealers{names: make(map[string]*sealing)}
	add := func(p pattern.Domain) {
		if name := p.String(); strings.HasPrefix(name, ".") {
			s.below = append(s.below, name)
		} else {
			s.names[name] = &sealing{Sealer: name}
		}
	}
	for _, p := range r.Match.ARCPass {
		if m := p.Map(); m == nil {
			add(p)
		} else {
			for p := range m.All() {
				add(p)
			}
		}
	}
	return s
}

// find returns the count of a sealer, nil when it is not trusted.
func (s *sealers) find(domain string) *sealing {
	if n := s.names[domain]; n != nil {
		return n
	}
	if len(s.names) >= maxSealers || !slices.ContainsFunc(s.below, func(b string) bool { return strings.HasSuffix(domain, b) }) {
		return nil
	}
	s.names[domain] = &sealing{Sealer: domain}
	return s.names[domain]
}

// count counts a chain that passes, once for each sealer.
func (s *sealers) count(hops []policy.Sealer) {
	recorded := make(map[*sealing]bool)
	for _, hop := range hops {
		if n := s.find(hop.Domain); n != nil {
			pass := slices.ContainsFunc(hop.Recorded, func(r policy.Recorded) bool { return r.Result == "pass" })
			recorded[n] = recorded[n] || pass
		}
	}
	for n, pass := range recorded {
		n.Sealed++
		if pass {
			n.Recorded++
		}
	}
}

// list returns the counts by name: of a long list, only those that sealed.
func (s *sealers) list() []*sealing {
	var out []*sealing
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		if n := s.names[name]; n.Sealed > 0 || len(s.names) <= maxSealers {
			out = append(out, n)
		}
	}
	return out
}

// seal counts a chain for each rule that trusts one of its sealers.
func (t *toucher) seal(f *policy.Facts) {
	if f.ARC.Result != "pass" {
		return
	}
	for _, s := range t.sealers {
		s.count(f.ARC.Sealers)
	}
}

// nodes shows what a rule would have done.
func (n *ruleTouch) nodes(root *term.Node, days int) {
	m := root.Add("in %s it would match %s", term.Count(days, "day"), term.Count(int(n.Matched), "message"))
	for _, part := range []struct {
		words string
		list  []*ruleChange
	}{{"by itself", n.Alone}, {"among the other rules", n.InSet}} {
		p := m.Add("%s it would change %s", part.words, term.Count(int(changedOf(part.list)), "answer"))
		for _, c := range part.list {
			p.Add("%s to %s: %d, such as %s", c.From, c.To, c.Messages, term.Printable(fmt.Sprint(c.QueueIDs)))
		}
	}
	if n.Unsure > 0 {
		m.Add("cannot tell for %s: what it takes is no longer stored", term.Count(int(n.Unsure), "message"))
	}
	for _, s := range n.Sealers {
		n := m.Add("sealer %s: sealed %s, and recorded a pass in %d", s.Sealer, term.Count(int(s.Sealed), "message"), s.Recorded)
		if s.Sealed > 0 && s.Recorded == 0 {
			n.Text += ": it RECORDS NOTHING that arc_pass could go by"
		}
	}
}
