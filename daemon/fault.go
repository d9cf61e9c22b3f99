//go:build fault

package daemon

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"dmarcgate/enforce"
	"dmarcgate/milter"
	"dmarcgate/results/sqlite"
)

// planted begins the Subject of a message that makes a daemon built with the
// tag fault panic. The stage follows: start, write, finish or sent in the
// goroutine of the message; spf, dkim or dmarc in those that look things up
// for it.
const planted = "planted panic: "

// plantedClock begins the Subject of a message that sets the clock of such a
// daemon: how far it is ahead from then on, as time.ParseDuration reads it.
const plantedClock = "planted clock: "

// clockAhead is how far the clock is ahead, in nanoseconds.
var clockAhead atomic.Int64

// wallClock is the clock of the host, as it was set.
func wallClock() time.Time { return time.Now().Add(time.Duration(clockAhead.Load())) }

// setClock sets the clock when a message says so.
func setClock(header [][]byte) {
	if ahead, err := time.ParseDuration(plantedIn(header, plantedClock)); err == nil {
		clockAhead.Store(int64(ahead))
	}
}

// faultyMaintenance makes rounds of maintenance as frequent as DMARCGATE_FAULT_MAINTENANCE says,
// which time.ParseDuration reads.
func faultyMaintenance(opt *sqlite.Options) {
	opt.MaintenanceEvery, _ = time.ParseDuration(os.Getenv("DMARCGATE_FAULT_MAINTENANCE"))
}

// wrapHandler plants the panics.
func wrapHandler(h milter.Handler) milter.Handler { return faulty{h} }

type faulty struct{ milter.Handler }

func (f faulty) Start(ctx context.Context, env *milter.Envelope, header [][]byte) milter.Message {
	setClock(header)
	m := faultyMessage{stage: plantedIn(header, planted)}
	m.explodeAt("start")
	h := f.Handler
	if gate, ok := h.(*enforce.Gate); ok {
		h = withFaultyLookups(gate, m.stage)
	}
	m.Message = h.Start(ctx, env, header)
	return m
}

// plantedIn returns what follows a beginning of the Subject.
func plantedIn(header [][]byte, begin string) string {
	for _, field := range header {
		if text, ok := bytes.CutPrefix(field, []byte("Subject: "+begin)); ok {
			return string(bytes.TrimSpace(text))
		}
	}
	return ""
}

type faultyMessage struct {
	milter.Message
	stage string
}

func (m faultyMessage) explodeAt(stage string) {
	if m.stage == stage {
		panic("planted at " + stage)
	}
}

func (m faultyMessage) Write(p []byte) (int, error) {
	m.explodeAt("write")
	return m.Message.Write(p)
}

func (m faultyMessage) Finish() milter.Answer {
	m.explodeAt("finish")
	a := m.Message.Finish()
	told := a.Sent
	a.Sent = func(err error) {
		m.explodeAt("sent")
		told(err)
	}
	return a
}

// withFaultyLookups returns a gate for one message, in which the lookups of
// the stage panic.
func withFaultyLookups(g *enforce.Gate, stage string) milter.Handler {
	now := *g.Snapshot.Load()
	checker := *now.Checker
	checker.CacheOnly, checker.Charge = nil, nil // what is remembered is not looked up, and these resolvers are not charged
	switch stage {
	case "spf":
		checker.SPF = faultyDNS{stage}
	case "dkim":
		checker.DKIM = faultyDNS{stage}
	case "dmarc":
		finder := *checker.Finder
		finder.Resolver = faultyDNS{stage}
		checker.Finder = &finder
	default:
		return g
	}
	now.Checker = &checker
	one := &enforce.Gate{
		Listener: g.Listener, Store: g.Store, Deferrals: g.Deferrals, Metrics: g.Metrics, Log: g.Log, Now: g.Now,
		History: g.History, Observe: g.Observe,
	}
	one.Snapshot.Store(&now)
	return one
}

// faultyDNS panics whatever it is asked.
type faultyDNS struct{ stage string }

func (f faultyDNS) explode() { panic("planted at " + f.stage) }

func (f faultyDNS) TXT(context.Context, string) ([]string, error)      { f.explode(); return nil, nil }
func (f faultyDNS) A(context.Context, string) ([]netip.Addr, error)    { f.explode(); return nil, nil }
func (f faultyDNS) AAAA(context.Context, string) ([]netip.Addr, error) { f.explode(); return nil, nil }
func (f faultyDNS) MX(context.Context, string) ([]string, error)       { f.explode(); return nil, nil }
func (f faultyDNS) PTR(context.Context, netip.Addr) ([]string, error)  { f.explode(); return nil, nil }
func (f faultyDNS) Exists(context.Context, string) (bool, error)       { f.explode(); return false, nil }
