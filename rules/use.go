package rules

import (
	"context"
	"time"
)

// use is what the store knows of a rule.
type use struct {
	First   time.Time `json:"first_match,omitzero"`
	Last    time.Time `json:"last_match,omitzero"`
	Matches int64     `json:"matches"`
	Day     int64     `json:"hits_24h"`
}

// uses asks the store for the use of the rules. The map is nil without a store.
func (b *book) uses(ctx context.Context) (map[string]use, error) {
	store := b.openIfAny(ctx)
	if store == nil {
		return nil, nil
	}
	defer store.Close()
	list, err := store.RuleUse(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]use)
	for _, u := range list {
		out[u.Rule] = use{First: u.First, Last: u.Last, Matches: u.Matches}
	}
	hits, err := store.RuleHits(ctx, b.opts.Now.Add(-24*time.Hour))
	for _, h := range hits {
		u := out[h.Rule]
		u.Day += h.Messages
		out[h.Rule] = u
	}
	return out, err
}
