package main

import (
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const (
	// attackSlow is how long the hostile zones take: longer than a lookup may
	// (dns.timeout), and than one exchange (dns.query_timeout).
	attackSlow = 6 * time.Second
	// attackNear is what every other answer takes, as over the Internet.
	attackNear = 20 * time.Millisecond
	// attackLimit is how many questions the servers of these tests take at
	// once: the default of dnsmasq (dns-forward-max).
	attackLimit = 150
)

// overflow is what a server does with a question above its limit.
type overflow int

const (
	overflowNever    overflow = iota // there is no limit
	overflowDrop                     // says nothing
	overflowRefuse                   // REFUSED
	overflowServfail                 // SERVFAIL
)

// attackServer is a name server of which some zones are slow. It makes its
// records up: every domain <letter><number>.example is there.
type attackServer struct {
	t      *testing.T
	above  overflow
	dkim   string // text of every key of a good domain
	closed chan struct{}
	udp    *dns.Server
	addr   string
	wg     sync.WaitGroup

	now      atomic.Int64 // questions at once
	most     atomic.Int64
	over     atomic.Int64 // above the limit
	slow     atomic.Int64 // about slow names
	pressed  chan struct{}
	pressing sync.Once
}

// startAttackServer serves until the test ends.
func startAttackServer(t *testing.T, above overflow, dkim string) *attackServer {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = pc.(*net.UDPConn).SetReadBuffer(4 << 20) // the limit is ours to keep, not the socket's
	s := &attackServer{t: t, above: above, dkim: dkim, closed: make(chan struct{}), pressed: make(chan struct{}), addr: pc.LocalAddr().String()}
	started := make(chan struct{})
	s.udp = &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(s.handle), NotifyStartedFunc: func() { close(started) }}
	s.wg.Go(func() { _ = s.udp.ActivateAndServe() })
	<-started
	t.Cleanup(func() {
		close(s.closed)
		_ = s.udp.Shutdown()
		s.wg.Wait()
	})
	return s
}

func (s *attackServer) handle(w dns.ResponseWriter, req *dns.Msg) {
	name := strings.ToLower(strings.TrimSuffix(req.Question[0].Name, "."))
	n := s.now.Add(1)
	defer s.now.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	if n > attackLimit && s.above != overflowNever {
		s.over.Add(1)
		s.overflow(w, req)
		return
	}
	if strings.HasPrefix(attackDomain(name), "f") {
		s.fail(w, req)
		return
	}
	latency := attackNear
	if isSlow(name) {
		latency = attackSlow
		s.slow.Add(1)
		s.pressing.Do(func() { close(s.pressed) })
	}
	timer := time.NewTimer(latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		_ = w.WriteMsg(s.reply(req, name))
	case <-s.closed:
	}
}

func (s *attackServer) overflow(w dns.ResponseWriter, req *dns.Msg) {
	rep := new(dns.Msg)
	switch s.above {
	case overflowRefuse:
		_ = w.WriteMsg(rep.SetRcode(req, dns.RcodeRefused))
	case overflowServfail:
		_ = w.WriteMsg(rep.SetRcode(req, dns.RcodeServerFailure))
	}
}

// fail answers for a zone that fails on purpose, each time in another way.
func (s *attackServer) fail(w dns.ResponseWriter, req *dns.Msg) {
	codes := []int{dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeFormatError, dns.RcodeNotImplemented}
	n := rand.IntN(len(codes) + 1)
	s.slow.Add(1)
	s.pressing.Do(func() { close(s.pressed) })
	if n == len(codes) {
		return // says nothing
	}
	_ = w.WriteMsg(new(dns.Msg).SetRcode(req, codes[n]))
}

// isSlow reports whether a name is in a hostile zone: slow.example, the
// thousand h*.example, and keys that victims have never published, as a name
// server that limits its answers about invented names does.
func isSlow(name string) bool {
	domain := attackDomain(name)
	return domain == "slow.example" || strings.HasPrefix(domain, "h") || strings.HasPrefix(domain, "v") && strings.Contains(name, "._domainkey.")
}

// attackDomain returns the last two labels of a name.
func attackDomain(name string) string {
	labels := strings.Split(name, ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}

// reply makes up what the zones have.
func (s *attackServer) reply(req *dns.Msg, name string) *dns.Msg {
	q, rep := req.Question[0], new(dns.Msg).SetReply(req)
	rep.RecursionAvailable = true
	if opt := req.IsEdns0(); opt != nil {
		rep.SetEdns0(opt.UDPSize(), false)
	}
	text := s.text(name)
	switch {
	case name == "" && q.Qtype == dns.TypeNS:
		rep.Answer = []dns.RR{&dns.NS{Hdr: attackHeader(q), Ns: "ns.example."}}
		return rep
	case text != "" && q.Qtype == dns.TypeTXT:
		rep.Answer = []dns.RR{&dns.TXT{Hdr: attackHeader(q), Txt: []string{text}}}
		return rep
	case text == "" && name != attackDomain(name):
		rep.Rcode = dns.RcodeNameError
	}
	rep.Ns = []dns.RR{&dns.SOA{
		Hdr: dns.RR_Header{Name: "example.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 300},
		Ns:  "ns.example.", Mbox: "hostmaster.example.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 300,
	}}
	return rep
}

func attackHeader(q dns.Question) dns.RR_Header {
	return dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 3600}
}

// text is the TXT record of a name. Good domains (g: SPF and DKIM, s: SPF
// alone, k: DKIM alone, c: as g, of which the cache knows) and victims (v, and
// b, of which the cache knows) publish p=reject.
func (s *attackServer) text(name string) string {
	domain := attackDomain(name)
	if strings.Count(domain, ".") == 0 {
		return ""
	}
	kind := domain[0]
	spf := kind == 'g' || kind == 's' || kind == 'c'
	switch {
	case strings.HasPrefix(name, "_dmarc.") && name == "_dmarc."+domain && strings.IndexByte("gskcvb", kind) >= 0:
		return "v=DMARC1; p=reject"
	case name == domain && spf:
		return "v=spf1 include:_spf." + domain + " -all"
	case name == "_spf."+domain && spf:
		return "v=spf1 ip4:198.18.0.0/15 -all"
	case name == domain && (kind == 'v' || kind == 'b'):
		return "v=spf1 -all"
	case name == "sel._domainkey."+domain && (kind == 'g' || kind == 'k' || kind == 'c'):
		return s.dkim
	}
	return ""
}
