package dnscache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dmarcgate/dnscache/upstream"
	"dmarcgate/metrics"

	"github.com/maypok86/otter/v2"
)

// Purpose says what a lookup is for. It labels metrics, and tells what one
// reader made of an answer from what another did (View.Parsed).
type Purpose uint8

const (
	DMARC      Purpose = iota // records and discovery
	SPF                       // SPF records and what they name
	DKIM                      // DKIM keys
	PTR                       // names of addresses, whoever asks for them
	ReportAuth                // consent to receive reports
)

// String returns the purpose as the metrics spell it.
func (p Purpose) String() string {
	switch p {
	case DMARC:
		return "dmarc"
	case SPF:
		return "spf"
	case DKIM:
		return "dkim"
	case PTR:
		return "ptr"
	case ReportAuth:
		return "report_auth"
	}
	return "other"
}

// Defaults of Config.
const (
	defaultQueryTimeout   = 2 * time.Second
	defaultTimeout        = 5 * time.Second // as resolv.conf(5); several lookups must fit into the 20 s of a message
	defaultMaxBytes       = 64 << 20
	defaultMaxTTL         = 24 * time.Hour
	defaultMaxNegativeTTL = 15 * time.Minute // below the 3 h that RFC 2308, Section 5, allows: a new record is seen soon
	defaultMaxInFlight    = 1000             // each is a socket
	defaultFailureTTL     = 5 * time.Second
	defaultStaleTTL       = 24 * time.Hour // RFC 8767, Section 5, suggests 1 to 3 days
	defaultStaleNegTTL    = time.Hour
	defaultStaleAfter     = 1800 * time.Millisecond
)

// Config is what a Resolver needs to know. A zero field other than Servers
// means the default.
type Config struct {
	Servers        []string         // recursive servers, "ip:port", queried in this order
	Trusted        []string         // those of them whose AD bit is believed: a validating server on a path that nobody else can write to
	QueryTimeout   time.Duration    // one exchange with one server; default 2 s
	Timeout        time.Duration    // one lookup with all its attempts; default 5 s
	MaxBytes       uint64           // estimated size of the cache; default 64 MiB
	MaxTTL         time.Duration    // ceiling for records; default 24 h
	MaxNegativeTTL time.Duration    // ceiling for "there is none"; default 15 min
	MinTTL         time.Duration    // floor for records, below the ceiling; default none
	FailureTTL     time.Duration    // how long a failure is remembered; default 5 s (RFC 9520, Section 3.2: 1 s to 5 min)
	StaleTTL       time.Duration    // how long records are kept past their TTL for times when the servers fail; default 24 h, negative: not at all
	StaleNegTTL    time.Duration    // the same for "there is none"; default 1 h, negative: not at all
	StaleAfter     time.Duration    // how long a caller waits for news where there is a stale answer; default 1.8 s (RFC 8767, Section 5)
	MaxInFlight    int              // queries in flight at a server, at most; default 1000
	Now            func() time.Time // the clock that TTLs are kept by; default time.Now
}

func (c Config) withDefaults() Config {
	c.QueryTimeout = cmp.Or(c.QueryTimeout, defaultQueryTimeout)
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.MaxBytes = cmp.Or(c.MaxBytes, defaultMaxBytes)
	c.MaxTTL = cmp.Or(c.MaxTTL, defaultMaxTTL)
	c.MaxNegativeTTL = cmp.Or(c.MaxNegativeTTL, defaultMaxNegativeTTL)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, defaultMaxInFlight)
	c.FailureTTL = cmp.Or(c.FailureTTL, defaultFailureTTL)
	c.StaleTTL = max(0, cmp.Or(c.StaleTTL, defaultStaleTTL))
	c.StaleNegTTL = max(0, cmp.Or(c.StaleNegTTL, defaultStaleNegTTL))
	c.StaleAfter = cmp.Or(c.StaleAfter, defaultStaleAfter)
	return c
}

// Resolver asks and remembers. Its methods may be called from any goroutine.
type Resolver struct {
	cfg     Config
	pool    *upstream.Pool
	now     func() time.Time
	after   func(time.Duration) <-chan time.Time // time.After; tests have their own
	metrics *metrics.Metrics
	clock   clock
	cache   *otter.Cache[key, *entry]

	ctx    context.Context // done when the resolver is closed
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	flights map[key]*flight
	ahead   int // flights that began ahead of time
}

// New makes a resolver; it sends nothing yet. It fails without a server, and
// when a server is not "ip:port", a trusted one is none of the servers, or a
// limit is negative. A nil m counts nothing.
func New(cfg Config, m *metrics.Metrics) (*Resolver, error) {
	if min(cfg.QueryTimeout, cfg.Timeout, cfg.MaxTTL, cfg.MaxNegativeTTL, cfg.MinTTL, cfg.FailureTTL, cfg.StaleAfter) < 0 || cfg.MaxInFlight < 0 {
		return nil, errors.New("dnscache: negative limit")
	}
	r := &Resolver{cfg: cfg.withDefaults(), now: cfg.Now, after: time.After, metrics: m, flights: make(map[key]*flight)}
	if r.now == nil {
		r.now = time.Now
	}
	var err error
	r.pool, err = upstream.New(upstream.Config{
		Servers: cfg.Servers, Trusted: cfg.Trusted, QueryTimeout: r.cfg.QueryTimeout, Timeout: r.cfg.Timeout,
		MaxInFlight: r.cfg.MaxInFlight, Now: r.now, Metrics: m,
	})
	if err != nil {
		return nil, fmt.Errorf("dnscache: %w", err)
	}
	r.clock = clock{start: time.Now(), now: cfg.Now}
	if r.cache, err = newCache(r.cfg, r.clock, m); err != nil {
		return nil, fmt.Errorf("dnscache: %w", err)
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// Close ends the lookups in flight with errors of kind Closed and waits for
// them. Later lookups fail, unless they are cached. Closing twice is harmless.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.pool.Close()
	r.cache.StopAllGoroutines()
}

// View returns the resolver as one mechanism sees it.
func (r *Resolver) View(p Purpose) View { return View{r: r, purpose: p, bill: ownBill} }

// Probe asks whether any server answers at all, with an uncached query for
// the name servers of the root, those that are down as well. Only NOERROR and
// NXDOMAIN count: a server that refuses or fails even this is of no use. It
// needs no place. The error is an *Error or ctx's.
func (r *Resolver) Probe(ctx context.Context) error { return r.pool.Probe(ctx) }

// ServerStatus is what is known of a server, for operators.
type ServerStatus = upstream.Status

// Servers returns the servers in the order in which they are queried.
func (r *Resolver) Servers() []ServerStatus { return r.pool.Servers() }

// SetServers replaces the servers: trusted are those of servers whose AD bit
// is believed, each as "ip:port". A server that stays keeps its health; one
// listed twice counts once, where it stands first. Lookups under way go on
// with the old list. With an error nothing has changed.
func (r *Resolver) SetServers(servers, trusted []string) error {
	if err := r.pool.SetServers(servers, trusted); err != nil {
		return fmt.Errorf("dnscache: %w", err)
	}
	return nil
}
