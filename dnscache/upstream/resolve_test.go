package upstream

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/dnscache/wire"
	"dmarcgate/internal/dnstest"
)

// failure asks for TXT and returns the error, which must be there.
func failure(t *testing.T, v view, name string) *Error {
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

func TestExchangeIgnoresForeignDatagrams(t *testing.T) {
	v := newRig(t, Config{}, dnstest.New(t, "example.com. TXT true\n!noise example.com")).View(DMARC)
	if got, err := v.TXT(background, "example.com"); err != nil || !slices.Equal(got, []string{"true"}) {
		t.Errorf("TXT = %q, %v; want the true answer", got, err)
	}
}

func TestExchangeIgnoresAnswerToOtherQuestion(t *testing.T) {
	cfg := Config{QueryTimeout: brief, Timeout: generous}
	v := newRig(t, cfg, dnstest.New(t, "example.com. TXT true\n!lie example.com")).View(DMARC)
	if e := failure(t, v, "example.com"); e.Kind != wire.Timeout {
		t.Errorf("kind = %v; want %v", e.Kind, wire.Timeout)
	}
}

func TestExchangeReportsMalformedAnswerAtDeadline(t *testing.T) {
	cfg := Config{QueryTimeout: 4 * brief, Timeout: generous}
	v := newRig(t, cfg, dnstest.New(t, "example.com. TXT true\n!broken example.com")).View(DMARC)
	if e := failure(t, v, "example.com"); e.Kind != wire.Malformed || e.Ours() {
		t.Errorf("%v, ours %v; want %v of the domain", e, e.Ours(), wire.Malformed)
	}
}

func TestExchangeRetriesServerWithoutEDNS(t *testing.T) {
	long := strings.Repeat("x", 1000)
	srv := dnstest.New(t, `example.com. TXT "`+long+`"`+"\n!noedns")
	v := newRig(t, Config{}, srv).View(DMARC)
	if got, err := v.TXT(background, "example.com"); err != nil || !slices.Equal(got, []string{long}) {
		t.Errorf("TXT = %q, %v; want the record", got, err)
	}
	if n := count(srv, "example.com"); n != 3 {
		t.Errorf("queried %d times; want with EDNS, without, and over TCP", n)
	}
}

func TestLookupTriesNextServerAfterFailure(t *testing.T) {
	for directive, timeout := range map[string]time.Duration{
		"!servfail example.com": generous, "!refuse example.com": generous,
		"!drop example.com": 10 * brief, "!broken example.com": 10 * brief,
	} {
		t.Run(directive, func(t *testing.T) {
			t.Parallel()
			bad := dnstest.New(t, directive)
			good := dnstest.New(t, "example.com. TXT good")
			v := newRig(t, Config{QueryTimeout: timeout, Timeout: 2 * generous}, bad, good).View(DMARC)
			if got, err := v.TXT(background, "example.com"); err != nil || !slices.Equal(got, []string{"good"}) {
				t.Errorf("TXT = %q, %v; want the answer of the second server", got, err)
			}
			if n := count(bad, "example.com"); n != 1 {
				t.Errorf("the first server was queried %d times; want 1", n)
			}
		})
	}
}

// deadAddr is an address where nobody listens.
func deadAddr(t *testing.T) string {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	return pc.LocalAddr().String()
}

func TestLookupSkipsUnreachableServer(t *testing.T) {
	good := dnstest.New(t, "example.com. TXT good")
	g := newRig(t, Config{Servers: []string{deadAddr(t)}}, good)
	if got, err := g.View(DMARC).TXT(background, "example.com"); err != nil || !slices.Equal(got, []string{"good"}) {
		t.Errorf("TXT = %q, %v; want the answer of the second server", got, err)
	}
	if n := g.metric(t, "dmarcgate_dns_queries_total", "dmarc", "network"); n != 1 {
		t.Errorf("network failures counted: %v; want 1", n)
	}
}

func TestErrorPrefersFailureOfLivingServer(t *testing.T) {
	lame := dnstest.New(t, "!servfail example.com")
	dead := deadAddr(t)
	for _, servers := range [][]string{{lame.Addr(), dead}, {dead, lame.Addr()}} {
		e := failure(t, newRig(t, Config{Servers: servers}).View(DMARC), "example.com")
		if e.Kind != wire.ServFail || e.Server != lame.Addr() || e.Ours() {
			t.Errorf("servers %q: %v, ours %v; want %v of %s", servers, e, e.Ours(), wire.ServFail, lame.Addr())
		}
	}
}

func TestLookupRetriesSilentServerOnce(t *testing.T) {
	for _, c := range []struct {
		directive string
		timeout   time.Duration
		want      int
	}{
		{"!drop example.com", brief, maxRounds},
		{"!servfail example.com", generous, 1},
		{"!refuse example.com", generous, 1},
	} {
		srv := dnstest.New(t, c.directive)
		failure(t, newRig(t, Config{QueryTimeout: c.timeout, Timeout: 2 * generous}, srv).View(DMARC), "example.com")
		if n := count(srv, "example.com"); n != c.want {
			t.Errorf("%s: queried %d times; want %d", c.directive, n, c.want)
		}
	}
}

func TestLookupEndsAtTimeout(t *testing.T) {
	v := newRig(t, Config{QueryTimeout: generous, Timeout: brief}, dnstest.New(t, "!down\n!any")).View(DMARC)
	began := time.Now()
	if e := failure(t, v, "example.com"); e.Kind != wire.Timeout {
		t.Errorf("kind = %v; want %v", e.Kind, wire.Timeout)
	}
	if d := time.Since(began); d > generous/2 {
		t.Errorf("took %v; want about %v", d, brief)
	}
}

func TestErrorOursNeedsFailedChecks(t *testing.T) {
	const lame = "!servfail sf.example.com\n!drop drop.example.com\n!refuse refuse.example.com\nok.example.com. TXT x\n"
	for _, c := range []struct {
		about, zone, name string
		before            string        // queried first
		ago               time.Duration // how long before
		want              blame         // at once
		later             blame         // after proofTime
	}{
		{"silence, and the check query was answered", lame, "drop.example.com", "", 0, domains, domains},
		{"refused, and the check query was answered", lame, "refuse.example.com", "", 0, domains, domains},
		{"SERVFAIL, and the check query was answered", lame, "sf.example.com", "", 0, domains, domains},
		{"silence, but another name was answered just now", lame, "drop.example.com", "ok.example.com", time.Second, domains, domains},
		{"silence, but another name was found missing just now", lame, "drop.example.com", "no.example.com", time.Second, domains, domains},
		{"refused, but another name was answered just now", lame, "refuse.example.com", "ok.example.com", time.Second, domains, domains},
		{"refused, and the last answer is old", lame, "refuse.example.com", "ok.example.com", recently + time.Second, domains, domains},
		{"refused after a SERVFAIL", lame, "refuse.example.com", "sf.example.com", 0, domains, domains},
		{"silence of a server that fails the check query", lame + "!servfail .", "drop.example.com", "", 0, unproven, ours},
		{"refused by a server that refuses the check query", lame + "!refuse .", "refuse.example.com", "", 0, unproven, ours},
		{"SERVFAIL of a server that fails the check query", lame + "!servfail .", "sf.example.com", "", 0, unproven, ours},
		{"silence of everything", "!down\n!any", "example.com", "", 0, unproven, ours},
	} {
		t.Run(c.about, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, Config{}, dnstest.New(t, c.zone))
			if c.before != "" {
				_, _ = g.View(DMARC).TXT(background, c.before)
				g.clock.advance(c.ago)
			}
			g.cfg.QueryTimeout = 4 * brief
			if e := failure(t, g.View(DMARC), c.name); e.blame != c.want {
				t.Errorf("%v: blame %v; want %v", e, e.blame, c.want)
			}
			if c.later == ours {
				s := (*g.servers.Load())[0]
				eventually(t, "the window is at one", func() bool { return g.Servers()[0].Window == 1 })
				eventually(t, "the proof has begun", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return !s.atOne.IsZero() })
			}
			g.clock.advance(proofTime)
			if e := failure(t, g.View(DMARC), c.name); e.blame != c.later {
				t.Errorf("%v later, %v: blame %v; want %v", proofTime, e, e.blame, c.later)
			}
		})
	}
}

func TestProbeNeedsAnswer(t *testing.T) {
	for _, c := range []struct {
		about, zone string
		timeout     time.Duration
		want        wire.Kind
	}{
		{"no records is an answer", "", generous, 0},
		{"SERVFAIL is not", "!servfail .", generous, wire.ServFail},
		{"REFUSED is not", "!refuse .", generous, wire.Refused},
		{"silence is not", "!down", brief, wire.Timeout},
	} {
		t.Run(c.about, func(t *testing.T) {
			srv := dnstest.New(t, c.zone)
			g := newRig(t, Config{QueryTimeout: c.timeout, Timeout: 2 * generous}, srv)
			for range 2 {
				err := g.Probe(background)
				var e *Error
				if errors.As(err, &e); (c.want == 0) != (err == nil) || e != nil && e.Kind != c.want {
					t.Errorf("Probe() = %v; want kind %v", err, c.want)
				}
			}
			if n := len(srv.Queries()); n < 2 {
				t.Errorf("%d queries; want one for each probe, uncached", n)
			}
		})
	}
}

func TestProbeEndsWithItsContext(t *testing.T) {
	srv := dnstest.New(t, "")
	arrived, release := srv.Hold(".")
	defer release()
	g := newRig(t, Config{}, srv)
	ctx, cancel := context.WithCancel(background)
	done := make(chan error)
	go func() { done <- g.Probe(ctx) }()
	<-arrived
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Probe with a cancelled context = %v; want %v", err, context.Canceled)
	}
}
