package dnscache

import (
	"time"

	"dmarcgate/dnscache/wire"
	"dmarcgate/metrics"

	"github.com/maypok86/otter/v2"
	"github.com/miekg/dns"
)

// key is a question.
type key = wire.Question

// answer is what a server said, positively. It is shared and never changed; its
// AD is true only when the server is trusted.
type answer = wire.Answer

// firstCounted is for how many entries there are counters of uses, and room in
// the table, from the start; both grow with the cache. With none, otter counts
// nothing in a cache that is not half full. It forgets all counts when it makes
// more counters, which costs names in use nothing that a scan of a million names
// shows (make bench): those that were used again are in a part of the cache that
// scanned names do not reach.
const firstCounted = 1 << 14

func newCache(cfg Config, now clock, m *metrics.Metrics) (*otter.Cache[key, *entry], error) {
	return otter.New(&otter.Options[key, *entry]{
		MaximumWeight:   cfg.MaxBytes,
		InitialCapacity: int(min(cfg.MaxBytes/entryOverhead, firstCounted)),
		Weigher:         weigh,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[key, *entry]) time.Duration {
			return time.Duration(e.Value.gone(cfg) - e.SnapshotAtNano)
		}),
		OnAtomicDeletion: func(e otter.DeletionEvent[key, *entry]) { countEviction(m, e.Cause) },
		Clock:            now,
	})
}

// countEviction counts what the cache drops by itself; Flush counts its own.
func countEviction(m *metrics.Metrics, cause otter.DeletionCause) {
	switch cause {
	case otter.CauseOverflow:
		m.CacheEvicted("size")
	case otter.CauseExpiration:
		m.CacheEvicted("expired")
	}
}

// clock is the time that entries live by: nanoseconds since the resolver was
// made, which no setting of the host's clock moves, or those of Config.Now.
type clock struct {
	start time.Time
	now   func() time.Time // may be nil
}

func (c clock) NowNano() int64 {
	if c.now != nil {
		return c.now().UnixNano()
	}
	return int64(time.Since(c.start))
}

func (c clock) Tick(d time.Duration) <-chan time.Time { return time.Tick(d) }

// cached returns the entry for k, or nil, and the time. One reading of the
// clock serves both: it is a large part of what a hit costs.
func (r *Resolver) cached(k key) (*entry, int64) {
	e, ok := r.cache.GetEntry(k)
	if !ok {
		return nil, 0
	}
	return e.Value, e.SnapshotAtNano
}

// peek is cached without being a use of the entry, in the eyes of eviction.
func (r *Resolver) peek(k key) (*entry, int64) {
	e, ok := r.cache.GetEntryQuietly(k)
	if !ok {
		return nil, 0
	}
	return e.Value, e.SnapshotAtNano
}

// weighAgain tells the cache that the slot of an entry for TXT was filled,
// unless the entry has left it.
func (r *Resolver) weighAgain(name string, e *entry) {
	name, ok := wire.Clean(name)
	if !ok {
		return
	}
	r.cache.Compute(key{Type: dns.TypeTXT, Name: name}, func(now *entry, found bool) (*entry, otter.ComputeOp) {
		if !found || now != e {
			return now, otter.CancelOp
		}
		return e, otter.WriteOp
	})
}

// measure tells the metrics how large the cache is. What was just written is
// weighed by the clean-up.
func (r *Resolver) measure() {
	r.cache.CleanUp()
	r.metrics.CacheSize(r.cache.EstimatedSize(), r.cache.WeightedSize())
}
