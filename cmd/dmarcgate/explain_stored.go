package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// stored explains the messages of a queue id from the store: nothing is looked
// up. The daemon may run beside it.
func (c *explainCmd) stored(e *env) error {
	in, err := c.storedSite(e)
	if err != nil {
		return err
	}
	if err := c.knownRule(in); err != nil {
		return err
	}
	rows, err := storedRows(e, in.Config, c.AllHosts, c.QID)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("the store has no message with the queue id %q", c.QID)
	}
	for _, r := range rows {
		if err := c.print(e, c.recall(in, r)); err != nil {
			return err
		}
	}
	return nil
}

// storedSite is the configuration and its rules. Rules that cannot be read are
// told and left out, unless --rule asks for one: what is stored can be shown
// without them, and only what would be decided now cannot.
func (c *explainCmd) storedSite(e *env) (site.Site, error) {
	cfg, err := c.load(e)
	if err != nil {
		return site.Site{}, err
	}
	in, err := site.With(cfg, site.RulePart)
	if err == nil || c.Rule != "" {
		return in, err
	}
	site.TellProblems(e.stderr, err)
	fmt.Fprintln(e.stderr, "dmarcgate: going on without the rules: what would be decided now is not shown")
	return site.With(cfg, 0)
}

// storedRows returns the rows of a queue id, and of its hash: rows of before
// hash_queue_ids was changed have the other one.
func storedRows(e *env, cfg *config.Config, allHosts bool, qid string) ([]results.Row, error) {
	ctx := context.Background()
	store, err := site.OpenStore(ctx, e.stderr, cfg, allHosts)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return site.ByQueueID(ctx, store, cfg, qid)
}

// decidedAgain is what the settings and rules in force now make of a message.
type decidedAgain struct {
	Profile  string          `json:"profile"`
	Same     bool            `json:"same"` // as what was decided then
	Decision policy.Decision `json:"decision"`
}

// recall is the explanation of a row, and what would be decided now.
func (c *explainCmd) recall(in site.Site, r results.Row) *explanation {
	x := &explanation{stored: true, wanted: c.Rule, Facts: r.Facts, Decision: r.Decision, State: stateWords[r.State], Secret: true}
	name := r.Facts.Listener
	if c.Listener != "" {
		name = c.Listener
	}
	i := slices.IndexFunc(in.Config.Listeners, func(l config.Listener) bool { return l.Name == name })
	if i < 0 {
		return x // the listener is gone, and with it what would be decided
	}
	l := in.Config.Listeners[i]
	if c.Profile != "" {
		if l.Profile.UnmarshalText([]byte(c.Profile)) != nil {
			return x // the command line takes only words that it has
		}
	}
	if x.unruled = in.RuleSet == nil && in.Config.RulesDir != ""; x.unruled {
		return x
	}
	now := in.Policy(l).Decide(r.Facts)
	x.Again = &decidedAgain{Profile: l.Profile.String(), Same: sameDecision(r.Decision, now), Decision: now}
	x.tellRule(in.Policy(l), c.Rule)
	return x
}

var stateWords = map[results.State]string{
	results.Answered: "answered", results.Deferred: "deferred: the message was to come again", results.Unanswered: "the answer did not reach the MTA",
	results.Imported: "imported: another program decided",
}

// sameDecision compares decisions as they are stored: an empty list is none.
func sameDecision(a, b policy.Decision) bool {
	var one, two any
	for _, d := range []struct {
		from policy.Decision
		to   *any
	}{{a, &one}, {b, &two}} {
		text, err := json.Marshal(d.from)
		if err != nil || json.Unmarshal(text, d.to) != nil {
			return false
		}
	}
	return reflect.DeepEqual(one, two)
}

// again compares a stored decision with the one that would be made now.
func (x *explanation) again(n *term.Node) {
	if !x.stored {
		return
	}
	n.Add("recorded %s, state %s", x.Facts.Time.UTC().Format("2006-01-02 15:04:05 UTC"), x.State)
	if x.unruled {
		n.Add("decided again: not possible, the rules cannot be read")
		return
	}
	if x.Again == nil {
		n.Add("decided again: not possible, the configuration has no listener %q", term.Printable(x.Facts.Listener))
		return
	}
	const when = "decided again with the settings and rules in force now, profile"
	if x.Again.Same {
		n.Add("%s %s: the same", when, x.Again.Profile)
		return
	}
	now := x.Again.Decision
	d := n.Add("%s %s: DIFFERENT, %s", when, x.Again.Profile, now.Action)
	d.Add("disposition %s, override %s", now.Disposition, term.OrNone(string(now.Override)))
	ruleParts(d, now)
	d.Add("because: %s", term.Printable(now.Reason))
}
