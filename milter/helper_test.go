package milter

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/internal/miltertest"
	"dmarcgate/metrics"
)

// TestMain makes every line that go-milter logs a failure: a panic that it
// recovered from, or a condition that the connection should have dealt with.
func TestMain(m *testing.M) {
	log.SetOutput(noLog{})
	os.Exit(m.Run())
}

type noLog struct{}

func (noLog) Write(p []byte) (int, error) { panic("go-milter says: " + string(p)) }

// seen is a message as the handler got it.
type seen struct {
	ctx    context.Context
	env    *Envelope
	header []string
	body   bytes.Buffer
	writes int
	skip   bool
	answer func(*seen) Answer
	write  func(*seen)
}

func (m *seen) Write(p []byte) (int, error) {
	if m.write != nil {
		m.write(m)
	}
	m.writes++
	m.body.Write(p)
	if m.skip {
		return len(p), ErrSkip
	}
	return len(p), nil
}

func (m *seen) Finish() Answer {
	if m.answer == nil {
		return Answer{}
	}
	return m.answer(m)
}

// recorder is a handler that keeps what it sees.
type recorder struct {
	answer func(*seen) Answer // nil delivers
	write  func(*seen)
	start  func(*seen)
	skip   bool

	overflow func(*Envelope, [][]byte)

	mu        sync.Mutex
	msgs      []*seen
	overflows int // calls of Overflow
}

func (r *recorder) Overflow(env *Envelope, header [][]byte) Overflow {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.overflows++
	if r.overflow != nil {
		r.overflow(env, header)
	}
	return &overflown{}
}

// overflown keeps what it sees.
type overflown struct{ fields []string }

func (o *overflown) Field(raw []byte) { o.fields = append(o.fields, string(raw)) }

func (r *recorder) Start(ctx context.Context, env *Envelope, header [][]byte) Message {
	m := &seen{ctx: ctx, env: env, skip: r.skip, answer: r.answer, write: r.write}
	for _, f := range header {
		m.header = append(m.header, string(f))
	}
	r.mu.Lock()
	r.msgs = append(r.msgs, m)
	r.mu.Unlock()
	if r.start != nil {
		r.start(m)
	}
	return m
}

func (r *recorder) message(t *testing.T, i int) *seen {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if i >= len(r.msgs) {
		t.Fatalf("handler saw %d messages; want at least %d", len(r.msgs), i+1)
	}
	return r.msgs[i]
}

// gate is a server under test.
type gate struct {
	*Server
	address string
	reg     *prometheus.Registry
	log     *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newGate(h Handler, limits Limits) *gate {
	reg := prometheus.NewRegistry()
	log := &lockedBuffer{}
	return &gate{reg: reg, log: log, Server: &Server{
		Name: "in", Handler: h, Limits: limits, Metrics: metrics.New(reg, []string{"in"}),
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}}
}

// start serves h on a unix socket until the test ends, and sees to it that
// nothing is left then.
func start(t testing.TB, h Handler, limits Limits) *gate {
	t.Helper()
	g := newGate(h, limits)
	g.open(t)
	return g
}

// open serves on a socket file of its own.
func (g *gate) open(t testing.TB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	g.address = "unix:" + path
	g.serve(t, listen(t, file(path)))
}

// openTCP serves on a port of its own.
func (g *gate) openTCP(t testing.TB) {
	t.Helper()
	ln := listen(t, Socket{Network: "tcp", Addr: "127.0.0.1:0", UID: -1, GID: -1})
	g.address = "tcp:" + ln.Addr().String()
	g.serve(t, ln)
}

// file is a socket of this process's own.
func file(path string) Socket {
	return Socket{Network: "unix", Addr: path, Mode: 0o600, UID: -1, GID: -1}
}

func listen(t testing.TB, s Socket) net.Listener {
	t.Helper()
	ln, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// serve returns when Serve has begun.
func (g *gate) serve(t testing.TB, ln net.Listener) {
	t.Helper()
	before := g.loopCount()
	served := make(chan error, 1)
	go func() { served <- g.Serve(ln) }()
	for g.loopCount() == before && len(served) == 0 {
		runtime.Gosched()
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = g.Shutdown(ctx) // sessions that the test left open are an error here
		if err := <-served; err != nil {
			t.Errorf("Serve() = %v; want nil", err)
		}
	})
}

func (g *gate) loopCount() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.loops)
}

func (g *gate) dial(t testing.TB, opts miltertest.Options) *miltertest.Client {
	t.Helper()
	c, err := miltertest.Dial(g.address, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// count returns the sum of the series of a metric whose labels have all of
// values.
func (g *gate) count(t testing.TB, name string, values ...string) float64 {
	t.Helper()
	families, err := g.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "dmarcgate_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			have := map[string]bool{}
			for _, l := range m.GetLabel() {
				have[l.GetValue()] = true
			}
			for _, v := range values {
				if !have[v] {
					have = nil
					break
				}
			}
			if have != nil {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

// wantCount waits until a metric has a value: some are counted after the answer
// that a test has seen.
func (g *gate) wantCount(t testing.TB, want float64, name string, values ...string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		got := g.count(t, name, values...)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s%v = %v; want %v", name, values, got, want)
		}
	}
}

func send(t testing.TB, c *miltertest.Client, m miltertest.Mail) miltertest.Result {
	t.Helper()
	r, err := c.Send(m)
	if err != nil {
		t.Fatalf("Send: %v", err)
	}
	return r
}

// ok fails the test when an event was not answered with "continue".
func ok(t testing.TB) func(miltertest.Reply, error) {
	t.Helper()
	return func(r miltertest.Reply, err error) {
		t.Helper()
		if err != nil || r.Action != miltertest.Continue {
			t.Fatalf("answer = %v, %v; want continue", r, err)
		}
	}
}

// closedByFilter fails the test unless the filter hangs up.
func closedByFilter(t testing.TB, c *miltertest.Client) {
	t.Helper()
	if code, data, err := c.ReadFrame(); err == nil {
		t.Fatalf("the filter answers %q %q; want it to hang up", code, data)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mail() miltertest.Mail {
	return miltertest.Mail{
		Client: netip.MustParseAddr("192.0.2.1"), ClientName: "out.sender.example", Helo: "helo.sender.example",
		From: "a@sender.example", Rcpts: []string{"b@receiver.example"}, QueueID: "4XYZ",
		Message: []byte("From: a@sender.example\nSubject:  two\n\tfolded\n\nhello\n"),
	}
}

// goroutines waits until at most n goroutines are left.
func goroutines(t testing.TB, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > n; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines; want %d\n%s", runtime.NumGoroutine(), n, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func lines(ss ...string) string { return strings.Join(ss, "\n") }
