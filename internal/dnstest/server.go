package dnstest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Server answers for a zone on a loopback port, over UDP and TCP.
type Server struct {
	Zone *Zone

	addr     string
	udp, tcp *dns.Server
	ctx      context.Context // done when the server closes: ends what is slow or held
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu    sync.Mutex
	gates map[string]*gate
}

// gate holds the answers about one name.
type gate struct {
	once    sync.Once
	arrived chan struct{}
	open    chan struct{}
}

// New serves zone text for a test, until the end of the test. The test fails
// when the text is bad or when there was an unexpected query.
func New(t testing.TB, zoneText string) *Server {
	t.Helper()
	z := NewZone(t, zoneText)
	s, err := Serve(z)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Serve begins to answer for a zone on a free port of 127.0.0.1.
func Serve(zone *Zone) (*Server, error) { return ServeAt(zone, "127.0.0.1:0") }

// ServeAt begins to answer for a zone at an IPv4 address, "ip:port"; port 0 is
// a free one. Ports below 1024 are for root.
func ServeAt(zone *Zone, address string) (*Server, error) {
	pc, ln, err := listen(address)
	if err != nil {
		return nil, fmt.Errorf("dnstest: %w", err)
	}
	s := &Server{Zone: zone, addr: ln.Addr().String(), gates: make(map[string]*gate)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.udp = s.start(&dns.Server{PacketConn: pc})
	s.tcp = s.start(&dns.Server{Listener: ln})
	return s, nil
}

// portAttempts is how often a free UDP port may prove to be taken for TCP.
const portAttempts = 20

func listen(address string) (net.PacketConn, net.Listener, error) {
	var last error
	for range portAttempts {
		pc, err := net.ListenPacket("udp4", address)
		if err != nil {
			return nil, nil, err
		}
		ln, err := net.Listen("tcp4", pc.LocalAddr().String())
		if err == nil {
			return pc, ln, nil
		}
		last = err
		pc.Close()
	}
	return nil, nil, last
}

func (s *Server) start(srv *dns.Server) *dns.Server {
	started := make(chan struct{})
	srv.Handler = dns.HandlerFunc(s.handle)
	srv.NotifyStartedFunc = func() { close(started) }
	s.wg.Go(func() { _ = srv.ActivateAndServe() })
	<-started
	return srv
}

// Close stops the server and waits for what it is doing. Closing twice is harmless.
func (s *Server) Close() {
	s.cancel()
	_ = s.udp.Shutdown()
	_ = s.tcp.Shutdown()
	s.wg.Wait()
}

// RefuseUDP closes the UDP socket, so that the kernel refuses queries. The port
// stays taken, as it is open for TCP. It cannot be undone.
func (s *Server) RefuseUDP() { _ = s.udp.Shutdown() }

// Addr returns the address of the server, "127.0.0.1:port".
func (s *Server) Addr() string { return s.addr }

// Queries returns what the zone was queried so far; see Zone.Queries.
func (s *Server) Queries() []string { return s.Zone.Queries() }

// Unexpected returns the queries that nothing in the zone text suggests.
func (s *Server) Unexpected() []string { return s.Zone.Unexpected() }

// Hold keeps back the answers about a name until release is called. arrived
// is closed when the first query for it is there. It lets tests put events in
// order without waiting for time to pass.
func (s *Server) Hold(name string) (arrived <-chan struct{}, release func()) {
	g := &gate{arrived: make(chan struct{}), open: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gates[canonical(name)] = g
	return g.arrived, sync.OnceFunc(func() { close(g.open) })
}

func (s *Server) pass(name string) bool {
	s.mu.Lock()
	g := s.gates[name]
	s.mu.Unlock()
	if g == nil {
		return true
	}
	g.once.Do(func() { close(g.arrived) })
	select {
	case <-g.open:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// handle answers one query.
func (s *Server) handle(w dns.ResponseWriter, req *dns.Msg) {
	if len(req.Question) != 1 {
		return
	}
	q := req.Question[0]
	name := canonical(q.Name)
	d := s.Zone.ask(name, q.Qtype)
	if !s.pass(name) || d.down || d.has(drop, name, q.Qtype) {
		return
	}
	if wait(s.ctx, d.latency(name, q.Qtype)) != nil {
		return
	}
	asker, udp := w.RemoteAddr().(*net.UDPAddr)
	switch {
	case !udp && d.has(notcp, name, q.Qtype):
		_ = w.Close()
		return
	case udp && d.has(elsewhere, name, q.Qtype):
		s.strayed(asker, d.respond(req, udp))
		return
	}
	for _, wire := range d.respond(req, udp) {
		_, _ = w.Write(wire)
	}
}

// strayed sends answers from another port, and from another address with the
// right port.
func (s *Server) strayed(to *net.UDPAddr, wires [][]byte) {
	_, port, _ := net.SplitHostPort(s.addr)
	for _, from := range []string{"127.0.0.1:0", net.JoinHostPort("127.0.0.2", port)} {
		pc, err := net.ListenPacket("udp4", from)
		if err != nil {
			continue // a host may have 127.0.0.1 alone
		}
		for _, wire := range wires {
			_, _ = pc.WriteTo(wire, to)
		}
		pc.Close()
	}
}
