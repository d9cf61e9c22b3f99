package dnstest_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"dmarcgate/dnscache"
	"dmarcgate/internal/dnstest"
)

const agreeZone = `
	example.com.            TXT   "v=spf1 " "-all"
	raw.example.com.        TXT   "q\"b\\s;\195\164\000"
	example.com.            MX    20 b.example.com.
	example.com.            MX    10 A.Example.com.
	a.example.com.          A     192.0.2.1
	a.example.com.          AAAA  2001:db8::1
	*.wild.example.com.     TXT   "wild"
	alias.example.com.      CNAME a.example.com.
	dangling.example.com.   CNAME gone.example.com.
	loop.example.com.       CNAME loop.example.com.
	x.empty.example.com.    A     192.0.2.3
	1.2.0.192.in-addr.arpa. PTR   a.example.com.
	!servfail sf.example.com
	!refuse *.refused.example.com
	!truncate raw.example.com
	!ad a.example.com
	!truncate notcp.example.com
	!notcp notcp.example.com
	!bogus bogus.example.com
	!noise example.com
`

// asker is what a zone and a dnscache.View have in common.
type asker interface {
	TXT(context.Context, string) ([]string, error)
	A(context.Context, string) ([]netip.Addr, error)
	AAAA(context.Context, string) ([]netip.Addr, error)
	MX(context.Context, string) ([]string, error)
	PTR(context.Context, netip.Addr) ([]string, error)
	Exists(context.Context, string) (bool, error)
}

// show asks everything about a name.
func show(a asker, name string) string {
	ctx := context.Background()
	var out string
	line := func(v any, err error) {
		var temp interface{ Temporary() bool }
		out += fmt.Sprintf("%q failed=%v\n", v, errors.As(err, &temp) && temp.Temporary())
	}
	txt, err := a.TXT(ctx, name)
	line(txt, err)
	ip4, err := a.A(ctx, name)
	line(ip4, err)
	ip6, err := a.AAAA(ctx, name)
	line(ip6, err)
	mx, err := a.MX(ctx, name)
	line(mx, err)
	ptr, err := a.PTR(ctx, netip.MustParseAddr("192.0.2.1"))
	line(ptr, err)
	ok, err := a.Exists(ctx, name)
	line(fmt.Sprint(ok), err)
	return out
}

func TestAZoneMeansTheSameInProcessAndServed(t *testing.T) {
	srv := dnstest.New(t, agreeZone)
	r, err := dnscache.New(dnscache.Config{Servers: []string{srv.Addr()}, QueryTimeout: time.Minute, Timeout: time.Minute}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	for _, name := range []string{
		"example.com", "EXAMPLE.com.", "raw.example.com", "a.example.com", "x.wild.example.com", "wild.example.com",
		"alias.example.com", "dangling.example.com", "loop.example.com", "empty.example.com", "gone.example.com",
		"sf.example.com", "x.refused.example.com", "refused.example.com", "notcp.example.com", "bogus.example.com",
		"a..example.com", "\\\"@.example.com", "_dmarc.com",
	} {
		if direct, served := show(srv.Zone, name), show(r.View(dnscache.SPF), name); direct != served {
			t.Errorf("%s in process:\n%sserved:\n%s", name, direct, served)
		}
	}
}
