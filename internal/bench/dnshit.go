package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dmarcgate/dnscache"

	"github.com/maypok86/otter/v2"
)

// roundOfHits is how many names one call of a contender looks up, each once:
// a call that takes one ms takes one µs for each.
const roundOfHits = 1000

var errNoHit = errors.New("a name that must be in the cache is not")

// bareKey is like the key of the cache.
type bareKey struct {
	qtype uint16
	name  string
}

// bareValue is as large as an answer that has one record.
type bareValue struct {
	records []string
	ttl     time.Duration
}

// bareCache is the library below the cache, with the same options and nothing
// above it.
func bareCache(names []string) (*otter.Cache[bareKey, *bareValue], error) {
	c, err := otter.New(&otter.Options[bareKey, *bareValue]{
		MaximumWeight:    64 << 20,
		Weigher:          func(k bareKey, v *bareValue) uint32 { return uint32(len(k.name) + len(v.records[0])) },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[bareKey, *bareValue]) time.Duration { return e.Value.ttl }),
	})
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		c.Set(bareKey{typeTXT, name}, &bareValue{[]string{ordinaryRecord}, replyTTL * time.Second})
	}
	return c, nil
}

// hits are contests of a hit with a get of the library.
func (s *cacheStage) hits(ctx context.Context, rounds int) ([]*contest, error) {
	policies, keys := namesOf(roundOfHits, dmarcName), namesOf(roundOfHits, keyName)
	txt := func() error { return s.hitTXT(ctx, policies) }
	parsed := func() error { return s.hitParsed(ctx, keys) }
	var out []*contest
	for _, c := range []struct {
		title string
		name  func(int) string
		names []string
		ours  func() error
	}{{"TXT of a DMARC name", dmarcName, policies, txt}, {"Parsed of a DKIM key", keyName, keys, parsed}} {
		bare, err := bareCache(namesOf(roundOfHits, c.name))
		if err != nil {
			return nil, err
		}
		if err := c.ours(); err != nil {
			return nil, fmt.Errorf("filling the cache: %w", err)
		}
		out = append(out, &contest{
			group: "a hit", title: c.title, calls: rounds,
			contenders: []contender{{"ours", c.ours}, {"otter", func() error { return getAll(bare, c.names) }}},
			wants:      []want{{title: "ours/otter", over: 0, under: 1, atMost: hitOverBare}},
		})
	}
	return out, nil
}

func (s *cacheStage) hitTXT(ctx context.Context, names []string) error {
	view := s.dns.View(dnscache.DMARC)
	for _, name := range names {
		if txts, err := view.TXT(ctx, name); err != nil || len(txts) != 1 {
			return errors.Join(errNoHit, err)
		}
	}
	return nil
}

func (s *cacheStage) hitParsed(ctx context.Context, names []string) error {
	view := s.dns.View(dnscache.DKIM)
	for _, name := range names {
		if key, err := view.Parsed(ctx, name, parseKey); err != nil || key == nil {
			return errors.Join(errNoHit, err)
		}
	}
	return nil
}

func getAll(cache *otter.Cache[bareKey, *bareValue], names []string) error {
	for _, name := range names {
		if v, ok := cache.GetIfPresent(bareKey{typeTXT, name}); !ok || len(v.records) != 1 {
			return errNoHit
		}
	}
	return nil
}

// compareHits measures hits and returns them with what they allocate.
func compareHits(ctx context.Context, opts dnsOptions) (group, []string, error) {
	s, err := openCache(0)
	if err != nil {
		return nil, nil, err
	}
	defer s.close()
	contests, err := s.hits(ctx, opts.rounds)
	if err != nil {
		return nil, nil, err
	}
	asked := s.server.asked.Load()
	if err := hold(ctx, contests, opts.repeat); err != nil {
		return nil, nil, err
	}
	var facts []string
	for _, c := range contests {
		made, err := objectsOf(opts.rounds, c.contenders[0].do)
		if err != nil {
			return nil, nil, err
		}
		made /= roundOfHits
		facts = append(facts, fmt.Sprintf("%s: %.3f allocations a hit; want none: %s", c.title, made, verdict(made < noObjects)))
	}
	if more := s.server.asked.Load() - asked; more > 0 {
		return nil, nil, fmt.Errorf("%w: %d queries", errNoHit, more)
	}
	return contests, facts, nil
}
