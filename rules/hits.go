package rules

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/term"
)

// window is a column of hits: the time since then.
type window struct {
	name  string
	since time.Time
}

// windows are the columns of hits up to now.
func windows(now time.Time) []window {
	const day = 24 * time.Hour
	return []window{{"24h", now.Add(-day)}, {"7d", now.Add(-7 * day)}, {"30d", now.Add(-30 * day)}}
}

// ruleHits is how often a rule matched in one mode.
type ruleHits struct {
	Rule    string           `json:"rule"`
	Mode    string           `json:"mode"`
	Hits    map[string]int64 `json:"hits"`    // by window
	Changed int64            `json:"changed"` // in the longest window, in shadow: messages with which something else was done, but for listeners under monitor
	Last    time.Time        `json:"last,omitzero"`
	Active  bool             `json:"active"` // there is such a rule, in this mode
}

// Hits prints how many messages each rule matched: since a time, which name stands
// for, or without a name in the last day, week and 30 days.
func Hits(ctx context.Context, out io.Writer, o Options, name string, since time.Time) error {
	b, err := load(o)
	if err != nil {
		return err
	}
	store, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	columns := windows(b.opts.Now)
	if name != "" {
		columns = []window{{name, since}}
	}
	list, err := b.hits(ctx, store, columns)
	if err != nil {
		return err
	}
	if o.JSON {
		return json.NewEncoder(out).Encode(list)
	}
	head := "RULE\tMODE"
	for _, w := range columns {
		head += "\t" + term.Printable(w.name)
	}
	return term.Table(out, head+"\tWOULD CHANGE\tLAST MATCH", list, func(h ruleHits) []any {
		cells := []any{h.Rule, h.Mode}
		if !h.Active {
			cells[1] = h.Mode + " (then)"
		}
		for _, w := range columns {
			cells = append(cells, h.Hits[w.name])
		}
		return append(cells, wouldChange(h), lastSeen(h.Last))
	})
}

// wouldChange is only known of rules in shadow: what would have been done
// without a rule that decided is nowhere.
func wouldChange(h ruleHits) any {
	if h.Mode != policy.Shadow.String() {
		return "-"
	}
	return h.Changed
}

// hits counts for each rule and mode, from the shortest window to the longest,
// in the order of the rules. Rules without a match are there, too.
func (b *book) hits(ctx context.Context, store results.Queries, columns []window) ([]ruleHits, error) {
	type key struct{ rule, mode string }
	all := make(map[key]*ruleHits)
	get := func(rule, mode string) *ruleHits {
		k := key{rule, mode}
		if all[k] == nil {
			all[k] = &ruleHits{Rule: rule, Mode: mode, Hits: make(map[string]int64)}
		}
		return all[k]
	}
	for i, w := range columns {
		hits, err := store.RuleHits(ctx, w.since)
		if err != nil {
			return nil, err
		}
		for _, h := range hits {
			at := get(h.Rule, fmt.Sprint(h.Mode))
			at.Hits[w.name] += h.Messages
			if i == len(columns)-1 && !b.watchesOnly(h.Listener) {
				at.Changed += h.Changed
			}
			if h.Last.After(at.Last) {
				at.Last = h.Last
			}
		}
	}
	if err := b.addUnused(ctx, store, get); err != nil {
		return nil, err
	}
	list := []ruleHits{}
	for _, h := range all {
		list = append(list, *h)
	}
	slices.SortFunc(list, func(x, y ruleHits) int {
		return cmp.Or(-compareBool(x.Active, y.Active), cmp.Compare(x.Rule, y.Rule), cmp.Compare(x.Mode, y.Mode))
	})
	return list, nil
}

// watchesOnly reports whether a listener has the profile monitor: there no rule
// would change anything, whatever its mode.
func (b *book) watchesOnly(listener string) bool {
	return b.cfg != nil && slices.ContainsFunc(b.cfg.Listeners, func(l config.Listener) bool {
		return l.Name == listener && l.Profile == policy.Monitor
	})
}

// addUnused adds the rules that can match and did not, with their last match
// of before.
func (b *book) addUnused(ctx context.Context, store results.Queries, get func(rule, mode string) *ruleHits) error {
	uses, err := store.RuleUse(ctx)
	if err != nil {
		return err
	}
	last := make(map[string]time.Time)
	for _, u := range uses {
		last[u.Rule] = u.Last
	}
	for _, r := range b.set.Rules.List() {
		if r.Mode == policy.Off {
			continue
		}
		h := get(r.ID, r.Mode.String())
		h.Active = true
		if h.Last.IsZero() {
			h.Last = last[r.ID]
		}
	}
	return nil
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
