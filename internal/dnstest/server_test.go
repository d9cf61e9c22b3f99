package dnstest

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func query(t *testing.T, s *Server, network, name string, edns bool) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
	if edns {
		m.SetEdns0(1232, false)
	}
	c := dns.Client{Net: network, Timeout: 10 * time.Second}
	rep, _, err := c.Exchange(m, s.Addr())
	if err != nil {
		t.Fatalf("%s query for %s: %v", network, name, err)
	}
	return rep
}

func TestTheServerAnswersOverUDPAndTCP(t *testing.T) {
	s := New(t, `example.com. TXT "one"`)
	for _, network := range []string{"udp", "tcp"} {
		if rep := query(t, s, network, "Example.com.", false); len(rep.Answer) != 1 || rep.Rcode != dns.RcodeSuccess {
			t.Errorf("over %s: %v; want one record", network, rep)
		}
		if rep := query(t, s, network, "gone.example.com.", false); rep.Rcode != dns.RcodeNameError || len(rep.Ns) != 1 {
			t.Errorf("over %s: %v; want NXDOMAIN with an SOA", network, rep)
		}
	}
	want := []string{"TXT example.com", "TXT gone.example.com", "TXT example.com", "TXT gone.example.com"}
	if got := s.Queries(); !slices.Equal(got, want) {
		t.Errorf("Queries() = %q; want %q", got, want)
	}
}

func TestADelayedServerAnswersLater(t *testing.T) {
	const delay = 20 * time.Millisecond
	s := New(t, "example.com. TXT one\n!delay "+delay.String())
	begin := time.Now()
	query(t, s, "udp", "example.com.", true)
	if took := time.Since(begin); took < delay {
		t.Errorf("answered after %v; want %v or more", took, delay)
	}
	if got := s.Zone.Asked(); got != 1 {
		t.Errorf("Asked() = %d; want 1", got)
	}
}

func TestServerDirectivesShapeTheAnswer(t *testing.T) {
	s := New(t, `
		cut.example.com. TXT "one"
		cut.example.com. TXT "two"
		big.example.com. TXT "`+strings.Repeat("x", 2000)+`"
		!truncate cut.example.com
		!servfail sf.example.com
		!refuse refused.example.com
	`)
	if rep := query(t, s, "udp", "cut.example.com.", true); !rep.Truncated || len(rep.Answer) != 1 {
		t.Errorf("!truncate over UDP: %v; want TC and one record", rep)
	}
	if rep := query(t, s, "tcp", "cut.example.com.", true); rep.Truncated || len(rep.Answer) != 2 {
		t.Errorf("!truncate over TCP: %v; want both records", rep)
	}
	if rep := query(t, s, "udp", "big.example.com.", true); !rep.Truncated {
		t.Errorf("2000 bytes over UDP: %v; want TC", rep)
	}
	if rep := query(t, s, "udp", "sf.example.com.", true); rep.Rcode != dns.RcodeServerFailure {
		t.Errorf("!servfail: %v", rep)
	}
	if rep := query(t, s, "udp", "refused.example.com.", true); rep.Rcode != dns.RcodeRefused {
		t.Errorf("!refuse: %v", rep)
	}
}

func TestAServerWithoutEDNSSaysFORMERR(t *testing.T) {
	s := New(t, "example.com. TXT one\n!noedns")
	if rep := query(t, s, "udp", "example.com.", true); rep.Rcode != dns.RcodeFormatError {
		t.Errorf("with EDNS: %v; want FORMERR", rep)
	}
	if rep := query(t, s, "udp", "example.com.", false); len(rep.Answer) != 1 {
		t.Errorf("without EDNS: %v; want one record", rep)
	}
}

func TestHeldAnswersWaitForTheirRelease(t *testing.T) {
	s := New(t, "example.com. TXT one")
	arrived, release := s.Hold("example.com")
	done := make(chan *dns.Msg, 1)
	go func() {
		rep, _ := dns.Exchange(new(dns.Msg).SetQuestion("example.com.", dns.TypeTXT), s.Addr())
		done <- rep
	}()
	<-arrived
	select {
	case <-done:
		t.Error("answered before the release")
	default:
	}
	release()
	if rep := <-done; rep == nil || len(rep.Answer) != 1 {
		t.Errorf("after the release: %v; want one record", rep)
	}
}

func TestClosingEndsHeldAnswersAndFreesThePort(t *testing.T) {
	s, err := Serve(NewZone(t, "example.com. TXT one"))
	if err != nil {
		t.Fatal(err)
	}
	arrived, _ := s.Hold("example.com")
	conn, err := net.Dial("udp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wire, _ := new(dns.Msg).SetQuestion("example.com.", dns.TypeTXT).Pack()
	if _, err := conn.Write(wire); err != nil {
		t.Fatal(err)
	}
	<-arrived
	s.Close()
	s.Close()
	ln, err := net.Listen("tcp", s.Addr())
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	ln.Close()
}
