package upstream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"dmarcgate/dnscache/schedule"
	"dmarcgate/metrics"
)

// Config is what a Pool needs to know. Every field but Trusted and Metrics is
// set.
type Config struct {
	Servers      []string         // recursive servers, "ip:port", queried in this order
	Trusted      []string         // those of them whose AD bit is believed
	QueryTimeout time.Duration    // one exchange with one server
	Timeout      time.Duration    // one lookup with all its attempts
	MaxInFlight  int              // queries in flight at a server, at most
	Now          func() time.Time // the clock of places, checks and proofs
	Metrics      *metrics.Metrics // nil counts nothing
}

// Pool is the servers. Its methods may be called from any goroutine.
type Pool struct {
	cfg     Config
	servers atomic.Pointer[[]*server] // never changed, only replaced
	now     func() time.Time
	after   func(time.Duration) <-chan time.Time // time.After; tests have their own
	metrics *metrics.Metrics
	sched   *schedule.Scheduler

	lastAnswer atomic.Int64 // when a server last answered, Unix nanoseconds; 0 = never

	ctx    context.Context // of the lookups; done when the pool is closed
	cancel context.CancelFunc
	wg     sync.WaitGroup // the lookups and checks

	mu     sync.Mutex
	closed bool
}

// New makes a pool; it sends nothing yet. It fails as SetServers does.
func New(cfg Config) (*Pool, error) {
	m := cfg.Metrics
	pool := &Pool{cfg: cfg, now: cfg.Now, after: time.After, metrics: m}
	pool.sched = schedule.New(cfg.Now, cfg.Timeout, func(c schedule.Class, by string) { m.DNSPressure(c.String(), by) }, pool.full)
	if err := pool.SetServers(cfg.Servers, cfg.Trusted); err != nil {
		return nil, err
	}
	pool.ctx, pool.cancel = context.WithCancel(context.Background())
	return pool, nil
}

// Close ends the lookups in flight with errors of kind Closed and waits for
// them. Later lookups fail. Closing twice is harmless.
func (pool *Pool) Close() {
	pool.mu.Lock()
	pool.closed = true
	pool.mu.Unlock()
	pool.cancel()
	pool.sched.Close()
	pool.wg.Wait()
}

// probe is the purpose of check queries and probes, in metrics.
const probe = "probe"

// Probe asks whether any server answers at all, with a query for the name
// servers of the root, those that are down as well. Only NOERROR and NXDOMAIN
// count: a server that refuses or fails even this is of no use. It needs no
// place. The error is an *Error or ctx's.
func (pool *Pool) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pool.cfg.Timeout)
	defer cancel()
	stop := context.AfterFunc(pool.ctx, cancel)
	defer stop()
	l := &Lookup{Request: Request{Purpose: probe, Question: rootNS}, servers: upFirst(*pool.servers.Load())}
	_, err := pool.resolve(ctx, l)
	return err
}
