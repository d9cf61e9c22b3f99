package upstream

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/dnscache/schedule"
	"dmarcgate/dnscache/wire"
	"dmarcgate/internal/dnstest"

	"github.com/miekg/dns"
)

// mortal is a server that can die and come back.
type mortal struct {
	*fakeServer
	dead atomic.Bool
}

func newMortal(t testing.TB) *mortal {
	m := &mortal{}
	m.fakeServer = newFake(t, func(p peer) {
		if !m.dead.Load() {
			p.says("alive")
		}
	})
	return m
}

// unknown is a server that was queried nothing yet.
func unknown() *health {
	return newHealth(schedule.New(time.Now, time.Hour, nil, nil).NewServer(10))
}

// hasty is for servers that do not answer.
func hasty(servers ...string) Config {
	return Config{Servers: servers, QueryTimeout: 2 * brief, Timeout: generous}
}

// bury makes a rig with a dead server that has been found dead, and the timer
// of its next check.
func bury(t *testing.T, m *mortal, others ...string) (*rig, *dnstest.Timers, dnstest.Timer) {
	t.Helper()
	cfg := hasty(append([]string{m.addr}, others...)...)
	cfg.MaxInFlight = 10
	g := newRig(t, cfg)
	timers := newTimers(g.Pool)
	m.dead.Store(true)
	_, _ = g.View(DMARC).TXT(background, "first.example.com")
	timer := timers.Next(t)
	if st := g.Servers()[0]; !st.Down || st.Failures == 0 || st.Err == "" || !st.Since.Equal(g.clock.now()) {
		t.Fatalf("after a silent check: %+v; want a server that is down", st)
	}
	return g, timers, timer
}

func TestHealthIgnoresSilentForeignDomain(t *testing.T) {
	srv := dnstest.New(t, "!drop slow.example.com\nexample.com. TXT x")
	g := newRig(t, hasty(srv.Addr()))
	g.cfg.QueryTimeout = 10 * brief
	if e := failure(t, g.View(DMARC), "slow.example.com"); e.Kind != wire.Timeout || e.Ours() {
		t.Errorf("%v, ours %v; want %v of the domain", e, e.Ours(), wire.Timeout)
	}
	if st := g.Servers()[0]; st.Down || st.Queries < 3 {
		t.Errorf("%+v; want it up after 2 queries and a check", st)
	}
	if got, err := g.View(DMARC).TXT(background, "example.com"); err != nil || len(got) != 1 {
		t.Errorf("another domain: %q, %v; want its record", got, err)
	}
}

func TestHealthChecksNoServerThatAnswersOthers(t *testing.T) {
	h := unknown()
	seen := h.queried()
	h.replied(time.Millisecond, true)
	if h.failed(seen, &Error{Kind: wire.Timeout}) {
		t.Error("a reply to another query did not count")
	}
	if !h.failed(h.queried(), &Error{Kind: wire.Timeout}) {
		t.Error("a reply before the query counted")
	}
}

func TestHealthJoinsEqualChecks(t *testing.T) {
	const lookups = 50
	var checks atomic.Int64
	srv := newFake(t, func(p peer) {
		if p.root() {
			checks.Add(1)
		}
	})
	g := newRig(t, hasty(srv.addr))
	timers := newTimers(g.Pool)
	var wg sync.WaitGroup
	for i := range lookups {
		wg.Go(func() {
			var e *Error
			_, err := g.View(SPF).TXT(background, fmt.Sprintf("n%d.example.com", i))
			if !errors.As(err, &e) || !e.Pressure() {
				t.Errorf("TXT = %v; want pressure, as it is not proven that nobody is answered", err)
			}
		})
	}
	timers.Next(t)
	wg.Wait()
	if n := checks.Load(); n != 1 {
		t.Errorf("%d check queries; want 1", n)
	}
}

func TestHealthBacksOffFromDeadServer(t *testing.T) {
	m := newMortal(t)
	g, timers, timer := bury(t, m)
	want := firstRecheck
	for range 8 {
		low, high := float64(want)*(1-recheckJitter), float64(want)*(1+recheckJitter)
		if d := float64(timer.D); d < low || d > high {
			t.Errorf("next check after %v; want %v ± 20 %%", timer.D, want)
		}
		before := m.queries.Load()
		if e := failure(t, g.View(DMARC), "second.example.com"); e.Kind != wire.Down || e.Ours() || !e.Pressure() {
			t.Errorf("%v, ours %v; want %v, not proven", e, e.Ours(), wire.Down)
		}
		if n := m.queries.Load(); n != before {
			t.Errorf("%d queries were sent to a dead server", n-before)
		}
		timer.Fire()
		timer = timers.Next(t)
		want = min(2*want, lastRecheck)
	}
}

func TestLookupDoesNotWaitForDeadServer(t *testing.T) {
	g, _, _ := bury(t, newMortal(t))
	s := (*g.servers.Load())[0]
	s.sched.SetDown(false)
	defer g.fill()()
	s.sched.SetDown(true)
	if e := failure(t, g.View(DMARC), "example.com"); e.Kind != wire.Down {
		t.Errorf("without a free place: %v; want %v", e, wire.Down)
	}
}

func TestErrorIsOursOnceDeadServerIsProven(t *testing.T) {
	m := newMortal(t)
	g := newRig(t, hasty(m.addr))
	newTimers(g.Pool)
	if _, err := g.View(DMARC).TXT(background, "before.example.com"); err != nil {
		t.Fatal(err)
	}
	m.dead.Store(true)
	if e := failure(t, g.View(DMARC), "example.com"); e.Kind != wire.Timeout || !e.Pressure() {
		t.Errorf("%v, ours %v; want %v, not the domain's: the check has failed as well", e, e.Ours(), wire.Timeout)
	}
	g.clock.advance(proofTime - 1)
	if e := failure(t, g.View(DMARC), "example.com"); e.Ours() || !e.Pressure() {
		t.Errorf("before the proof: %v, ours %v; want pressure", e, e.Ours())
	}
	g.clock.advance(1)
	if e := failure(t, g.View(DMARC), "example.com"); !e.Ours() || e.Pressure() {
		t.Errorf("after %v: %v, ours %v; want ours", proofTime, e, e.Ours())
	}
}

// watched is a context that tells when somebody waits for it.
type watched struct {
	context.Context
	waits func()
}

func (w watched) Done() <-chan struct{} {
	w.waits()
	return w.Context.Done()
}

func TestLookupFailureWaitsForHealthCheck(t *testing.T) {
	g := newRig(t, Config{Servers: []string{"192.0.2.1:53"}})
	servers := *g.servers.Load()
	g.lastAnswer.Store(g.clock.now().UnixNano())
	_, c := servers[0].begin(background, wire.Timeout, time.Now())
	waits, done := make(chan struct{}), make(chan error, 1)
	ctx := watched{background, sync.OnceFunc(func() { close(waits) })}
	go func() { done <- g.gaveUp(ctx, newError(rootNS, wire.Timeout, nil), servers, g.clock.now()) }()
	select {
	case <-waits:
		servers[0].evaluate(c, checked{err: newError(rootNS, wire.Timeout, nil), dead: true, atOne: true}, g.clock.now())
	case <-time.After(generous):
		t.Error("nobody waits")
	}
	var e *Error
	if err := <-done; !errors.As(err, &e) || !e.Pressure() {
		t.Errorf("%v; want pressure, as the check has shown", err)
	}
}

func TestHealthRestoresServerWithoutBurst(t *testing.T) {
	m := newMortal(t)
	g, _, timer := bury(t, m)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if _, err := g.View(SPF).TXT(background, fmt.Sprintf("n%d.example.com", i)); err == nil {
				t.Error("a dead server answered")
			}
		})
	}
	wg.Wait()
	before := m.queries.Load()
	m.dead.Store(false)
	g.cfg.QueryTimeout = generous
	timer.Fire()
	eventually(t, "the server is up", func() bool { return !g.Servers()[0].Down })
	if n := m.queries.Load() - before; n != 1 {
		t.Errorf("%d queries when the server was back; want the check alone", n)
	}
	if got, err := g.View(DMARC).TXT(background, "example.com"); err != nil || !slices.Equal(got, []string{"alive"}) {
		t.Errorf("TXT = %q, %v; want the record", got, err)
	}
	if st := g.Servers()[0]; st.Failures != 0 || st.Err != "" || !st.Since.IsZero() {
		t.Errorf("%+v; want a clean record", st)
	}
}

func TestLookupSkipsDeadServer(t *testing.T) {
	m, good := newMortal(t), newMortal(t)
	g, _, _ := bury(t, m, good.addr)
	g.cfg.QueryTimeout = generous
	before := m.queries.Load()
	for i := range 5 {
		if got, err := g.View(DMARC).TXT(background, fmt.Sprintf("n%d.example.com", i)); err != nil || len(got) != 1 {
			t.Errorf("TXT = %q, %v; want the answer of the second server", got, err)
		}
	}
	if err := g.Probe(background); err != nil {
		t.Errorf("Probe = %v; want the answer of the second server", err)
	}
	if n := m.queries.Load() - before; n != 0 {
		t.Errorf("%d queries to the dead server; want none", n)
	}
}

func TestProbeRestoresDeadServers(t *testing.T) {
	m := newMortal(t)
	g, _, _ := bury(t, m)
	var e *Error
	if err := g.Probe(background); !errors.As(err, &e) || e.Kind != wire.Timeout || !e.Pressure() {
		t.Errorf("Probe of a dead server = %v; want %v, not proven", err, wire.Timeout)
	}
	m.dead.Store(false)
	g.cfg.QueryTimeout = generous
	if err := g.Probe(background); err != nil || g.Servers()[0].Down {
		t.Errorf("Probe = %v, %+v; want a server that is up", err, g.Servers()[0])
	}
	eventually(t, "the checks have ended", func() bool {
		s := (*g.servers.Load())[0]
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.checks == nil
	})
}

func TestHealthAcceptsAnyReplyToCheck(t *testing.T) {
	for _, rcode := range []int{dns.RcodeRefused, dns.RcodeServerFailure, dns.RcodeNotImplemented, dns.RcodeNameError} {
		t.Run(dns.RcodeToString[rcode], func(t *testing.T) {
			t.Parallel()
			srv := newFake(t, func(p peer) {
				if p.root() {
					p.fails(rcode)
				}
			})
			g := newRig(t, hasty(srv.addr))
			g.cfg.QueryTimeout = 10 * brief
			e := failure(t, g.View(DMARC), "example.com")
			if known := rcode == dns.RcodeNameError; e.Kind != wire.Timeout || e.Ours() || e.Pressure() == known || g.Servers()[0].Down {
				t.Errorf("%v, pressure %v, %+v; want %v, pressure %v, and a server that is up", e, e.Pressure(), g.Servers()[0], wire.Timeout, !known)
			}
		})
	}
}

func TestHealthMarksServerWithGarbageRepliesDead(t *testing.T) {
	srv := newFake(t, func(p peer) {
		m := new(dns.Msg).SetReply(p.Msg)
		wire, _ := m.Pack()
		wire[7] = 1 // an answer that is not there
		_, _ = p.w.Write(wire)
	})
	g := newRig(t, hasty(srv.addr))
	newTimers(g.Pool)
	failure(t, g.View(DMARC), "example.com")
	eventually(t, "the server is down", func() bool { return g.Servers()[0].Down })
}

func TestHealthIgnoresLocalErrors(t *testing.T) {
	h := unknown()
	_, c := h.begin(background, wire.Timeout, time.Now())
	if h.evaluate(c, checked{err: &Error{Kind: wire.Local}}, time.Now()) || h.status(time.Now()).Down {
		t.Error("a check that was not sent condemned the server")
	}
	if !h.evaluate(c, checked{err: &Error{Kind: wire.Timeout}, dead: true}, time.Now()) || !h.evaluate(c, checked{err: &Error{Kind: wire.Local}}, time.Now()) {
		t.Error("the checks of a dead server ended")
	}
	h.finish(c)
}

func TestCloseEndsTheChecks(t *testing.T) {
	m := newMortal(t)
	g, timers, _ := bury(t, m)
	g.Close() // waits for them
	if timers.Started() != 0 {
		t.Error("a check went on")
	}
	if e := failure(t, g.View(DMARC), "example.com"); e.Kind != wire.Closed {
		t.Errorf("after Close: %v; want %v", e, wire.Closed)
	}
}

func TestSetServersReplacesServers(t *testing.T) {
	m, good := newMortal(t), newMortal(t)
	g, _, _ := bury(t, m)
	g.cfg.QueryTimeout = generous
	for about, bad := range map[string][2][]string{
		"no servers": {}, "a name": {{"localhost:53"}}, "a third party trusted": {{good.addr}, {m.addr}},
	} {
		if err := g.SetServers(bad[0], bad[1]); err == nil || len(g.Servers()) != 1 || g.Servers()[0].Address != m.addr {
			t.Errorf("SetServers with %s = %v, %+v; want an error and the old server", about, err, g.Servers())
		}
	}
	if err := g.SetServers([]string{good.addr, m.addr, good.addr}, []string{good.addr}); err != nil {
		t.Fatal(err)
	}
	list := g.Servers()
	if len(list) != 2 || list[0].Address != good.addr || !list[0].Trusted || list[1].Trusted || !list[1].Down {
		t.Errorf("%+v; want the new server, trusted, and the old one, still down", list)
	}
	if got, err := g.View(DMARC).TXT(background, "example.com"); err != nil || len(got) != 1 {
		t.Errorf("TXT = %q, %v; want the answer of the new server", got, err)
	}
	if err := g.SetServers([]string{good.addr}, nil); err != nil || g.Servers()[0].Queries == 0 || g.Servers()[0].Trusted {
		t.Errorf("%v, %+v; want the server with its account, not trusted", err, g.Servers())
	}
	eventually(t, "the checks of the removed server have ended", func() bool {
		stacks := make([]byte, 1<<20)
		return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "upstream.(*Pool).check")
	})
}

func TestSetServersIgnoresLateFailureOfRemovedServer(t *testing.T) {
	h := unknown()
	h.retire()
	if _, c := h.begin(background, wire.Timeout, time.Now()); c != nil {
		t.Error("a removed server is checked")
	}
}

func TestServersReportSmoothedRTT(t *testing.T) {
	h := unknown()
	h.replied(80*time.Millisecond, true)
	h.replied(160*time.Millisecond, true)
	if got, want := h.status(time.Now()).RTT, 90*time.Millisecond; got != want {
		t.Errorf("RTT of 80 ms and 160 ms = %v; want %v", got, want)
	}
}

func TestErrorIsOursOnceAllServersAreDead(t *testing.T) {
	var dead atomic.Bool
	server := newFake(t, func(p peer) {
		if !dead.Load() && p.name() != "silent.example.com." {
			p.says("alive")
		}
	})
	g := newRig(t, hasty(server.addr))
	newTimers(g.Pool)
	ask := func(name string) bool {
		_, err := g.View(DMARC).TXT(background, name)
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("TXT %s = %v; want an *Error", name, err)
		}
		return e.Ours()
	}
	if ask("silent.example.com") {
		t.Fatal("one silent domain is ours; want its own fault while the server answers others")
	}
	var before *Error
	if _, err := g.View(DMARC).TXT(background, "silent.example.com"); !errors.As(err, &before) {
		t.Fatalf("TXT = %v; want an *Error", err)
	}
	if g.Reviewed(before) != error(before) {
		t.Error("a failure of the domain is seen as another one while the server answers others")
	}
	dead.Store(true)
	if ask("other.example.com") {
		t.Fatal("a lookup at a dead server is ours at once; want a proof first")
	}
	g.clock.advance(proofTime)
	if !ask("other.example.com") {
		t.Fatal("a lookup at a server that is dead for long is not ours")
	}
	var now *Error
	if !errors.As(g.Reviewed(before), &now) || !now.Ours() || before.Ours() {
		t.Errorf("the failure of before is seen as %v, ours %v; want ours now, and itself as it was", now, now.Ours())
	}
	if !ask("silent.example.com") {
		t.Error("the remembered failure is the domain's still; want ours, as nobody could be queried")
	}
}
