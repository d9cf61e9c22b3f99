package results

import (
	"cmp"
	"context"
	"slices"
	"time"

	"dmarcgate/policy"
)

// RuleHit is a rule, and messages of one listener that it matched with one
// outcome.
type RuleHit struct {
	Rule     string        `json:"rule"`
	Listener string        `json:"listener"`
	Mode     policy.Mode   `json:"mode"`   // that the rule had: Shadow or Enforce
	Action   policy.Action `json:"action"` // what was done with them; in Shadow, what the rule would have done
	Messages int64         `json:"messages"`
	Changed  int64         `json:"changed"` // those of Messages with which something else was done; only in Shadow
	Last     time.Time     `json:"last"`
}

// CountRuleHits is RuleHits for all stores that can be scanned.
func CountRuleHits(ctx context.Context, store interface {
	Scan(ctx context.Context, span Span, f func(Row) error) error
}, since time.Time) ([]RuleHit, error) {
	hits := make(ruleHits)
	err := store.Scan(ctx, Span{From: since, Ruled: true}, func(r Row) error {
		if r.State != Imported {
			hits.add(&r)
		}
		return nil
	})
	return hits.sorted(), err
}

// ruleHits are hits by what tells them apart.
type ruleHits map[RuleHit]*RuleHit

func (h ruleHits) add(r *Row) {
	done := r.Decision.Action
	shadow := make(map[string]bool, len(r.Decision.Shadow))
	for _, s := range r.Decision.Shadow {
		shadow[s.Rule] = true
		h.count(RuleHit{Rule: s.Rule, Listener: r.Facts.Listener, Mode: policy.Shadow, Action: s.Action}, r.Facts.Time, s.Action != done)
	}
	for _, id := range rules(&r.Decision) {
		if !shadow[id] {
			h.count(RuleHit{Rule: id, Listener: r.Facts.Listener, Mode: policy.Enforce, Action: done}, r.Facts.Time, false)
		}
	}
}

func (h ruleHits) count(key RuleHit, at time.Time, changed bool) {
	hit := h[key]
	if hit == nil {
		hit = new(RuleHit)
		*hit = key
		h[key] = hit
	}
	hit.Messages++
	if changed {
		hit.Changed++
	}
	if at.After(hit.Last) {
		hit.Last = at
	}
}

func (h ruleHits) sorted() []RuleHit {
	var out []RuleHit
	for _, hit := range h {
		out = append(out, *hit)
	}
	slices.SortFunc(out, func(a, b RuleHit) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Listener, b.Listener), cmp.Compare(a.Mode, b.Mode), cmp.Compare(a.Action, b.Action))
	})
	return out
}
