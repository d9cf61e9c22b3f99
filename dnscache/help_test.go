package dnscache

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
	"dmarcgate/metrics"

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

// rig is a resolver with its servers.
type rig struct {
	*Resolver
	clock    *fakeClock
	registry *prometheus.Registry
	fillers  int // lookups that fill has made
}

// newRig makes a resolver for the servers, with generous timeouts unless cfg says otherwise.
func newRig(t testing.TB, cfg Config, servers ...*dnstest.Server) *rig {
	t.Helper()
	for _, s := range servers {
		cfg.Servers = append(cfg.Servers, s.Addr())
	}
	if cfg.QueryTimeout == 0 {
		cfg.QueryTimeout, cfg.Timeout = generous, 2*generous
	}
	g := &rig{clock: newClock(), registry: prometheus.NewRegistry()}
	cfg.Now = g.clock.now
	r, err := New(cfg, metrics.New(g.registry, nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	g.Resolver = r
	return g
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

// lookups collects traces.
type lookups struct {
	mu   sync.Mutex
	list []Lookup
}

func (l *lookups) add(x Lookup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, x)
}

func (l *lookups) last(t testing.TB) Lookup {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) == 0 {
		t.Fatal("no lookup was traced")
	}
	return l.list[len(l.list)-1]
}

// inFlight returns how many queries are in flight at all servers.
func (r *Resolver) inFlight() int {
	n := 0
	for _, s := range r.Servers() {
		n += s.InFlight
	}
	return n
}

var background = context.Background()
