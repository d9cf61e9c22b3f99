package explain

import (
	"context"
	"fmt"
	"io"
	"slices"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/policy/replay"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// decidedAgain is what the active settings and rules now make of a message.
type decidedAgain struct {
	Profile  string          `json:"profile"`
	Same     bool            `json:"same"` // as what was decided then
	Decision policy.Decision `json:"decision"`
}

// StoredOptions are those of messages of the store.
type StoredOptions struct {
	QueueID  string // of the messages
	AllHosts bool   // look in PostgreSQL, at all hosts
	Listener string // whose settings count; "" is the one that took the message
	Profile  string // instead of the listener's; "" for that
	Rule     string // id of a rule that is tried on the message; "" for none
}

// Stored explains the messages of a queue id, or of its hash: rows of before
// hash_queue_ids was changed have the other one. Nothing is looked up. It is an
// error when there are none.
func Stored(ctx context.Context, warn io.Writer, in site.Site, o StoredOptions) ([]*Explanation, error) {
	if err := knownRule(in, o.Rule); err != nil {
		return nil, err
	}
	store, err := site.OpenStore(ctx, warn, in.Config, o.AllHosts)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	rows, err := site.ByQueueID(ctx, store, in.Config, o.QueueID)
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("the store has no message with the queue id %q", o.QueueID)
	}
	var all []*Explanation
	for _, r := range rows {
		all = append(all, explainRow(in, r, o))
	}
	return all, err
}

// Row explains a message of the store, and what would be decided now with the
// settings and rules of in. Nothing is looked up.
func Row(in site.Site, r results.Row) *Explanation { return explainRow(in, r, StoredOptions{}) }

// explainRow is the explanation of a row, and what would be decided now with the
// settings and rules of in.
func explainRow(in site.Site, r results.Row, o StoredOptions) *Explanation {
	x := &Explanation{stored: true, wanted: o.Rule, Facts: r.Facts, Decision: r.Decision, State: stateWords[r.State], Secret: true}
	name := r.Facts.Listener
	if o.Listener != "" {
		name = o.Listener
	}
	i := slices.IndexFunc(in.Config.Listeners, func(l config.Listener) bool { return l.Name == name })
	if i < 0 {
		return x // the listener is gone, and with it what would be decided
	}
	l := in.Config.Listeners[i]
	if o.Profile != "" {
		if l.Profile.UnmarshalText([]byte(o.Profile)) != nil {
			return x // the command line takes only words that it has
		}
	}
	if x.unruled = in.RuleSet == nil && in.Config.RulesDir != ""; x.unruled {
		return x
	}
	now := in.Policy(l).Decide(r.Facts)
	x.Again = &decidedAgain{Profile: l.Profile.String(), Same: replay.Equal(&r.Decision, &now), Decision: now}
	x.tellRule(in.Policy(l), o.Rule)
	return x
}

var stateWords = map[results.State]string{
	results.Answered: "answered", results.Deferred: "deferred: a retry was expected", results.Unanswered: "the answer did not reach the MTA",
	results.Imported: "imported: another program decided",
}

// again compares a stored decision with the one that would be made now.
func (x *Explanation) again(n *term.Node) {
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
	const when = "decided again with the active settings and rules, profile"
	if x.Again.Same {
		n.Add("%s %s: the same", when, x.Again.Profile)
		return
	}
	now := x.Again.Decision
	d := n.Add("%s %s: DIFFERENT, %s", when, x.Again.Profile, now.Action)
	d.Add("disposition %s, reason %s", now.Disposition, term.OrNone(string(now.Reason)))
	ruleParts(d, now)
	d.Add("why: %s", term.Printable(now.Why))
}
