package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"dmarcgate/dnscache/wire"
	"dmarcgate/internal/dnstest"

	"github.com/miekg/dns"
)

// strings255 cuts text into the strings of a TXT record.
func strings255(text string) []string {
	var list []string
	for len(text) > 255 {
		list, text = append(list, text[:255]), text[255:]
	}
	return append(list, text)
}

func TestExchangeReadsLongRecordsOverTCP(t *testing.T) {
	for _, size := range []int{4 << 10, 60_000} {
		long := strings.Repeat("k", size)
		srv := newFake(t, func(p peer) {
			if p.tcp {
				p.says(strings255(long)...)
				return
			}
			p.truncates()
		})
		v := newRig(t, Config{Servers: []string{srv.addr}}).View(DKIM)
		got, err := v.TXT(background, "s._domainkey.example.com")
		if err != nil || !slices.Equal(got, []string{long}) {
			t.Errorf("TXT of %d bytes: %d records, %v; want the whole record", size, len(got), err)
		}
	}
}

func TestExchangeRepeatsFullDatagramOverTCP(t *testing.T) {
	long := strings.Repeat("k", maxDatagram+1000)
	srv := newFake(t, func(p peer) { p.says(strings255(long)...) })
	v := newRig(t, Config{Servers: []string{srv.addr}}).View(DKIM)
	if got, err := v.TXT(background, "example.com"); err != nil || !slices.Equal(got, []string{long}) {
		t.Errorf("TXT: %d records, %v; want the whole record", len(got), err)
	}
}

func TestExchangeBlamesDomainForTruncatedReplyWithoutTCP(t *testing.T) {
	for about, want := range map[string]wire.Kind{"closed": wire.Network, "silent": wire.Timeout, "hangs up": wire.Network, "garbage": wire.Malformed} {
		t.Run(about, func(t *testing.T) {
			pc, ln := listenBoth(t)
			srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
				peer{Msg: req, w: w}.truncates()
			})}
			var wg sync.WaitGroup
			wg.Go(func() { _ = srv.ActivateAndServe() })
			wg.Go(func() { badTCP(ln, about) })
			t.Cleanup(func() { pc.Close(); ln.Close(); wg.Wait() })
			cfg := Config{Servers: []string{pc.LocalAddr().String()}}
			if about == "silent" {
				cfg.QueryTimeout, cfg.Timeout = 4*brief, generous
			}
			g := newRig(t, cfg)
			if e := failure(t, g.View(DMARC), "example.com"); e.Kind != want || e.Ours() {
				t.Errorf("%v, ours %v; want %v of the domain", e, e.Ours(), want)
			}
			if st := g.Servers()[0]; st.Down {
				t.Errorf("%+v; want it up: it answers over UDP", st)
			}
		})
	}
}

// badTCP is a server that fails over TCP, until ln is closed.
func badTCP(ln net.Listener, how string) {
	if how == "closed" {
		ln.Close()
	}
	var open []net.Conn
	for {
		conn, err := ln.Accept()
		if err != nil {
			break
		}
		switch how {
		case "hangs up":
			conn.Close()
			continue
		case "garbage":
			_, _ = conn.Write([]byte{0, 3, 'a', 'b', 'c'})
		}
		open = append(open, conn)
	}
	for _, conn := range open {
		conn.Close()
	}
}

func TestExchangeRepeatsQueryWithoutEDNS(t *testing.T) {
	for _, rcode := range []int{dns.RcodeFormatError, dns.RcodeNotImplemented, dns.RcodeBadVers} {
		t.Run(dns.RcodeToString[rcode], func(t *testing.T) {
			srv := newFake(t, func(p peer) {
				if opt := p.IsEdns0(); opt == nil {
					p.says("plain")
					return
				}
				m := new(dns.Msg).SetReply(p.Msg)
				if rcode > 0xf {
					m.SetEdns0(ednsSize, false)
				}
				m.Rcode = rcode
				p.send(m)
			})
			v := newRig(t, Config{Servers: []string{srv.addr}}).View(DMARC)
			if got, err := v.TXT(background, "example.com"); err != nil || !slices.Equal(got, []string{"plain"}) {
				t.Errorf("TXT = %q, %v; want the record", got, err)
			}
		})
	}
}

func TestExchangeFailsIfServerRefusesEveryForm(t *testing.T) {
	for _, rcode := range []int{dns.RcodeFormatError, dns.RcodeNotImplemented} {
		var n atomic.Int64
		srv := newFake(t, func(p peer) {
			if p.root() {
				p.says("alive")
				return
			}
			n.Add(1)
			p.fails(rcode)
		})
		g := newRig(t, Config{Servers: []string{srv.addr}})
		if e := failure(t, g.View(DMARC), "example.com"); e.Kind != wire.ServFail || e.Ours() || e.Pressure() {
			t.Errorf("%v, ours %v; want %v of the domain", e, e.Ours(), wire.ServFail)
		}
		if n := n.Load(); n != 2 {
			t.Errorf("%s: %d queries; want one with EDNS and one without", dns.RcodeToString[rcode], n)
		}
	}
}

func TestExchangeIgnoresReplyFromOtherAddress(t *testing.T) {
	srv := newFake(t, func(p peer) {
		to, _ := p.w.RemoteAddr().(*net.UDPAddr)
		liar, err := net.DialUDP("udp4", nil, to)
		if err != nil {
			t.Error(err)
			return
		}
		defer liar.Close()
		m := new(dns.Msg).SetReply(p.Msg)
		m.Answer = records(t, `example.com. TXT "forged"`)
		wire, _ := m.Pack()
		_, _ = liar.Write(wire)
		p.says("true")
	})
	v := newRig(t, Config{Servers: []string{srv.addr}}).View(DMARC)
	if got, err := v.TXT(background, "example.com"); err != nil || !slices.Equal(got, []string{"true"}) {
		t.Errorf("TXT = %q, %v; want the answer of the server", got, err)
	}
}

func TestExchangeVariesPortAndID(t *testing.T) {
	const n = 20
	var mu sync.Mutex
	ids, ports := map[uint16]bool{}, map[string]bool{}
	srv := newFake(t, func(p peer) {
		mu.Lock()
		ids[p.Id], ports[p.w.RemoteAddr().String()] = true, true
		mu.Unlock()
		p.says("x")
	})
	v := newRig(t, Config{Servers: []string{srv.addr}}).View(DMARC)
	for i := range n {
		if _, err := v.TXT(background, fmt.Sprintf("n%d.example.com", i)); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ids) < n-2 || len(ports) < n/2 {
		t.Errorf("%d queries had %d IDs and %d ports; want nearly all different", n, len(ids), len(ports))
	}
}

func TestChaseReportsAliasLoopAsMalformed(t *testing.T) {
	srv := newFake(t, func(p peer) {
		m := new(dns.Msg).SetReply(p.Msg)
		if !p.root() {
			m.Answer = records(t, "example.com. CNAME a.example.com.", "a.example.com. CNAME example.com.")
		}
		p.send(m)
	})
	g := newRig(t, Config{Servers: []string{srv.addr}, QueryTimeout: 4 * brief, Timeout: generous})
	if e := failure(t, g.View(DMARC), "example.com"); e.Kind != wire.Malformed || e.Ours() {
		t.Errorf("%v, ours %v; want %v of the domain", e, e.Ours(), wire.Malformed)
	}
	if g.Servers()[0].Down {
		t.Error("a domain's loop took the server down")
	}
}

func TestTrustedServersADBitIsKept(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		queried := make(chan bool, 1)
		srv := newFake(t, func(p peer) {
			queried <- p.AuthenticatedData
			m := new(dns.Msg).SetReply(p.Msg)
			m.AuthenticatedData = true
			m.Answer = records(t, "example.com. TXT x")
			p.send(m)
		})
		cfg := Config{Servers: []string{srv.addr}}
		if trusted {
			cfg.Trusted = cfg.Servers
		}
		g := newRig(t, cfg)
		a, err := g.resolveNow(background, DMARC, wire.Question{Type: dns.TypeTXT, Name: "example.com"})
		if err != nil || a.AD != trusted {
			t.Errorf("trusted %v: %+v, %v; want ad %v", trusted, a, err, trusted)
		}
		if ad := <-queried; ad != trusted {
			t.Errorf("trusted %v: queried with AD %v", trusted, ad)
		}
	}
}

// bogus is a server that finds every signature wrong.
func bogus(t testing.TB) *fakeServer {
	return newFake(t, func(p peer) {
		m := new(dns.Msg).SetRcode(p.Msg, dns.RcodeServerFailure)
		m.SetEdns0(ednsSize, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus}}
		p.send(m)
	})
}

func TestTrustedServersBogusAnswerIsFinal(t *testing.T) {
	bad, good := bogus(t), dnstest.New(t, "example.com. TXT x")
	cfg := Config{Servers: []string{bad.addr}}
	if got, err := newRig(t, cfg, good).View(DMARC).TXT(background, "example.com"); err != nil || len(got) != 1 {
		t.Errorf("TXT = %q, %v; want the answer of the second server", got, err)
	}
	cfg.Trusted = cfg.Servers
	g := newRig(t, cfg, good)
	if e := failure(t, g.View(DMARC), "example.com"); e.Kind != wire.Bogus || e.Ours() {
		t.Errorf("%v, ours %v; want %v of the domain", e, e.Ours(), wire.Bogus)
	}
	if n := g.metric(t, "dmarcgate_dns_queries_total", "dmarc", "bogus"); n != 1 || g.Servers()[0].Down {
		t.Errorf("%v bogus replies counted, %+v; want 1 from a server that is up", n, g.Servers()[0])
	}
}

func TestLookupCanBeCancelledAtEveryStage(t *testing.T) {
	for about, stage := range map[string]func(p peer, here func()){
		"waiting for a datagram":       func(_ peer, here func()) { here() },
		"waiting once more, no EDNS":   cancelWithoutEDNS,
		"waiting for a length in TCP":  cancelInTCP(nil),
		"waiting for a message in TCP": cancelInTCP([]byte{1, 0, 'x'}),
	} {
		t.Run(about, func(t *testing.T) {
			ready := make(chan struct{})
			here := sync.OnceFunc(func() { close(ready) })
			srv := newFake(t, func(p peer) { stage(p, here) })
			g := newRig(t, Config{Servers: []string{srv.addr}})
			err := cancelled(t, ready, func(ctx context.Context) error {
				_, err := g.resolveNow(ctx, DMARC, wire.Question{Type: dns.TypeTXT, Name: "example.com"})
				return err
			})
			st := g.Servers()[0]
			if !errors.Is(err, context.Canceled) || st.Failures != 0 || st.InFlight != 0 {
				t.Errorf("%v, %+v; want %v, nothing in flight and a blameless server", err, st, context.Canceled)
			}
		})
	}
}

func cancelWithoutEDNS(p peer, here func()) {
	if p.IsEdns0() != nil {
		p.fails(dns.RcodeFormatError)
		return
	}
	here()
}

func cancelInTCP(sent []byte) func(peer, func()) {
	return func(p peer, here func()) {
		if !p.tcp {
			p.truncates()
			return
		}
		p.raw(sent)
		here()
	}
}

func TestLookupCanBeCancelledInQueue(t *testing.T) {
	srv := dnstest.New(t, "example.com. TXT x")
	g := newRig(t, Config{MaxInFlight: 1}, srv)
	release := g.fill()
	ready := make(chan struct{})
	close(ready)
	err := cancelled(t, ready, func(ctx context.Context) error {
		_, err := g.resolveNow(ctx, DMARC, wire.Question{Type: dns.TypeTXT, Name: "example.com"})
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("resolve = %v; want %v", err, context.Canceled)
	}
	release()
	if n := len(srv.Queries()); n != 0 {
		t.Errorf("%d queries were sent without a place", n)
	}
}

func TestScheduleServesAllWaitingLookups(t *testing.T) {
	const callers = 10
	arrived, release := make(chan struct{}, callers), make(chan struct{})
	srv := newFake(t, func(p peer) {
		arrived <- struct{}{}
		<-release
		p.says("x")
	})
	g := newRig(t, Config{Servers: []string{srv.addr}, MaxInFlight: 1})
	done := make(chan error, callers)
	for i := range callers {
		go func() {
			_, err := g.View(SPF).TXT(background, fmt.Sprintf("n%d.example.com", i))
			done <- err
		}()
	}
	for i := range callers {
		<-arrived
		if n := srv.queries.Load(); n != int64(i+1) {
			t.Errorf("%d queries while %d were answered; want one at a time", n, i)
		}
		release <- struct{}{}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestHealthIgnoresLocalDescriptorShortage(t *testing.T) {
	srv := dnstest.New(t, "example.com. TXT x")
	g := newRig(t, Config{}, srv)
	restore := noDescriptors(t)
	_, err := g.View(DMARC).TXT(background, "example.com")
	probeErr := g.Probe(background)
	restore()
	var e *Error
	if !errors.As(err, &e) || e.Kind != wire.Local || !e.Pressure() || e.Ours() {
		t.Errorf("TXT without descriptors = %v; want %v, which is pressure: a sender can take them all", err, wire.Local)
	}
	if !errors.As(probeErr, &e) || e.Kind != wire.Local || !e.Pressure() || e.Ours() {
		t.Errorf("Probe without descriptors = %v; want %v, which is pressure", probeErr, wire.Local)
	}
	if st := g.Servers()[0]; st.Down || st.Failures != 0 {
		t.Errorf("%+v; want a blameless server", st)
	}
	e = &Error{Kind: wire.ServFail}
	if worse(e, &Error{Kind: wire.Local}) != e || worse(&Error{Kind: wire.Timeout}, &Error{Kind: wire.Local}).Kind != wire.Local {
		t.Error("a shortage tells less than SERVFAIL and more than silence")
	}
}

// noDescriptors lets the process open no more files until restore.
func noDescriptors(t *testing.T) (restore func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 0, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	restore = sync.OnceFunc(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(restore)
	return restore
}

func TestLookupCancellationLeaksNothing(t *testing.T) {
	const lookups = 1000
	srv := newFake(t, func(p peer) {
		if p.root() {
			p.fails(dns.RcodeSuccess)
		}
	})
	g := newRig(t, Config{Servers: []string{srv.addr}, MaxInFlight: 100})
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for i := range lookups {
		ctx, cancel := context.WithCancel(background)
		wg.Go(func() {
			k := wire.Question{Type: dns.TypeTXT, Name: fmt.Sprintf("n%d.example.com", i)}
			if _, err := g.resolveNow(ctx, SPF, k); !errors.Is(err, context.Canceled) {
				t.Errorf("resolve = %v; want %v", err, context.Canceled)
			}
		})
		if i%3 == 0 {
			runtime.Gosched()
		}
		cancel()
	}
	wg.Wait()
	eventually(t, "the goroutines of the lookups are gone", func() bool { return runtime.NumGoroutine() <= before })
	if st := g.Servers()[0]; st.InFlight != 0 || st.Failures != 0 {
		t.Errorf("%+v; want nothing in flight and a blameless server", st)
	}
}
