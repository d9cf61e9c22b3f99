package pgtest

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// commit is how pgx sends it: a simple query (PostgreSQL, "Message Formats").
var commit = []byte("Q\x00\x00\x00\x0bcommit\x00")

// Proxy stands before the server and loses connections. Its methods may be
// called at once with connections going on. Only without TLS can it see what
// passes.
type Proxy struct {
	listener net.Listener
	server   string
	wg       sync.WaitGroup

	mu       sync.Mutex // guards what stands below
	cut      bool
	unsent   int // commits that will be lost on their way to the server
	unheard  int // commits whose acknowledgement will be lost
	lost     int
	accepted int
	conns    map[*link]bool
}

// link is one connection through the proxy.
type link struct{ client, server net.Conn }

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}

// Proxy starts a proxy before the server. It ends with the test.
func (s *Server) Proxy(t testing.TB) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, server: s.Addr(), conns: make(map[*link]bool)}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// URL returns the URL of a database by way of the proxy.
func (p *Proxy) URL(database string) string { return urlOf(p.listener.Addr().String(), database) }

// Cut drops all connections, and each that comes.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for l := range p.conns {
		l.close()
	}
}

// Fix ends Cut.
func (p *Proxy) Fix() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

// LoseCommits drops the connection of each of the next n commits before the
// server gets it.
func (p *Proxy) LoseCommits(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsent = n
}

// LoseAcknowledgements drops the connection of each of the next n commits when
// the server has done it, and before the client hears of it.
func (p *Proxy) LoseAcknowledgements(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unheard = n
}

// Lost returns how many commits were cut by LoseCommits and
// LoseAcknowledgements.
func (p *Proxy) Lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// Accepted returns how many connections were asked for.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			p.add(nil)
			continue
		}
		l := &link{client, server}
		if !p.add(l) {
			l.close()
			continue
		}
		heard := make(chan struct{}, 1)
		p.wg.Go(func() { p.forward(l, heard) })
		p.wg.Go(func() { p.back(l, heard) })
	}
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepted++
	if p.cut || l == nil {
		return false
	}
	p.conns[l] = true
	return true
}

// forward carries what the client says.
func (p *Proxy) forward(l *link, swallow chan<- struct{}) {
	defer p.remove(l)
	buf := make([]byte, 64<<10)
	for {
		n, err := l.client.Read(buf)
		if err != nil {
			return
		}
		if bytes.HasSuffix(buf[:n], commit) {
			if p.take(&p.unsent) {
				return
			}
			if p.take(&p.unheard) {
				swallow <- struct{}{}
			}
		}
		if _, err := l.server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// back carries what the server says, until it is to be swallowed.
func (p *Proxy) back(l *link, swallow <-chan struct{}) {
	defer p.remove(l)
	buf := make([]byte, 64<<10)
	for {
		n, err := l.server.Read(buf)
		if err != nil {
			return
		}
		select {
		case <-swallow:
			return
		default:
		}
		if _, err := l.client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// take uses up one of the losses that were asked for.
func (p *Proxy) take(left *int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if *left == 0 {
		return false
	}
	*left--
	p.lost++
	return true
}

func (p *Proxy) remove(l *link) {
	l.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, l)
}
