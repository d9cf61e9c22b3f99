package milter

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// Pauses between two attempts to accept while something is short.
const firstRetry, lastRetry = 5 * time.Millisecond, time.Second

// acceptor is one accept loop.
type acceptor struct {
	ln     net.Listener
	probes chan net.Conn // connections of Alive
}

// deadliner is what wakes an accept loop: the listeners of TCP and of unix
// sockets have it, those that systemd hands over included.
type deadliner interface{ SetDeadline(time.Time) error }

// past is a deadline that is over.
var past = time.Unix(1, 0)

// Serve accepts connections until Shutdown is called or ln is closed; then it
// returns nil. Another error means that ln cannot be used any more.
func (s *Server) Serve(ln net.Listener) error {
	a := s.open(ln)
	if a == nil {
		return ln.Close()
	}
	defer s.wg.Done()
	err := s.acceptAll(a)
	s.forget(a, err)
	return err
}

func (s *Server) acceptAll(a *acceptor) error {
	retry := firstRetry
	for s.acquire(a) {
		nc, err := s.accept(a)
		if err == nil {
			retry = firstRetry
			s.begin(nc)
			continue
		}
		<-s.slots
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case !passing(err):
			return fmt.Errorf("accepting on %s: %w", a.ln.Addr(), err)
		}
		s.Metrics.MilterError(s.Name, "other", "overload")
		s.logger().Error("cannot accept a connection", "listener", s.Name, "err", err, "retry", retry)
		s.pause(a, retry)
		retry = min(2*retry, lastRetry)
	}
	return nil
}

// passing tells errors of accept(2) that pass: a shortage here, or a client
// that has left the queue.
func passing(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EPROTO, syscall.EINTR, syscall.EPERM,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// accept waits for a connection. Alive wakes it with a deadline that is over;
// connections that wait meanwhile stay in the backlog.
func (s *Server) accept(a *acceptor) (net.Conn, error) {
	for {
		nc, err := a.ln.Accept()
		d, ok := a.ln.(deadliner)
		if !ok || !errors.Is(err, os.ErrDeadlineExceeded) {
			return nc, err
		}
		_ = d.SetDeadline(time.Time{}) // fails when ln is closed, as Accept does then
		s.answerProbes(a)
	}
}

// open enters a listener; it returns nil after Shutdown.
func (s *Server) open(ln net.Listener) *acceptor {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if s.closed {
		return nil
	}
	a := &acceptor{ln: ln, probes: make(chan net.Conn, 1)}
	s.loops = append(s.loops, a)
	s.wg.Add(1)
	return a
}

// init makes what the zero Server lacks. mu is held.
func (s *Server) init() {
	if s.closing == nil {
		s.Limits = s.Limits.withDefaults()
		s.slots = make(chan struct{}, s.Limits.Connections)
		s.closing = make(chan struct{})
		s.conns = map[*conn]struct{}{}
	}
}

func (s *Server) forget(a *acceptor, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loops = slices.DeleteFunc(s.loops, func(b *acceptor) bool { return b == a })
	if s.failed == nil {
		s.failed = err
	}
	_ = a.ln.Close() // it may be closed already
}

// acquire waits for a place for one more connection, before it is accepted:
// those that wait are the backlog's, not ours. It returns false at shutdown.
func (s *Server) acquire(a *acceptor) bool {
	select {
	case s.slots <- struct{}{}:
		return true
	default:
	}
	s.Metrics.AcceptPaused(s.Name)
	s.logger().Warn("connection limit reached; further connections are waiting", "listener", s.Name, "limit", s.Limits.Connections)
	for {
		select {
		case s.slots <- struct{}{}:
			return true
		case nc := <-a.probes:
			s.probe(nc)
		case <-s.closing:
			return false
		}
	}
}

// pause waits before the next attempt to accept.
func (s *Server) pause(a *acceptor, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return
		case nc := <-a.probes:
			s.probe(nc)
		case <-s.closing:
			return
		}
	}
}
