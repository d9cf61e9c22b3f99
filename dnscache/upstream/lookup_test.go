package upstream

import (
	"errors"
	"testing"

	"dmarcgate/dnscache/schedule"
	"dmarcgate/dnscache/wire"
	"dmarcgate/internal/dnstest"

	"github.com/miekg/dns"
)

func TestScheduleBoundsQueriesInFlight(t *testing.T) {
	srv := dnstest.New(t, "example.com. TXT x")
	g := newRig(t, Config{MaxInFlight: 1, QueryTimeout: generous, Timeout: brief}, srv)
	release := g.fill()
	if e := failure(t, g.View(SPF), "example.com"); e.Kind != wire.Pressure || !e.Pressure() || e.Ours() {
		t.Errorf("without a free place: %v; want %v", e, wire.Pressure)
	}
	if n := count(srv, "example.com"); n != 0 {
		t.Errorf("queried %d times without a free place", n)
	}
	release()
	g.cfg.Timeout = generous
	if _, err := g.View(SPF).TXT(background, "example.com"); err != nil {
		t.Errorf("with a free place: %v", err)
	}
	if n := g.Servers()[0].InFlight; n != 0 {
		t.Errorf("%d places taken after the answer", n)
	}
}

func TestLookupPanicFailsOneLookup(t *testing.T) {
	g := newRig(t, Config{}, dnstest.New(t, "example.com. TXT x"))
	bad := g.newLookup(Request{Purpose: SPF, Question: wire.Question{Type: dns.TypeTXT, Name: "example.com"}, Bill: ownBill})
	bad.place = &schedule.Place{} // of no server, so that asking trips over it
	var e *Error
	if _, err := g.guarded(background, bad); !errors.As(err, &e) || e.Kind != wire.Internal || e.Ours() {
		t.Errorf("after a panic: %v; want %v of the domain", err, wire.Internal)
	}
	if txts, err := g.View(SPF).TXT(background, "example.com"); err != nil || len(txts) != 1 {
		t.Errorf("the next lookup = %q, %v; want the record", txts, err)
	}
}
