package rules

import (
	"context"
	"fmt"
	"slices"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/policy/replay"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// maxImpactIDs is how many queue ids stand for a change.
const maxImpactIDs = 3

// impact is what a rule would have done with stored messages, had it been
// enforced.
type impact struct {
	Rule    string    `json:"rule"`
	Matched int64     `json:"matched"`
	Alone   []*change `json:"alone"`  // answers that would have changed, with this rule and no other
	InSet   []*change `json:"in_set"` // the same, among the other rules
	// Unsure is how many messages lack a fact that the rule needs, or that
	// decides what becomes of them with it or without.
	Unsure  int64      `json:"cannot_tell"`
	Sealers []*sealing `json:"sealers,omitempty"`
}

// change is messages that would have had another answer.
type change struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Messages int64    `json:"messages"`
	QueueIDs []string `json:"qids"`
}

// changed is how many messages would have had another answer.
func changed(list []*change) (n int64) {
	for _, c := range list {
		n += c.Messages
	}
	return n
}

// addChange counts a message whose answer would be another one.
func addChange(list []*change, from, to, qid string) []*change {
	i := slices.IndexFunc(list, func(c *change) bool { return c.From == from && c.To == to })
	if i < 0 {
		i, list = len(list), append(list, &change{From: from, To: to, QueueIDs: []string{}})
	}
	c := list[i]
	c.Messages++
	if len(c.QueueIDs) < maxImpactIDs && qid != "" {
		c.QueueIDs = append(c.QueueIDs, qid)
	}
	return list
}

// meter counts the impact of rules on stored messages.
type meter struct {
	impacts   map[string]*impact  // by id of the rule
	sealers   map[string]*sealers // of rules with arc_pass
	listeners map[string]*trial
	elsewhere int64 // messages of listeners that are gone
	seen      int64
	progress  *term.Progress
}

// trial is the settings of a listener under which its messages are decided again.
type trial struct {
	settings policy.Settings // with the rules as they are
	watch    policy.Rules    // the rules, of which each only watches: one decision names all that match
}

// newMeter prepares for some rules of a set. Listeners with the profile monitor
// count as strict: nothing would change under monitor.
func newMeter(in site.Site, rules policy.Rules, chosen []policy.Rule) (*meter, error) {
	m := &meter{impacts: make(map[string]*impact), sealers: make(map[string]*sealers), listeners: make(map[string]*trial)}
	for _, r := range chosen {
		m.impacts[r.ID] = &impact{Rule: r.ID, Alone: []*change{}, InSet: []*change{}}
		if len(r.Match.ARCPass) > 0 {
			m.sealers[r.ID] = newSealers(r)
		}
	}
	watching := slices.DeleteFunc(rules.List(), func(r policy.Rule) bool { return r.Mode == policy.Off && m.impacts[r.ID] == nil })
	for i := range watching {
		watching[i].Mode = policy.Shadow
	}
	watch, err := policy.NewRules(watching)
	if err != nil {
		return nil, err
	}
	for _, l := range in.Config.Listeners {
		m.listeners[l.Name] = &trial{settings: trialSettings(in, l, rules), watch: watch}
	}
	return m, nil
}

func trialSettings(in site.Site, l config.Listener, rules policy.Rules) policy.Settings {
	s := in.Policy(l)
	s.EnforceShare, s.Rules = 100, rules
	if s.Profile == policy.Monitor {
		s.Profile = policy.Strict
	}
	return s
}

// scan counts the messages of a span whose answer the MTA has.
func (m *meter) scan(ctx context.Context, store results.Queries, span results.Span) error {
	read := 0
	defer m.progress.Clear()
	err := store.Scan(ctx, span, func(r results.Row) error {
		read++
		m.progress.Count(read, 0, "message")
		if r.State == results.Answered {
			m.add(&r.Facts)
		}
		return ctx.Err()
	})
	for id, s := range m.sealers {
		m.impacts[id].Sealers = s.list()
	}
	return err
}

func (m *meter) add(f *policy.Facts) {
	t := m.listeners[f.Listener]
	if t == nil {
		m.elsewhere++
		return
	}
	m.seen++
	m.seal(f)
	watched, sure := t.again(t.watch, *f)
	if len(watched.Shadow) == 0 && sure {
		return
	}
	sure = sure && len(watched.Shadow) < policy.MaxNamed // a decision names no more: there may be more
	for id, n := range m.impacts {
		matches, known := named(watched, id), true
		if !sure {
			matches, known = t.matches(id, *f)
		}
		if matches {
			n.Matched++
		}
		switch {
		case !known:
			n.Unsure++
		case matches:
			n.add(t, f)
		}
	}
}

// add counts a message that the rule matches.
func (n *impact) add(t *trial, f *policy.Facts) {
	rules := t.settings.Rules
	from, to, sure := t.change(*f, policy.Rules{}, rules.Trying(n.Rule).Only(n.Rule))
	if sure && from != to {
		n.Alone = addChange(n.Alone, from, to, f.QueueID)
	}
	if sure {
		from, to, sure = t.change(*f, rules.Without(n.Rule), rules.Trying(n.Rule))
		if sure && from != to {
			n.InSet = addChange(n.InSet, from, to, f.QueueID)
		}
	}
	if !sure {
		n.Unsure++
	}
}

// again decides about a message under these rules.
func (t *trial) again(rules policy.Rules, f policy.Facts) (policy.Decision, bool) {
	s := t.settings
	s.Rules = rules
	return replay.Again(s, f)
}

// change is what a message is answered with under some rules, and under others.
func (t *trial) change(f policy.Facts, before, after policy.Rules) (from, to string, sure bool) {
	was, wasSure := t.again(before, f)
	is, isSure := t.again(after, f)
	return answer(was), answer(is), wasSure && isSure
}

// matches reports whether a rule matches a message, and whether this is known
// for sure: also of a message of which the evidence is not.
func (t *trial) matches(id string, f policy.Facts) (matches, known bool) {
	s := t.settings
	s.Rules = t.watch.Only(id)
	matches = named(s.Decide(f), id)
	s.TrustedForwarders = policy.TrustedForwarders{}
	bare, known := replay.Again(s, f)
	return matches, known && named(bare, id) == matches
}

// named reports whether a decision names a rule that watches.
func named(d policy.Decision, id string) bool {
	return slices.ContainsFunc(d.Shadow, func(s policy.ShadowDecision) bool { return s.Rule == id })
}

// answer is what is done with a message, in words.
func answer(d policy.Decision) string {
	if d.Unreported != "" {
		return d.Action.String() + ", not reported"
	}
	return d.Action.String()
}

// nodes shows what a rule would have done.
func (n *impact) nodes(root *term.Node, days int) {
	m := root.Add("in %s it would match %s", term.Count(days, "day"), term.Count(int(n.Matched), "message"))
	for _, part := range []struct {
		words string
		list  []*change
	}{{"by itself", n.Alone}, {"among the other rules", n.InSet}} {
		p := m.Add("%s it would change %s", part.words, term.Count(int(changed(part.list)), "answer"))
		for _, c := range part.list {
			p.Add("%s to %s: %d, such as %s", c.From, c.To, c.Messages, term.Printable(fmt.Sprint(c.QueueIDs)))
		}
	}
	if n.Unsure > 0 {
		m.Add("cannot tell for %s: missing facts", term.Count(int(n.Unsure), "message"))
	}
	for _, s := range n.Sealers {
		n := m.Add("sealer %s: sealed %s, and recorded a pass in %d", s.Sealer, term.Count(int(s.Sealed), "message"), s.Recorded)
		if s.Sealed > 0 && s.Recorded == 0 {
			n.Text += ": RECORDS NOTHING usable for arc_pass"
		}
	}
}
