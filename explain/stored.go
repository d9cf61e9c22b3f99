package explain

import (
	"slices"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/policy/replay"
	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// decidedAgain is what the settings and rules in force now make of a message.
type decidedAgain struct {
	Profile  string          `json:"profile"`
	Same     bool            `json:"same"` // as what was decided then
	Decision policy.Decision `json:"decision"`
}

// RowOptions are those of a message of the store.
type RowOptions struct {
	Listener string // whose settings count; "" is the one that took the message
	Profile  string // instead of the listener's; "" for that
	Rule     string // id of a rule that is tried on the message; "" for none
}

// Row is the explanation of a row, and what would be decided now with the
// settings and rules of in. Nothing is looked up.
func Row(in site.Site, r results.Row, o RowOptions) *Explanation {
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
	results.Answered: "answered", results.Deferred: "deferred: the message was to come again", results.Unanswered: "the answer did not reach the MTA",
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
