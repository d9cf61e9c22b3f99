package auth

import (
	"context"
	"net/netip"
	"reflect"
	"testing"

	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/dnstest"
)

// partial is a cache that holds the answers for some names.
type partial struct {
	zone    *dnstest.Zone
	knows   func(name string) bool
	missed  bool
	queried int
}

func recall[T any](p *partial, name string, ask func() (T, error)) (T, error) {
	p.queried++
	if !p.knows(name) {
		p.missed = true
		var none T
		return none, errUnknown
	}
	return ask()
}

func (p *partial) TXT(ctx context.Context, name string) ([]string, error) {
	return recall(p, name, func() ([]string, error) { return p.zone.TXT(ctx, name) })
}
func (p *partial) A(ctx context.Context, name string) ([]netip.Addr, error) {
	return recall(p, name, func() ([]netip.Addr, error) { return p.zone.A(ctx, name) })
}
func (p *partial) AAAA(ctx context.Context, name string) ([]netip.Addr, error) {
	return recall(p, name, func() ([]netip.Addr, error) { return p.zone.AAAA(ctx, name) })
}
func (p *partial) MX(ctx context.Context, name string) ([]string, error) {
	return recall(p, name, func() ([]string, error) { return p.zone.MX(ctx, name) })
}
func (p *partial) PTR(ctx context.Context, ip netip.Addr) ([]string, error) {
	return recall(p, ip.String(), func() ([]string, error) { return p.zone.PTR(ctx, ip) })
}
func (p *partial) Exists(ctx context.Context, name string) (bool, error) {
	return recall(p, name, func() (bool, error) { return p.zone.Exists(ctx, name) })
}

func (p *partial) cacheOnly() CacheOnly {
	return CacheOnly{SPF: p, DKIM: p, DMARC: p, Complete: func() bool {
		cached := !p.missed
		p.missed = false
		return cached
	}}
}

// TestMemoryChangesNoResult has every single name missing once, none
// of them, and all. A mechanism that takes a failed lookup for "no match", as
// ptr does, must not be believed on half a memory.
func TestMemoryChangesNoResult(t *testing.T) {
	key, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	z := dnstest.NewZone(t, key.Zone("s1", "news.shop.example")+`
shop.example.        TXT "v=spf1 ptr include:inner.example -all"
inner.example.       TXT "v=spf1 mx ~all"
inner.example.       MX 10 out.example.
out.example.         A 192.0.2.1
mx.shop.example.     TXT "v=spf1 -all"
_dmarc.shop.example. TXT "v=DMARC1; p=none; sp=none; np=reject"
1.2.0.192.in-addr.arpa. PTR client.shop.example.
client.shop.example. A 192.0.2.1
`)
	signed, err := key.Sign([]byte("From: a@sub.shop.example\r\nSubject: x\r\n\r\nhello\r\n"), "news.shop.example", "s1")
	if err != nil {
		t.Fatal(err)
	}
	q := Query{Client: client, Helo: "mx.shop.example", MailFrom: "b@shop.example", Authors: []string{"sub.shop.example", "shop.example"}}
	want := check(z, q, string(signed))
	if !want.Authors[0].Identifiers[0].Passed || want.Authors[0].Discovery.PolicyDomain == "" {
		t.Fatalf("results = %+v; want a pass by ptr and a record", want)
	}
	run := func(knows func(string) bool) (Results, int) {
		p := &partial{zone: z, knows: knows}
		c := checker(z)
		c.CacheOnly = p.cacheOnly
		h, body := header(string(signed))
		r := c.Start(context.Background(), q, h)
		r.Write(body)
		return r.Finish(), p.queried
	}
	names := map[string]bool{}
	all := func(name string) bool { names[name] = true; return true }
	if got, _ := run(all); !reflect.DeepEqual(got, want) {
		t.Errorf("with all known: %+v; want %+v", got, want)
	}
	if got, _ := run(func(string) bool { return false }); !reflect.DeepEqual(got, want) {
		t.Errorf("with nothing known: %+v; want %+v", got, want)
	}
	if len(names) < 8 {
		t.Errorf("only %d names were queried: %v", len(names), names)
	}
	for missing := range names {
		if got, queried := run(func(name string) bool { return name != missing }); queried == 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("without %s: %+v; want %+v", missing, got, want)
		}
	}
}
