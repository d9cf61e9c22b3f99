package milter

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"dmarcgate/internal/miltertest"
)

// lateListener hands over a connection that the kernel gave out just before
// the listener was closed.
type lateListener struct {
	net.Listener
	closed chan struct{}
	late   chan net.Conn
}

func (l *lateListener) Accept() (net.Conn, error) {
	<-l.closed
	select {
	case c := <-l.late:
		return c, nil
	default:
		return nil, net.ErrClosed
	}
}

func (l *lateListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *lateListener) Addr() net.Addr { return &net.UnixAddr{Name: "late", Net: "unix"} }

// A connection that was accepted while Shutdown closed the listener is in
// nobody's backlog any more: it must be served until the drain ends, like all
// others.
func TestShutdownServesConnectionBeingAccepted(t *testing.T) {
	ours, theirs := net.Pipe()
	ln := &lateListener{closed: make(chan struct{}), late: make(chan net.Conn, 1)}
	ln.late <- theirs
	rec := &recorder{}
	s := &Server{Name: "test", Handler: rec}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	for loops := 0; loops == 0; runtime.Gosched() { // Serve enters its listener before Shutdown
		s.mu.Lock()
		loops = len(s.loops)
		s.mu.Unlock()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(ctx) }()
	c, err := miltertest.New(ours, miltertest.Options{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatalf("the session is closed at once, and the MTA tempfails: %v", err)
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown() = %v; want nil", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve() = %v; want nil", err)
	}
}
