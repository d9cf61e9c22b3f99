package milter

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"dmarcgate/internal/miltertest"
)

// shut returns a context that is done.
func shut() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx, cancel
}

// soon returns a context for what is not going to happen.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestAliveOfServingServer(t *testing.T) {
	before := runtime.NumGoroutine()
	g := newGate(&recorder{}, Limits{})
	g.open(t)
	unix := g.address
	g.openTCP(t) // on the same server
	tcp := g.address
	for range 3 {
		if err := g.Alive(t.Context()); err != nil {
			t.Errorf("Alive() = %v; want nil", err)
		}
	}
	g.wantCount(t, 0, "milter_sessions_total")
	g.wantCount(t, 0, "milter_errors_total")
	if log := g.log.String(); log != "" {
		t.Errorf("Alive logs %q", log)
	}
	goroutines(t, before+2) // the accept loops
	for _, g.address = range []string{unix, tcp} {
		c := g.dial(t, miltertest.Options{})
		if err := g.Alive(t.Context()); err != nil {
			t.Errorf("Alive() with a session = %v; want nil", err)
		}
		send(t, c, mail())
		must(t, c.Quit())
	}
	g.wantCount(t, 2, "milter_sessions_total")
}

func TestAliveConcurrently(t *testing.T) {
	g := start(t, &recorder{}, Limits{})
	answers := make(chan error, 20)
	for range cap(answers) {
		go func() { answers <- g.Alive(t.Context()) }()
		c := g.dial(t, miltertest.Options{})
		send(t, c, mail())
		must(t, c.Quit())
	}
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Errorf("Alive() = %v; want nil", err)
		}
	}
}

func TestAliveAtConnectionLimit(t *testing.T) {
	g := start(t, &recorder{}, Limits{Connections: 1})
	c := g.dial(t, miltertest.Options{})
	g.wantCount(t, 1, "milter_accept_paused_total")
	for range 2 {
		if err := g.Alive(t.Context()); err != nil {
			t.Errorf("Alive() = %v; want nil", err)
		}
	}
	send(t, c, mail())
	must(t, c.Quit())
	second := g.dial(t, miltertest.Options{})
	send(t, second, mail())
	g.wantCount(t, 2, "milter_sessions_total")
}

func TestAliveFailsBeforeServe(t *testing.T) {
	g := newGate(&recorder{}, Limits{})
	if err := g.Alive(t.Context()); err == nil {
		t.Error("Alive() before Serve = nil; want an error")
	}
	ln := listen(t, file(filepath.Join(t.TempDir(), "s")))
	served := make(chan error, 1)
	go func() { served <- g.Serve(ln) }()
	must(t, ln.Close())
	must(t, <-served)
	if err := g.Alive(t.Context()); err == nil {
		t.Error("Alive() after the listener was closed = nil; want an error")
	}
	must(t, g.Shutdown(t.Context()))
	if err := g.Alive(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Alive() after Shutdown = %v; want net.ErrClosed", err)
	}
}

func TestAliveFailsAfterAcceptError(t *testing.T) {
	g := start(t, &recorder{}, Limits{}) // another loop goes on
	broken := &fakeListener{errs: []error{syscall.EBADF}, closed: make(chan struct{})}
	if err := g.Serve(broken); err == nil {
		t.Fatal("Serve() = nil; want an error")
	}
	if err := g.Alive(t.Context()); !errors.Is(err, syscall.EBADF) || !strings.Contains(err.Error(), "in:") {
		t.Errorf("Alive() = %v; want EBADF of in", err)
	}
}

// stuck is a listener whose Accept does not return.
type stuck struct {
	*net.UnixListener
	release chan struct{}
}

func (l stuck) Accept() (net.Conn, error) {
	<-l.release
	return l.UnixListener.Accept()
}

func TestAliveFailsWithStuckAcceptLoop(t *testing.T) {
	g := newGate(&recorder{}, Limits{})
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	must(t, err)
	release := make(chan struct{})
	g.serve(t, stuck{ln, release})
	for range 3 { // the first leaves its connection behind, the others find no place
		if err := g.Alive(soon(t)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Alive() = %v; want that time is up", err)
		}
	}
	close(release)
	if err := g.Alive(t.Context()); err != nil {
		t.Errorf("Alive() when the loop turns again = %v; want nil", err)
	}
}

// A listener that cannot be woken is taken at its word.
func TestAliveWithListenerWithoutDeadlines(t *testing.T) {
	g := newGate(&recorder{}, Limits{})
	ours, theirs := net.Pipe()
	g.serve(t, &fakeListener{conns: []net.Conn{ours}, closed: make(chan struct{})})
	c, err := miltertest.New(theirs, miltertest.Options{})
	must(t, err)
	if err := g.Alive(t.Context()); err != nil {
		t.Errorf("Alive() = %v; want nil", err)
	}
	must(t, c.Quit())
}

// exhaust leaves no descriptor to this process until restore is called, which
// may be more than once.
func exhaust(t *testing.T) (restore func()) {
	t.Helper()
	var old syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old))
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 0, Max: old.Max}))
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Errorf("restoring the limit: %v", err)
		}
	}
}

// fdConn makes a connection of a descriptor.
func fdConn(t *testing.T, fd int) net.Conn {
	t.Helper()
	f := os.NewFile(uintptr(fd), "socket")
	c, err := net.FileConn(f)
	must(t, err)
	must(t, f.Close())
	return c
}

// The real thing: no descriptor is left, so accept(2) fails, until there are
// some again.
func TestAliveWithoutDescriptors(t *testing.T) {
	g := start(t, &recorder{}, Limits{})
	must(t, g.Alive(t.Context()))
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	restore := exhaust(t)
	defer restore()
	must(t, syscall.Connect(fd, &syscall.SockaddrUnix{Name: strings.TrimPrefix(g.address, "unix:")}))
	for g.count(t, "milter_errors_total", "other", "overload") == 0 {
		runtime.Gosched()
	}
	if err := g.Alive(t.Context()); err != nil {
		t.Errorf("Alive() without descriptors = %v; want nil", err)
	}
	restore()
	c, err := miltertest.New(fdConn(t, fd), miltertest.Options{})
	must(t, err)
	send(t, c, mail())
	must(t, c.Quit())
}
