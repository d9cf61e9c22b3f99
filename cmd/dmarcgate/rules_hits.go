package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/term"
)

type rulesHitsCmd struct {
	rulesFlags
	Since string `help:"Only from then on: 24h, 7d, 2026-11-22 or 2026-11-22T09:30:00Z."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *rulesHitsCmd) Validate() error {
	_, err := parseWhen("since", c.Since, time.Now())
	return err
}

// hitWindows are the columns of hits without --since.
var hitWindows = []string{"24h", "7d", "30d"}

// ruleHits is how often a rule matched in one mode.
type ruleHits struct {
	Rule    string           `json:"rule"`
	Mode    string           `json:"mode"`
	Hits    map[string]int64 `json:"hits"`    // by window
	Changed int64            `json:"changed"` // in the longest window, in shadow: messages with which something else was done, but for listeners under monitor
	Last    time.Time        `json:"last,omitzero"`
	InForce bool             `json:"in_force"` // there is such a rule, in this mode
}

func (c *rulesHitsCmd) Run(e *env) error {
	ctx, stop := c.context()
	defer stop()
	b, err := c.load()
	if err != nil {
		return err
	}
	store, err := b.open(ctx, e, c.rulesFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	windows := hitWindows
	if c.Since != "" {
		windows = []string{c.Since}
	}
	list, err := b.hits(ctx, store, windows)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(list)
	}
	head := "RULE\tMODE"
	for _, w := range windows {
		head += "\t" + term.Printable(w)
	}
	return term.Table(e.stdout, head+"\tWOULD CHANGE\tLAST MATCH", list, func(h ruleHits) []any {
		cells := []any{h.Rule, h.Mode}
		if !h.InForce {
			cells[1] = h.Mode + " (then)"
		}
		for _, w := range windows {
			cells = append(cells, h.Hits[w])
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
func (b *ruleBook) hits(ctx context.Context, store results.Queries, windows []string) ([]ruleHits, error) {
	type key struct{ rule, mode string }
	all := make(map[key]*ruleHits)
	get := func(rule, mode string) *ruleHits {
		k := key{rule, mode}
		if all[k] == nil {
			all[k] = &ruleHits{Rule: rule, Mode: mode, Hits: make(map[string]int64)}
		}
		return all[k]
	}
	for i, w := range windows {
		since, err := parseWhen("since", w, b.opts.Now)
		if err != nil {
			return nil, err
		}
		hits, err := store.RuleHits(ctx, since)
		if err != nil {
			return nil, err
		}
		for _, h := range hits {
			at := get(h.Rule, fmt.Sprint(h.Mode))
			at.Hits[w] += h.Messages
			if i == len(windows)-1 && !b.watchesOnly(h.Listener) {
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
		return cmp.Or(-compareBool(x.InForce, y.InForce), cmp.Compare(x.Rule, y.Rule), cmp.Compare(x.Mode, y.Mode))
	})
	return list, nil
}

// watchesOnly reports whether a listener has the profile monitor: there no rule
// would change anything, whatever its mode.
func (b *ruleBook) watchesOnly(listener string) bool {
	return b.cfg != nil && slices.ContainsFunc(b.cfg.Listeners, func(l config.Listener) bool {
		return l.Name == listener && l.Profile == policy.Monitor
	})
}

// addUnused adds the rules that can match and did not, with their last match
// of before.
func (b *ruleBook) addUnused(ctx context.Context, store results.Queries, get func(rule, mode string) *ruleHits) error {
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
		h.InForce = true
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
