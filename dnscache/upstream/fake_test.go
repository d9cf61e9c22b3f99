package upstream

import (
	"context"
	"dmarcgate/internal/dnstest"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Limits of wire, as a server sees them.
const (
	ednsSize    = 1232 // of the queries
	maxDatagram = 4096 // what is read of a reply
	maxWrong    = 3    // wrong datagrams before a query is sent over TCP
	maxChase    = 4    // questions about a chain of CNAMEs that comes in pieces
)

// Limits of schedule, as lookups see them.
const (
	firstWindow = 50   // queries in flight at a server at first
	maxWaiting  = 2000 // lookups that wait for a place
)

// records reads records in their text form.
func records(t testing.TB, lines ...string) []dns.RR {
	t.Helper()
	var rrs []dns.RR
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

// fakeServer answers as a function says, over UDP and TCP: with nothing, with
// a message or with bytes.
type fakeServer struct {
	addr    string
	queries atomic.Int64
	last    atomic.Pointer[net.Conn] // over TCP
}

// peer is one query as a fakeServer got it.
type peer struct {
	*dns.Msg
	tcp bool
	w   dns.ResponseWriter
	f   *fakeServer
}

// raw sends bytes over TCP as they are.
func (p peer) raw(b []byte) { _, _ = (*p.f.last.Load()).Write(b) }

func (p peer) send(m *dns.Msg) { _ = p.w.WriteMsg(m) }

// fails sends a reply with a code and no records.
func (p peer) fails(rcode int) { p.send(new(dns.Msg).SetRcode(p.Msg, rcode)) }

// says answers with one TXT record of the name in the question.
func (p peer) says(txt ...string) {
	m := new(dns.Msg).SetReply(p.Msg)
	m.RecursionAvailable = true
	h := dns.RR_Header{Name: p.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 300}
	m.Answer = []dns.RR{&dns.TXT{Hdr: h, Txt: txt}}
	p.send(m)
}

// truncates says that the answer does not fit.
func (p peer) truncates() {
	m := new(dns.Msg).SetReply(p.Msg)
	m.Truncated = true
	p.send(m)
}

// name is the one in the question, in lower case.
func (p peer) name() string { return strings.ToLower(p.Question[0].Name) }

func (p peer) root() bool { return p.name() == "." }

// newFake serves until the end of the test.
func newFake(t testing.TB, handle func(peer)) *fakeServer {
	t.Helper()
	f := &fakeServer{}
	pc, ln := listenBoth(t)
	f.addr = pc.LocalAddr().String()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		f.queries.Add(1)
		_, tcp := w.RemoteAddr().(*net.TCPAddr)
		handle(peer{req, tcp, w, f})
	})
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: &tap{ln, &f.last}, Handler: handler}} {
		var wg sync.WaitGroup
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		wg.Go(func() { _ = s.ActivateAndServe() })
		<-started
		t.Cleanup(func() { _ = s.Shutdown(); wg.Wait() })
	}
	return f
}

// tap keeps the last connection that was accepted.
type tap struct {
	net.Listener
	last *atomic.Pointer[net.Conn]
}

func (l *tap) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.last.Store(&conn)
	}
	return conn, err
}

// listenBoth listens on one free port for UDP and TCP.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if ln, err := net.Listen("tcp4", pc.LocalAddr().String()); err == nil {
			return pc, ln
		}
		pc.Close()
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

// newTimers makes r wait by timers of the test.
func newTimers(r *Pool) *dnstest.Timers {
	f := dnstest.NewTimers()
	r.after = f.After
	return f
}

// cancelled runs f, cancels its context when ready is closed, and returns f's error.
func cancelled(t testing.TB, ready <-chan struct{}, f func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("ended before it was cancelled: %v", err)
	case <-time.After(generous):
		t.Fatal("never came to where it is cancelled")
	}
	cancel()
	select {
	case err := <-done:
		return err
	case <-time.After(generous):
		t.Fatal("cancelled in vain")
		return nil
	}
}
