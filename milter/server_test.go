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

func TestServeSurvivesTemporaryAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(&recorder{}, Limits{})
		errs := []error{syscall.ECONNABORTED}
		for range 9 {
			errs = append(errs, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)})
		}
		ours, theirs := net.Pipe()
		began := time.Now()
		g.serve(t, &fakeListener{errs: errs, conns: []net.Conn{ours}, closed: make(chan struct{})})
		c, err := miltertest.New(theirs, miltertest.Options{Timeout: time.Hour})
		must(t, err)
		want := (5+10+20+40+80+160+320+640)*time.Millisecond + 2*time.Second
		if d := time.Since(began); d != want {
			t.Errorf("accepted after %v; want pauses that double up to a second: %v", d, want)
		}
		send(t, c, mail())
		must(t, c.Quit())
		g.wantCount(t, 10, "milter_errors_total", "other", "overload")
	})
}

func TestServeEndsAfterPermanentAcceptErrors(t *testing.T) {
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

func TestServeLimitsConnections(t *testing.T) {
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

func TestShutdownEndsAcceptPause(t *testing.T) {
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

func TestShutdownServesOpenSessions(t *testing.T) {
	before := runtime.NumGoroutine()
	rec := &recorder{}
	g := newGate(rec, Limits{})
	path := filepath.Join(t.TempDir(), "s")
	ln := listen(t, file(path))
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
	g.wantCount(t, 0, "milter_sessions_cut_total")
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
	g.wantCount(t, 2, "milter_sessions_cut_total", "in")
	goroutines(t, before+1) // the one that Serve ran in may not have ended
}

func TestShutdownClosesSessionsAtTimeout(t *testing.T) {
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
		g.wantCount(t, 1, "milter_sessions_cut_total", "in")
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

func TestReadTimeoutClosesSilentConnection(t *testing.T) {
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

func TestServeOverTCP(t *testing.T) {
	g := newGate(&recorder{}, Limits{})
	g.openTCP(t)
	c := g.dial(t, miltertest.Options{})
	send(t, c, mail())
	must(t, c.Quit())
}

// keeper is a listener that shows what it has accepted.
type keeper struct {
	net.Listener
	conns chan net.Conn
}

func (l keeper) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.conns <- c
	}
	return c, err
}

func TestServeEnablesTCPKeepAlive(t *testing.T) {
	g := newGate(&recorder{}, Limits{})
	ln := keeper{listen(t, Socket{Network: "tcp", Addr: "127.0.0.1:0"}), make(chan net.Conn, 1)}
	g.address = "tcp:" + ln.Addr().String()
	g.serve(t, ln)
	c := g.dial(t, miltertest.Options{}) // the session has begun
	raw, err := (<-ln.conns).(*net.TCPConn).SyscallConn()
	must(t, err)
	for _, tt := range []struct {
		name             string
		level, opt, want int
	}{
		{"SO_KEEPALIVE", syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 60},
		{"TCP_KEEPINTVL", syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15},
		{"TCP_NODELAY", syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
	} {
		var got int
		must(t, raw.Control(func(fd uintptr) { got, err = syscall.GetsockoptInt(int(fd), tt.level, tt.opt) }))
		must(t, err)
		if got != tt.want {
			t.Errorf("%s = %d; want %d", tt.name, got, tt.want)
		}
	}
	must(t, c.Quit())
}

func TestServeManySessions(t *testing.T) {
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
