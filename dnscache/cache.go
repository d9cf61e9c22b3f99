package dnscache

import (
	"net/netip"
	"time"

	"dmarcgate/metrics"

	"github.com/maypok86/otter/v2"
)

// key is a question. The name is lower-case dotted bytes without a final dot.
type key struct {
	qtype uint16
	name  string
}

// answer is what a server said, positively. It is shared and never changed.
type answer struct {
	records  []string     // TXT, MX, PTR, NS; of an SOA its server and its mailbox
	addrs    []netip.Addr // A, AAAA
	nxdomain bool         // the name itself does not exist
	ttl      time.Duration
	expires  time.Time
}

func (a *answer) empty() bool { return len(a.records) == 0 && len(a.addrs) == 0 }

// entryOverhead is about what an entry costs beside its text: the node and
// table slot of the cache, key, answer and slice headers.
const entryOverhead = 320

func weigh(k key, a *answer) uint32 {
	n := entryOverhead + len(k.name) + len(a.addrs)*24
	for _, s := range a.records {
		n += 16 + len(s)
	}
	return uint32(n) // an answer comes from one message of at most 64 KiB
}

func newCache(cfg Config, m *metrics.Metrics) (*otter.Cache[key, *answer], error) {
	opts := otter.Options[key, *answer]{
		MaximumWeight: cfg.MaxBytes,
		Weigher:       weigh,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[key, *answer]) time.Duration {
			return e.Value.ttl
		}),
		OnAtomicDeletion: func(e otter.DeletionEvent[key, *answer]) { countEviction(m, e.Cause) },
	}
	if cfg.Now != nil {
		opts.Clock = clock(cfg.Now)
	}
	return otter.New(&opts)
}

func countEviction(m *metrics.Metrics, cause otter.DeletionCause) {
	switch cause {
	case otter.CauseOverflow:
		m.CacheEvicted("size")
	case otter.CauseExpiration:
		m.CacheEvicted("expired")
	}
}

// clock lets the cache live by Config.Now.
type clock func() time.Time

func (c clock) NowNano() int64                        { return c().UnixNano() }
func (c clock) Tick(d time.Duration) <-chan time.Time { return time.Tick(d) }

// keep stores an answer for its TTL. An answer with TTL 0 serves those who
// wait for it and nobody else (RFC 1035, Section 3.2.1).
func (r *Resolver) keep(k key, a *answer) {
	if a.ttl <= 0 {
		return
	}
	r.cache.Set(k, a)
	r.metrics.CacheSize(r.cache.EstimatedSize(), r.cache.WeightedSize())
}
