package milter

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"dmarcgate/internal/miltertest"
)

// fakeListener hands out errors, then connections, then blocks until it is
// closed.
type fakeListener struct {
	errs   []error
	conns  []net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *fakeListener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	if len(l.conns) > 0 {
		c := l.conns[0]
		l.conns = l.conns[1:]
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *fakeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *fakeListener) Addr() net.Addr { return &net.UnixAddr{Name: "fake", Net: "unix"} }

func TestAcceptErrorsThatPassAreSurvived(t *testing.T) {
	g := newGate(&recorder{}, Limits{})
	ours, theirs := net.Pipe()
	g.serve(t, &fakeListener{
		errs:  []error{&net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}, syscall.ECONNABORTED},
		conns: []net.Conn{ours}, closed: make(chan struct{}),
	})
	c, err := miltertest.New(theirs, miltertest.Options{})
	must(t, err)
	send(t, c, mail())
	must(t, c.Quit())
	g.wantCount(t, 2, "milter_errors_total", "other", "overload")
}

func TestAcceptErrorsThatStayEndServe(t *testing.T) {
	g := newGate(&recorder{}, Limits{})
	ln := &fakeListener{errs: []error{syscall.EBADF}, closed: make(chan struct{})}
	if err := g.Serve(ln); !errors.Is(err, syscall.EBADF) {
		t.Errorf("Serve() = %v; want EBADF", err)
	}
	<-ln.closed
	if err := g.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown() = %v", err)
	}
}

func TestServeAfterShutdownReturns(t *testing.T) {
	g := newGate(&recorder{}, Limits{})
	must(t, g.Shutdown(t.Context()))
	ln := &fakeListener{closed: make(chan struct{})}
	if err := g.Serve(ln); err != nil {
		t.Errorf("Serve() = %v; want nil", err)
	}
	<-ln.closed
}

func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	g := start(t, &recorder{}, Limits{Connections: 1})
	first := g.dial(t, miltertest.Options{})
	send(t, first, mail())
	second := make(chan error, 1)
	go func() { // the backlog holds it until the first one ends
		c, err := miltertest.Dial(g.address, miltertest.Options{})
		if err == nil {
			_, err = c.Send(mail())
			err = errors.Join(err, c.Quit())
		}
		second <- err
	}()
	for g.count(t, "milter_accept_paused_total") == 0 {
		runtime.Gosched()
	}
	if n := g.count(t, "milter_sessions_active"); n != 1 {
		t.Errorf("%v sessions; want 1", n)
	}
	send(t, first, mail())
	must(t, first.Quit())
	if err := <-second; err != nil {
		t.Errorf("the second connection: %v", err)
	}
}

func TestShutdownEndsAPause(t *testing.T) {
	g := start(t, &recorder{}, Limits{Connections: 1})
	c := g.dial(t, miltertest.Options{})
	for g.count(t, "milter_accept_paused_total") == 0 {
		runtime.Gosched()
	}
	done := make(chan error, 1)
	go func() { done <- g.Shutdown(t.Context()) }()
	send(t, c, mail())
	must(t, c.Quit())
	if err := <-done; err != nil {
		t.Errorf("Shutdown() = %v", err)
	}
}

func TestShutdownServesWhatExistsUntilItsEnd(t *testing.T) {
	before := runtime.NumGoroutine()
	rec := &recorder{}
	g := newGate(rec, Limits{})
	path := filepath.Join(t.TempDir(), "s")
	ln, err := Listen("unix", path, 0o600)
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- g.Serve(ln) }()
	c, err := miltertest.Dial("unix:"+path, miltertest.Options{})
	must(t, err)
	send(t, c, mail())
	done := make(chan error, 1)
	go func() { done <- g.Shutdown(context.Background()) }()
	must(t, <-served)
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("the socket still takes connections")
	}
	send(t, c, mail()) // a further message on a connection that exists
	must(t, c.Quit())
	must(t, <-done)
	g.wantCount(t, 0, "milter_sessions_active")
	goroutines(t, before)
}

func TestShutdownClosesIdleSessionsAndFinishesMessages(t *testing.T) {
	before := runtime.NumGoroutine()
	rec := &recorder{}
	g := start(t, rec, Limits{})
	idle := g.dial(t, miltertest.Options{})
	send(t, idle, mail())
	busy := g.dial(t, miltertest.Options{})
	ok(t)(busy.Mail("a@b.example"))
	ok(t)(busy.EndOfHeader())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	done := make(chan error, 1)
	go func() { done <- g.Shutdown(ctx) }()
	closedByFilter(t, idle)
	ok(t)(busy.Body([]byte("x\r\n")))
	r, err := busy.EndOfMessage()
	ok(t)(r.Reply, err)
	closedByFilter(t, busy)
	if err := <-done; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 sessions") {
		t.Errorf("Shutdown() = %v; want 2 sessions", err)
	}
	g.wantCount(t, 0, "milter_errors_total")
	goroutines(t, before+1) // the one that Serve ran in may not have ended
}

func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, c := pipe(t, &recorder{}, Limits{})
		ok(t)(c.Mail("a@b.example"))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		began := time.Now()
		if err := g.Shutdown(ctx); err == nil {
			t.Error("Shutdown() = nil; want an error")
		}
		if d := time.Since(began); d != drainGrace {
			t.Errorf("Shutdown took %v; want %v", d, drainGrace)
		}
	})
}

// pipe serves one connection in memory.
func pipe(t *testing.T, h Handler, limits Limits) (*gate, *miltertest.Client) {
	g := newGate(h, limits)
	ours, theirs := net.Pipe()
	g.serve(t, &fakeListener{conns: []net.Conn{ours}, closed: make(chan struct{})})
	c, err := miltertest.New(theirs, miltertest.Options{Timeout: 24 * time.Hour})
	must(t, err)
	return g, c
}

func TestSilentPeerIsHungUpOn(t *testing.T) {
	for name, send := range map[string]string{"between frames": "", "within a frame": "\x00\x00"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, c := pipe(t, &recorder{}, Limits{})
				ok(t)(c.Mail("a@b.example"))
				_, err := c.Write([]byte(send))
				must(t, err)
				began := time.Now()
				closedByFilter(t, c)
				if d := time.Since(began); d != DefaultLimits().IdleTimeout {
					t.Errorf("hung up after %v; want %v", d, DefaultLimits().IdleTimeout)
				}
				g.wantCount(t, 1, "milter_errors_total", "mail", "timeout")
			})
		})
	}
}

func TestTCPWorksLikeASocketFile(t *testing.T) {
	ln, err := Listen("tcp", "127.0.0.1:0", 0)
	must(t, err)
	g := newGate(&recorder{}, Limits{})
	g.address = "tcp:" + ln.Addr().String()
	g.serve(t, ln)
	c := g.dial(t, miltertest.Options{})
	send(t, c, mail())
	must(t, c.Quit())
}

func TestManySessionsAtOnce(t *testing.T) {
	rec := &recorder{answer: func(m *seen) Answer { return Answer{Edits: []Edit{InsertField("X", m.env.QueueID)}} }}
	g := start(t, rec, Limits{})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			c, err := miltertest.Dial(g.address, miltertest.Options{Sendmail: i%2 == 0})
			if err != nil {
				t.Error(err)
				return
			}
			m := mail()
			for j := range 10 {
				m.QueueID = string(rune('A'+i)) + string(rune('a'+j))
				r, err := c.Send(m)
				if err != nil || len(r.Edits) != 1 || r.Edits[0].Value != " "+m.QueueID {
					t.Errorf("Send() = %+v, %v; want the queue id %s", r, err, m.QueueID)
				}
			}
			if err := c.Quit(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestListenNamesWhatItCannotOpen(t *testing.T) {
	for _, in := range [][2]string{{"unix", "/nonexistent/s"}, {"tcp", "127.0.0.1:99999"}, {"http", "x:1"}} {
		if _, err := Listen(in[0], in[1], 0o600); err == nil || !strings.Contains(err.Error(), in[0]+":"+in[1]) {
			t.Errorf("Listen(%q) = %v; want an error that names it", in, err)
		}
	}
}

func TestSocketFileHasItsMode(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o660, 0o666} {
		path := filepath.Join(t.TempDir(), "s")
		ln, err := Listen("unix", path, mode)
		must(t, err)
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != mode {
			t.Errorf("mode %v; want %v", info.Mode().Perm(), mode)
		}
		must(t, ln.Close())
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after Close the file is there: %v", err)
		}
	}
}

func TestStaleSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	stale.SetUnlinkOnClose(false)
	must(t, stale.Close())
	ln, err := Listen("unix", path, 0o600)
	if err != nil {
		t.Fatalf("Listen on a stale socket: %v", err)
	}
	if _, err := Listen("unix", path, 0o600); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("Listen on a live socket = %v; want an error", err)
	}
	must(t, ln.Close())
	must(t, os.WriteFile(path, []byte("x"), 0o600))
	if _, err := Listen("unix", path, 0o600); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("Listen on a file = %v; want an error", err)
	}
}
