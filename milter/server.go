package milter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	gomilter "github.com/emersion/go-milter"

	"dmarcgate/metrics"
)

const (
	// keepAlive finds an MTA whose host has gone.
	keepAlive = 60 * time.Second
	// defaultProgress is half of Sendmail's default for a read at end of
	// message (T=R:10s), the shortest patience that there is.
	defaultProgress = 5 * time.Second
	// drainGrace is how long messages that are in progress may take when
	// Shutdown's context is done: the budget of a message, and some.
	drainGrace = 30 * time.Second
)

// Server serves MTAs on one or more listeners of one name. Set the fields
// before the first Serve.
type Server struct {
	// Name is the listener's name in envelopes, metrics and logs.
	Name    string
	Handler Handler
	Limits  Limits
	// Progress is how often an MTA that waits for Message.Finish is told that
	// the answer will come; 0 is 5 seconds.
	Progress time.Duration
	// HeaderMemory is shared with other servers; nil has no limit.
	HeaderMemory *HeaderMemory
	// Unseen is called for each message that ended after DATA without a
	// header field. May be nil; it is called by several connections at once.
	Unseen  func()
	Metrics *metrics.Metrics // may be nil
	Log     *slog.Logger     // nil is slog.Default
	Now     func() time.Time // nil is time.Now

	grace time.Duration // 0 is drainGrace

	wg sync.WaitGroup // accept loops and connections

	mu      sync.Mutex
	slots   chan struct{} // one for each connection
	closing chan struct{} // closed by Shutdown
	closed  bool
	drained bool // Shutdown's context is done
	loops   []*acceptor
	failed  error // what ended an accept loop
	conns   map[*conn]struct{}
}

func (s *Server) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

func (s *Server) logger() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}

// begin serves a connection. It has a place already, which end gives back.
func (s *Server) begin(nc net.Conn) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true) // failing, the connection works, more slowly
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive / 4})
	}
	c := newConn(nc, s.Limits)
	c.session = &session{srv: s, conn: c, log: s.logger().With("listener", s.Name)}
	c.onClose = func() { s.end(c) }
	s.mu.Lock()
	s.conns[c] = struct{}{}
	if s.drained {
		c.drain()
	}
	s.wg.Add(1) // Serve holds one, so this is not after Wait
	s.mu.Unlock()
	s.Metrics.SessionOpened(s.Name)
	go c.session.serve()
}

func (s *Server) end(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.Metrics.SessionClosed(s.Name)
	<-s.slots
	s.wg.Done()
}

// serve negotiates, then has go-milter run the session in a goroutine of its
// own, which ends with conn.Close.
func (s *session) serve() {
	if err := s.negotiate(); err != nil {
		s.lost(err)
		_ = s.conn.Close()
		return
	}
	server := gomilter.Server{
		NewMilter: func() gomilter.Milter { return s },
		Actions:   s.agreed.Actions,
		Protocol:  s.agreed.Protocol,
		SymList:   symLists,
	}
	_ = server.Serve(&oneShot{conn: s.conn}) // the end of the one-shot listener
}

// negotiate reads the offer, which must come first, and leaves its frame for
// go-milter to answer.
func (s *session) negotiate() error {
	s.stage = cmdNegotiate
	if err := s.conn.readFrame(); err != nil {
		return err
	}
	if s.conn.buf[4] != cmdNegotiate {
		return errors.New("a session that does not begin with an offer")
	}
	var err error
	if s.agreed, err = negotiate(s.conn.buf[5:]); err != nil {
		return err
	}
	s.log.Debug("milter session started", "version", s.agreed.Version, "actions", fmt.Sprintf("%#x", s.agreed.Actions),
		"protocol", fmt.Sprintf("%#x", s.agreed.Protocol))
	if missing := wantedActions &^ gomilter.OptSetSymList &^ s.agreed.Actions; missing != 0 {
		s.log.Warn("MTA does not offer all required milter actions", "missing", fmt.Sprintf("%#x", missing))
	}
	s.conn.rest = s.conn.buf
	s.conn.begin = time.Now().Add(s.conn.limits.FirstTimeout)
	return nil
}

// oneShot is a listener with one connection. go-milter's own accept loop ends
// at the first error, and its servers cannot be drained; one server for each
// connection needs neither.
type oneShot struct{ conn *conn }

func (l *oneShot) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, io.EOF
	}
	c := l.conn
	l.conn = nil
	return c, nil
}

func (l *oneShot) Close() error   { return nil }
func (l *oneShot) Addr() net.Addr { return nil }

// Shutdown stops accepting and waits for the sessions that exist: to close one
// earlier would make Postfix tempfail its next message. When ctx is done, idle
// sessions are closed at once and the others after the message in progress, for
// which they have 30 seconds. It returns nil when all sessions ended by
// themselves, else an error that wraps ctx.Err and says how many did not; they
// are counted, too (dmarcgate_milter_sessions_cut_total). In both cases no
// goroutine of the server is left, unless a handler has not
// returned: that one is waited for.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopAccepting()
	over := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(over)
	}()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.drained = true
	s.mu.Unlock()
	open := s.each((*conn).drain)
	s.Metrics.SessionsCut(s.Name, open)
	grace := time.NewTimer(s.graceTime())
	defer grace.Stop()
	select {
	case <-over:
	case <-grace.C:
		s.each((*conn).cut)
		<-over
	}
	if open == 0 {
		return nil
	}
	return fmt.Errorf("milter: %d sessions of %s were still open: %w", open, s.Name, ctx.Err())
}

// Full tells that every place for a connection is taken: further MTAs have to
// wait.
func (s *Server) Full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns) > 0 && len(s.conns) >= s.Limits.Connections
}

func (s *Server) progressEvery() time.Duration {
	if s.Progress <= 0 {
		return defaultProgress
	}
	return s.Progress
}

func (s *Server) graceTime() time.Duration {
	if s.grace == 0 {
		return drainGrace
	}
	return s.grace
}

func (s *Server) stopAccepting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if s.closed {
		return
	}
	s.closed = true
	close(s.closing)
	for _, a := range s.loops {
		_ = a.ln.Close() // Serve returns either way
	}
}

// each calls f for every connection and returns how many there are.
func (s *Server) each(f func(*conn)) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		f(c)
	}
	return len(s.conns)
}
