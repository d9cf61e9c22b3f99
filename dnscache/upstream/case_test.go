package upstream

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"dmarcgate/dnscache/wire"

	"github.com/miekg/dns"
)

// lowering answers with its own spelling of the name, as some servers do.
func (p peer) lowering(txt string) {
	m := new(dns.Msg).SetReply(p.Msg)
	m.RecursionAvailable = true
	m.Question[0].Name = p.name()
	m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: p.name(), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 300}, Txt: []string{txt}}}
	p.send(m)
}

func TestMixedCaseIsRandomAndCompared(t *testing.T) {
	var mu sync.Mutex
	spellings := make(map[string]bool)
	srv := newFake(t, func(p peer) {
		mu.Lock()
		spellings[p.Question[0].Name] = true
		mu.Unlock()
		p.says("x")
	})
	g := newRig(t, Config{Servers: []string{srv.addr}})
	for i := range 20 {
		if txts, err := g.View(DMARC).TXT(background, fmt.Sprintf("n%d.example.com", i)); err != nil || len(txts) != 1 {
			t.Fatalf("TXT = %q, %v; want the record", txts, err)
		}
	}
	capitals := 0
	mu.Lock()
	defer mu.Unlock()
	for name := range spellings {
		if name != strings.ToLower(name) {
			capitals++
		}
	}
	if capitals < 18 || srv.queries.Load() != 20 {
		t.Errorf("%d of 20 names with capitals in %d queries; want nearly all, and one query each", capitals, srv.queries.Load())
	}
}

func TestMixedCaseEndsForServerThatChangesCase(t *testing.T) {
	var udp, tcp atomic.Int64
	srv := newFake(t, func(p peer) {
		if p.tcp {
			tcp.Add(1)
		} else {
			udp.Add(1)
		}
		p.lowering("x")
	})
	g := newRig(t, Config{Servers: []string{srv.addr}})
	ask := func(name string, wantUDP, wantTCP int64) {
		t.Helper()
		if txts, err := g.View(DMARC).TXT(background, name); err != nil || len(txts) != 1 {
			t.Fatalf("TXT = %q, %v; want the record", txts, err)
		}
		if udp.Load() != wantUDP || tcp.Load() != wantTCP {
			t.Errorf("%s: %d datagrams and %d over TCP; want %d and %d", name, udp.Load(), tcp.Load(), wantUDP, wantTCP)
		}
	}
	ask("first-name.example.com", 1, 1)
	ask("second-name.example.com", 2, 1)
	ask("third-name.example.com", 3, 1)
	if n := g.metric(t, "dmarcgate_dns_wrong_replies_total", "case"); n != 1 {
		t.Errorf("%v wrong replies counted; want the first", n)
	}
	g.clock.advance(caseTime)
	ask("fourth-name.example.com", 4, 2)
}

func TestMixedCaseSurvivesForgedReply(t *testing.T) {
	srv := newFake(t, func(p peer) {
		if p.tcp {
			p.says("true")
			return
		}
		p.lowering("forged")
	})
	g := newRig(t, Config{Servers: []string{srv.addr}})
	for i := range 2 * maxRecased {
		txts, err := g.View(DMARC).TXT(background, fmt.Sprintf("some-name%d.example.com", i))
		if err != nil || !slices.Equal(txts, []string{"true"}) {
			t.Errorf("TXT = %q, %v; want what was said over TCP", txts, err)
		}
	}
	if n := g.metric(t, "dmarcgate_dns_wrong_replies_total", "case"); n != 2*maxRecased {
		t.Errorf("%v wrong replies counted; want %d", n, 2*maxRecased)
	}
}

func TestMixedCaseEndsForServerWithoutTCP(t *testing.T) {
	pc, ln := listenBoth(t)
	ln.Close()
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		peer{Msg: req, w: w}.lowering("x")
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.ActivateAndServe() })
	t.Cleanup(func() { pc.Close(); wg.Wait() })
	g := newRig(t, Config{Servers: []string{pc.LocalAddr().String()}})
	for i := range 2 { // each is queried twice
		_, _ = g.View(DMARC).TXT(background, fmt.Sprintf("some-name%d.example.com", i))
	}
	if txts, err := g.View(DMARC).TXT(background, "last-name.example.com"); err != nil || len(txts) != 1 {
		t.Errorf("TXT = %q, %v; want the record by now", txts, err)
	}
}

// flood sends wrong replies to a query before the true one.
func (p peer) flood(n int, change func(*dns.Msg)) {
	for range n {
		m := new(dns.Msg).SetReply(p.Msg)
		m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: p.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 300}, Txt: []string{"forged"}}}
		change(m)
		p.send(m)
	}
}

func TestExchangeUsesTCPAfterThreeWrongReplies(t *testing.T) {
	for why, change := range map[string]func(*dns.Msg){
		"id":       func(m *dns.Msg) { m.Id++ },
		"question": func(m *dns.Msg) { m.Question[0].Name = "other.example.net." },
	} {
		for n := range maxWrong + 3 {
			t.Run(fmt.Sprintf("%d with another %s", n, why), func(t *testing.T) {
				var tcp atomic.Int64
				srv := newFake(t, func(p peer) {
					if p.tcp {
						tcp.Add(1)
					} else {
						p.flood(n, change)
					}
					p.says("true")
				})
				g := newRig(t, Config{Servers: []string{srv.addr}})
				if txts, err := g.View(DMARC).TXT(background, "example.com"); err != nil || !slices.Equal(txts, []string{"true"}) {
					t.Errorf("TXT = %q, %v; want the true record", txts, err)
				}
				want := int64(0)
				if n >= maxWrong {
					want = 1
				}
				if got := tcp.Load(); got != want {
					t.Errorf("queried %d times over TCP; want %d", got, want)
				}
				if got := g.metric(t, "dmarcgate_dns_wrong_replies_total", why); got != float64(min(n, maxWrong)) {
					t.Errorf("%v wrong replies counted; want %d", got, min(n, maxWrong))
				}
			})
		}
	}
}

func TestExchangeBlamesNoServerForWrongRepliesWithoutTCP(t *testing.T) {
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		p := peer{Msg: req, w: w}
		if !p.root() {
			p.flood(maxWrong, func(m *dns.Msg) { m.Id++ })
		}
		p.says("true")
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.ActivateAndServe() })
	t.Cleanup(func() { pc.Close(); wg.Wait() })
	g := newRig(t, Config{Servers: []string{pc.LocalAddr().String()}})
	if e := failure(t, g.View(DMARC), "example.com"); e.Kind != wire.Network || e.Ours() {
		t.Errorf("%v, ours %v; want %v, not ours", e, e.Ours(), wire.Network)
	}
	if g.Servers()[0].Down {
		t.Error("forged replies took the server down")
	}
}
