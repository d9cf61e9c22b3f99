package upstream

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"dmarcgate/dnscache/schedule"
	"dmarcgate/dnscache/wire"
	"dmarcgate/internal/dnstest"
	"dmarcgate/metrics"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// fakeClock is a clock that moves when told.
type fakeClock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *fakeClock {
	return &fakeClock{t: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// generous is a time that a test on a busy machine does not reach.
const generous = 30 * time.Second

// brief is a time that a test waits out when nobody answers.
const brief = 50 * time.Millisecond

// rig is a pool with its servers.
type rig struct {
	*Pool
	clock    *fakeClock
	registry *prometheus.Registry
}

// metric returns the value of a series, given as name and label values.
func (g *rig) metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := g.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			matched := 0
			for _, l := range m.GetLabel() {
				for _, want := range labels {
					if l.GetValue() == want {
						matched++
					}
				}
			}
			if matched == len(labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no series %s%q", name, labels)
	return 0
}

// eventually waits until something becomes true in another goroutine.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(generous); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

var background = context.Background()

// newRig makes a pool for the servers, with generous timeouts unless cfg says otherwise.
func newRig(t testing.TB, cfg Config, servers ...*dnstest.Server) *rig {
	t.Helper()
	for _, s := range servers {
		cfg.Servers = append(cfg.Servers, s.Addr())
	}
	if cfg.QueryTimeout == 0 {
		cfg.QueryTimeout, cfg.Timeout = generous, 2*generous
	}
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = 1000
	}
	g := &rig{clock: newClock(), registry: prometheus.NewRegistry()}
	cfg.Now, cfg.Metrics = g.clock.now, metrics.New(g.registry, nil)
	pool, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	g.Pool = pool
	return g
}

// Purposes of lookups.
const (
	DMARC = "dmarc"
	SPF   = "spf"
	DKIM  = "dkim"
)

// view makes lookups of one purpose, charged to one message.
type view struct {
	pool    *Pool
	purpose string
	bill    schedule.Bill
}

// ownBill is that of lookups that are charged to no message.
var ownBill = schedule.Bill{Class: schedule.Author}

func (pool *Pool) View(purpose string) view { return view{pool, purpose, ownBill} }

func (v view) Charged(a *schedule.Account, c schedule.Class) view {
	v.bill = schedule.Bill{Account: a, Class: c}
	return v
}

// answer makes a lookup, and waits for it until ctx ends. It goes on then.
func (v view) answer(ctx context.Context, name string) (*wire.Answer, error) {
	type result struct {
		answer *wire.Answer
		err    error
	}
	done := make(chan result, 1)
	_, failure := v.pool.Start(Request{
		Purpose: v.purpose, Question: wire.Question{Type: dns.TypeTXT, Name: name}, Bill: v.bill,
		Done: func(a *wire.Answer, err error) { done <- result{a, err} },
	})
	if failure != nil {
		return nil, failure
	}
	select {
	case r := <-done:
		return r.answer, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TXT is answer for the records alone.
func (v view) TXT(ctx context.Context, name string) ([]string, error) {
	a, err := v.answer(ctx, name)
	if err != nil {
		return nil, err
	}
	return a.Records, nil
}

// count returns how often a server was queried about name.
func count(srv *dnstest.Server, name string) int {
	n := 0
	for _, q := range srv.Queries() {
		if q == "TXT "+name {
			n++
		}
	}
	return n
}

// resolveNow is a lookup in this goroutine.
func (pool *Pool) resolveNow(ctx context.Context, purpose string, q wire.Question) (*wire.Answer, error) {
	l := pool.newLookup(Request{Purpose: purpose, Question: q, Bill: ownBill})
	l.flies = true
	return pool.resolve(ctx, l)
}

// fill takes all places at the servers, as queries in flight do, until release.
func (pool *Pool) fill() (release func()) {
	var list []*schedule.Place
	for i := 0; ; i++ {
		// Each is of a client and a zone of its own, so that no share is exceeded.
		l := pool.newLookup(Request{
			Question: wire.Question{Name: fmt.Sprintf("filler%d.test", i)}, Hurries: true,
			Bill: schedule.Bill{Account: clientOf(40_000 + i), Class: schedule.Author},
		})
		p, err := pool.enter(l, l.servers)
		if err != nil {
			break
		}
		list = append(list, p)
	}
	return func() {
		for _, p := range list {
			p.Done(0, true)
		}
	}
}
