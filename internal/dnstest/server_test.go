package dnstest

import (
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
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
	if got := s.Zone.Queried(); got != 1 {
		t.Errorf("Queried() = %d; want 1", got)
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

// raw sends a query for TXT as a client that takes answers from anywhere does,
// and returns the first n datagrams with their senders.
func raw(t *testing.T, s *Server, name string, n int) (wires [][]byte, from []string) {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	to, err := net.ResolveUDPAddr("udp4", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
	m.Id = 0x1234
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.WriteTo(wire, to); err != nil {
		t.Fatal(err)
	}
	_ = pc.SetReadDeadline(time.Now().Add(10 * time.Second))
	for range n {
		buf := make([]byte, 1<<16)
		size, sender, err := pc.ReadFrom(buf)
		if err != nil {
			t.Fatalf("answers to a query for %s = %d; want %d: %v", name, len(wires), n, err)
		}
		wires, from = append(wires, buf[:size]), append(from, sender.String())
	}
	return wires, from
}

func TestABogusNameIsSERVFAILWithItsReason(t *testing.T) {
	s := New(t, "bogus.example. TXT x\n!bogus bogus.example")
	rep := query(t, s, "udp", "bogus.example.", true)
	var reason uint16
	if opt := rep.IsEdns0(); opt != nil && len(opt.Option) == 1 {
		reason = opt.Option[0].(*dns.EDNS0_EDE).InfoCode
	}
	if rep.Rcode != dns.RcodeServerFailure || len(rep.Answer) > 0 || reason != 6 { // RFC 8914, Section 4.7
		t.Errorf("with EDNS: %v; want SERVFAIL with code 6", rep)
	}
	if rep := query(t, s, "udp", "bogus.example.", false); rep.Rcode != dns.RcodeServerFailure || rep.IsEdns0() != nil {
		t.Errorf("without EDNS: %v; want SERVFAIL and nothing more", rep)
	}
}

func TestTheADBitIsSetWhereTheTextSaysSo(t *testing.T) {
	s := New(t, "a.example. TXT a\nb.example. TXT b\n!ad a.example")
	for name, want := range map[string]bool{"a.example.": true, "b.example.": false} {
		if rep := query(t, s, "udp", name, true); rep.AuthenticatedData != want || len(rep.Answer) != 1 {
			t.Errorf("%s: %v; want AD %v", name, rep, want)
		}
	}
}

func TestAliasesGoRoundInOneAnswer(t *testing.T) {
	s := New(t, "a.example. TXT a\n!loop a.example")
	rep := query(t, s, "udp", "a.example.", true)
	if len(rep.Answer) != 2 || rep.Rcode != dns.RcodeSuccess {
		t.Fatalf("%v; want two records", rep)
	}
	first, second := rep.Answer[0].(*dns.CNAME), rep.Answer[1].(*dns.CNAME)
	if first.Hdr.Name != "a.example." || first.Target != second.Hdr.Name || second.Target != first.Hdr.Name {
		t.Errorf("aliases %v and %v; want a circle from a.example.", first, second)
	}
}

func TestGarbageHasTheRightID(t *testing.T) {
	s := New(t, "a.example. TXT a\n!garbage a.example")
	seen := make(map[string]bool)
	for range 3 {
		wires, _ := raw(t, s, "a.example.", 1)
		if wire := wires[0]; len(wire) <= headerLen || wire[0] != 0x12 || wire[1] != 0x34 {
			t.Errorf("answer = %x; want more than a header, with the ID 1234", wire)
		}
		seen[string(wires[0])] = true
	}
	if len(seen) < 2 {
		t.Errorf("three answers are the same; want random ones")
	}
}

func TestAnswersFromElsewhereDoNotComeFromTheServer(t *testing.T) {
	s := New(t, "a.example. TXT a\n!elsewhere a.example")
	wires, from := raw(t, s, "a.example.", 2)
	for i, sender := range from {
		m := new(dns.Msg)
		if err := m.Unpack(wires[i]); err != nil || len(m.Answer) != 1 || sender == s.Addr() {
			t.Errorf("answer %v, %v from %s; want the right one from elsewhere", m, err, sender)
		}
	}
	_, port, _ := net.SplitHostPort(s.Addr())
	if want := "127.0.0.2:" + port; !slices.Contains(from, want) {
		t.Errorf("senders = %q; want %s among them", from, want)
	}
	if rep := query(t, s, "tcp", "a.example.", true); len(rep.Answer) != 1 {
		t.Errorf("over TCP: %v; want one record", rep)
	}
}

func TestTCPIsClosedWithoutAnAnswer(t *testing.T) {
	s := New(t, "a.example. TXT a\n!truncate a.example\n!notcp a.example")
	if rep := query(t, s, "udp", "a.example.", true); !rep.Truncated {
		t.Errorf("over UDP: %v; want TC", rep)
	}
	c := dns.Client{Net: "tcp", Timeout: 10 * time.Second}
	begin := time.Now()
	if rep, _, err := c.Exchange(new(dns.Msg).SetQuestion("a.example.", dns.TypeTXT), s.Addr()); err == nil || time.Since(begin) > c.Timeout/2 {
		t.Errorf("over TCP: %v, %v after %v; want an error at once", rep, err, time.Since(begin))
	}
}

func TestARefusingServerIsRefusedByTheKernel(t *testing.T) {
	s := New(t, "a.example. TXT a")
	s.RefuseUDP()
	c := dns.Client{Timeout: 10 * time.Second}
	if rep, _, err := c.Exchange(new(dns.Msg).SetQuestion("a.example.", dns.TypeTXT), s.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("over UDP: %v, %v; want connection refused", rep, err)
	}
	if rep := query(t, s, "tcp", "a.example.", false); len(rep.Answer) != 1 {
		t.Errorf("over TCP: %v; want one record", rep)
	}
}
