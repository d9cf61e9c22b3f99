package upstream

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"dmarcgate/dnscache/wire"

	"github.com/miekg/dns"
)

// pieces answers with one alias at a time, as a forwarder that follows none:
// each name points to the one after it, and the last has the record.
func pieces(t *testing.T, names ...string) *fakeServer {
	return newFake(t, func(p peer) {
		queried := strings.TrimSuffix(p.name(), ".")
		i := slices.Index(names, queried)
		switch {
		case i == len(names)-1:
			p.says("the end")
		case i < 0:
			p.fails(dns.RcodeNameError)
		default:
			m := new(dns.Msg).SetReply(p.Msg)
			m.RecursionAvailable = true
			m.Answer = []dns.RR{&dns.CNAME{
				Hdr:    dns.RR_Header{Name: p.Question[0].Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 60},
				Target: names[i+1] + ".",
			}}
			p.send(m)
		}
	})
}

func TestChaseFollowsIncompleteAlias(t *testing.T) {
	server := pieces(t, "a.example.com", "b.example.net", "c.example.org")
	g := newRig(t, Config{Servers: []string{server.addr}})
	got, err := g.View(DKIM).answer(background, "a.example.com")
	if err != nil || !slices.Equal(got.Records, []string{"the end"}) {
		t.Fatalf("TXT = %+v, %v; want the record at the end of the chain", got, err)
	}
	if got.TTL.Seconds() != 60 {
		t.Errorf("TTL = %v; want the least of the chain, 1m", got.TTL)
	}
}

func TestChaseFailsWithoutAliasTarget(t *testing.T) {
	for _, tt := range []struct {
		about string
		names []string
	}{
		{"a loop", []string{"a.example.com", "b.example.com", "a.example.com", "-"}},
		{"too many pieces", []string{"a.example.com", "b.example.com", "c.example.com", "d.example.com", "e.example.com", "f.example.com", "g.example.com"}},
	} {
		server := pieces(t, tt.names...)
		g := newRig(t, Config{Servers: []string{server.addr}})
		txts, err := g.View(DKIM).TXT(background, "a.example.com")
		var e *Error
		if !errors.As(err, &e) || e.Kind != wire.Malformed || len(txts) > 0 {
			t.Errorf("%s: TXT = %q, %v; want an error of kind malformed: it is not there to say that there is none", tt.about, txts, err)
		}
		if n := server.queries.Load(); n > 1+2*(maxChase+1) {
			t.Errorf("%s: %d queries; want at most %d and one to check the server", tt.about, n, maxChase+1)
		}
	}
}

func TestChaseOfMissingTargetIsNoRecord(t *testing.T) {
	server := newFake(t, func(p peer) {
		if p.name() != "a.example.com." {
			p.fails(dns.RcodeNameError)
			return
		}
		m := new(dns.Msg).SetReply(p.Msg)
		m.RecursionAvailable = true
		m.Answer = []dns.RR{&dns.CNAME{
			Hdr:    dns.RR_Header{Name: "a.example.com.", Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 60},
			Target: "gone.example.com.",
		}}
		p.send(m)
	})
	g := newRig(t, Config{Servers: []string{server.addr}})
	got, err := g.View(SPF).answer(background, "a.example.com")
	if err != nil || len(got.Records) > 0 || got.NXDomain {
		t.Errorf("TXT = %+v, %v; want none of a name that exists", got, err)
	}
}
