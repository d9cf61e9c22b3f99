package dnscache

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"dmarcgate/internal/dnstest"

	"github.com/miekg/dns"
)

// failure asks for TXT and returns the error, which must be there.
func failure(t *testing.T, v View, name string) *Error {
	t.Helper()
	got, err := v.TXT(background, name)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("TXT(%q) = %q, %v; want an *Error", name, got, err)
	}
	if !e.Temporary() || e.Name != name || e.Type != "TXT" {
		t.Errorf("TXT(%q) failed with %#v; want a temporary error of that question", name, e)
	}
	return e
}

func TestExchangeRepeatsTruncatedAnswerOverTCP(t *testing.T) {
	long := strings.Repeat("x", 3000)
	srv := dnstest.New(t, `
		cut.example.com. TXT "one"
		cut.example.com. TXT "two"
		big.example.com. TXT "`+long+`"
		!truncate cut.example.com
	`)
	v := newRig(t, Config{}, srv).View(DMARC)
	for range 2 {
		if got, err := v.TXT(background, "cut.example.com"); err != nil || !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("TXT = %q, %v; want both records", got, err)
		}
		if got, err := v.TXT(background, "big.example.com"); err != nil || !slices.Equal(got, []string{long}) {
			t.Errorf("TXT = %q, %v; want %d bytes", got, err, len(long))
		}
	}
	if n := count(srv, "cut.example.com"); n != 2 {
		t.Errorf("queried %d times; want once over UDP and once over TCP", n)
	}
}

func TestExchangeNeverUsesPartialAnswer(t *testing.T) {
	// A server without TCP: the truncated answer is all there is.
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		rep := new(dns.Msg).SetReply(req)
		rr, _ := dns.NewRR(req.Question[0].Name + ` TXT "part"`)
		rep.Answer, rep.Truncated = []dns.RR{rr}, true
		_ = w.WriteMsg(rep)
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.ActivateAndServe() })
	t.Cleanup(func() { pc.Close(); wg.Wait() })
	g := newRig(t, Config{Servers: []string{pc.LocalAddr().String()}})
	if e := failure(t, g.View(DMARC), "example.com"); e.Kind != Network {
		t.Errorf("kind = %v; want %v", e.Kind, Network)
	}
	if e, _ := g.peek(key{Type: dns.TypeTXT, Name: "example.com"}); e.known() {
		t.Errorf("cached %+v; want no answer", e)
	}
}

func TestNewRejectsInvalidConfig(t *testing.T) {
	ok := []string{"127.0.0.1:53"}
	for about, cfg := range map[string]Config{
		"no servers":            {},
		"a name":                {Servers: []string{"localhost:53"}},
		"no port":               {Servers: []string{"127.0.0.1"}},
		"port 0":                {Servers: []string{"127.0.0.1:0"}},
		"a third party trusted": {Servers: ok, Trusted: []string{"127.0.0.2:53"}},
		"a name trusted":        {Servers: ok, Trusted: []string{"localhost:53"}},
		"negative timeout":      {Servers: ok, QueryTimeout: -1},
		"negative limit":        {Servers: ok, MaxInFlight: -1},
	} {
		if r, err := New(cfg, nil); err == nil {
			r.Close()
			t.Errorf("New with %s: no error", about)
		}
	}
}

func TestExchangeReadsAnswerInOtherCase(t *testing.T) {
	// dnstest repeats the question, and has the name in lower case in the answer.
	v := newRig(t, Config{}, dnstest.New(t, "alias.example.com. CNAME end.example.com.\nend.example.com. TXT x")).View(DMARC)
	if txts, err := v.TXT(background, "alias.example.com"); err != nil || !slices.Equal(txts, []string{"x"}) {
		t.Errorf("TXT = %q, %v; want the record at the end of the alias", txts, err)
	}
	if ok, err := v.Exists(background, "missing-name.example.com"); ok || err != nil {
		t.Errorf("Exists = %v, %v; want false", ok, err)
	}
}
