package auth

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"dmarcgate/auth/arc"
	"dmarcgate/auth/dmarc"
	"dmarcgate/auth/spf"
	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/dnstest"
)

// charged counts lookups by class.
type charged struct {
	zone  *dnstest.Zone
	class Class
	log   *classLog
}

type classLog struct {
	mu      sync.Mutex
	clients []netip.Addr
	names   map[Class][]string
}

func (c charged) note(name string) {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.log.names[c.class] = append(c.log.names[c.class], name)
}

func (c charged) TXT(ctx context.Context, name string) ([]string, error) {
	c.note(name)
	return c.zone.TXT(ctx, name)
}
func (c charged) A(ctx context.Context, name string) ([]netip.Addr, error) {
	c.note(name)
	return c.zone.A(ctx, name)
}
func (c charged) AAAA(ctx context.Context, name string) ([]netip.Addr, error) {
	c.note(name)
	return c.zone.AAAA(ctx, name)
}
func (c charged) MX(ctx context.Context, name string) ([]string, error) {
	c.note(name)
	return c.zone.MX(ctx, name)
}
func (c charged) PTR(ctx context.Context, ip netip.Addr) ([]string, error) {
	c.note(ip.String())
	return c.zone.PTR(ctx, ip)
}
func (c charged) Exists(ctx context.Context, name string) (bool, error) {
	c.note(name)
	return c.zone.Exists(ctx, name)
}

// chargedCheck is check by class.
func chargedCheck(t *testing.T, z *dnstest.Zone, q Query, text string, change func(*Checker)) (Results, *classLog) {
	t.Helper()
	log := &classLog{names: make(map[Class][]string)}
	c := checker(z)
	c.Charge = func(client netip.Addr) func(Class) CacheOnly {
		log.mu.Lock()
		log.clients = append(log.clients, client)
		log.mu.Unlock()
		return func(class Class) CacheOnly {
			dns := charged{z, class, log}
			return CacheOnly{SPF: dns, DKIM: dns, DMARC: dns}
		}
	}
	if change != nil {
		change(c)
	}
	h, body := header(text)
	run := c.Start(t.Context(), q, h)
	run.Write(body)
	return run.Finish(), log
}

func signatureOf(domain, selector string) string {
	return "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=" + domain + "; s=" + selector + "; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
}

func TestChargeSeparatesLookupsOfAuthor(t *testing.T) {
	z := dnstest.NewZone(t, `
_dmarc.shop.example. TXT "v=DMARC1; p=reject"
bounce.shop.example. TXT "v=spf1 -all"
list.example.        TXT "v=spf1 -all"
mx.list.example.     TXT "v=spf1 -all"
`)
	text := signatureOf("list.example", "far") + signatureOf("shop.example", "near") + signatureOf("news.shop.example", "below") + "From: a@shop.example\r\n\r\n"
	for _, tt := range []struct {
		mailFrom string
		class    Class
	}{{"bounce.shop.example", OfAuthor}, {"list.example", OfOther}} {
		_, log := chargedCheck(t, z, Query{Client: client, Helo: "mx.list.example", MailFrom: "b@" + tt.mailFrom, Authors: []string{"shop.example"}}, text, nil)
		want := map[string]Class{
			"_dmarc.shop.example": OfAuthor, "near._domainkey.shop.example": OfAuthor, "below._domainkey.news.shop.example": OfAuthor,
			"far._domainkey.list.example": OfOther, "mx.list.example": OfOther, tt.mailFrom: tt.class,
		}
		for name, class := range want {
			if !slices.Contains(log.names[class], name) {
				t.Errorf("MAIL FROM %s: %s is not queried for in class %d: %v", tt.mailFrom, name, class, log.names)
			}
			if other := OfAuthor + OfOther - class; name != "shop.example" && slices.Contains(log.names[other], name) {
				t.Errorf("MAIL FROM %s: %s is queried for in class %d", tt.mailFrom, name, other)
			}
		}
		if len(log.clients) != 1 || log.clients[0] != client {
			t.Errorf("charged to %v; want %v once", log.clients, client)
		}
	}
}

func TestChargeIsNotCalledWithFullCache(t *testing.T) {
	z := dnstest.NewZone(t, "_dmarc.shop.example. TXT \"v=DMARC1; p=reject\"\nshop.example. TXT \"v=spf1 ip4:192.0.2.1 -all\"\n")
	res, log := chargedCheck(t, z, Query{Client: client, Helo: "x", MailFrom: "a@shop.example", Authors: []string{"shop.example"}}, "From: a@shop.example\r\n\r\n", func(c *Checker) {
		c.CacheOnly = func() CacheOnly { return CacheOnly{SPF: z, DKIM: z, DMARC: z, Complete: func() bool { return true }} }
	})
	if res.SPF.Status != spf.Pass || len(log.clients) != 0 {
		t.Errorf("SPF %v, charged to %v; want a pass, charged to none", res.SPF.Status, log.clients)
	}
}

// sealedMail is a message of shop.example with a chain of one hop.
func sealedMail(t *testing.T) (zone, text string) {
	t.Helper()
	key, err := dkimtest.Ed25519()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := key.Seal([]byte("From: a@shop.example\r\nSubject: x\r\n\r\n"), dkimtest.Hop{Domain: "list.example", Selector: "arc", Results: "list.example; dmarc=pass header.from=shop.example"})
	if err != nil {
		t.Fatal(err)
	}
	return key.Zone("arc", "list.example") + `
_dmarc.shop.example. TXT "v=DMARC1; p=reject"
_dmarc.none.example. TXT "v=spf1 -all"
shop.example.        TXT "v=spf1 ip4:192.0.2.1 -all"
`, string(sealed)
}

func TestARCIsCheckedForFailingMailOrAlways(t *testing.T) {
	zone, text := sealedMail(t)
	thirdParty := netip.MustParseAddr("203.0.113.1")
	for _, tt := range []struct {
		name    string
		client  netip.Addr
		authors []string
		all     bool
		want    arc.Status
	}{
		{"a message that passes", client, []string{"shop.example"}, false, arc.NotChecked},
		{"the same, where all are queried for", client, []string{"shop.example"}, true, arc.Pass},
		{"a message that fails", thirdParty, []string{"shop.example"}, false, arc.Pass},
		{"one author domain passes, another has no record", client, []string{"shop.example", "none.example"}, false, arc.Pass},
		{"a message without an author domain", client, nil, false, arc.Pass},
	} {
		t.Run(tt.name, func(t *testing.T) {
			z := dnstest.NewZone(t, zone)
			res, log := chargedCheck(t, z, Query{Client: tt.client, Helo: "x", MailFrom: "a@shop.example", Authors: tt.authors}, text, func(c *Checker) { c.AllChains = tt.all })
			if res.ARC.Status != tt.want || len(res.ARC.Sealers) != 1 || res.ARC.Sealers[0].Domain != "list.example" {
				t.Errorf("ARC = %+v; want %v, and the sealer in any case", res.ARC, tt.want)
			}
			queried := slices.Contains(log.names[OfOther], "arc._domainkey.list.example")
			if queried != (tt.want == arc.Pass) || slices.ContainsFunc(log.names[OfAuthor], func(n string) bool { return strings.HasPrefix(n, "arc.") }) {
				t.Errorf("lookups = %v; want the key of the chain among them: %v, as a third party's", log.names, tt.want == arc.Pass)
			}
		})
	}
}

func TestResultsNameDroppedLookups(t *testing.T) {
	zone, text := sealedMail(t)
	thirdParty := netip.MustParseAddr("203.0.113.1")
	for _, tt := range []struct {
		name, press string
		err         func(Results) error
	}{
		{"SPF", "!pressure shop.example", func(r Results) error { return r.SPF.Err }},
		{"HELO", "!pressure mx.list.example", func(r Results) error { return r.HELO.Err }},
		{"a key", "!pressure s._domainkey.list.example", func(r Results) error { return r.DKIM[0].Err }},
		{"the chain", "!pressure arc._domainkey.list.example", func(r Results) error { return r.ARC.Err }},
		{"the record", "!pressure _dmarc.shop.example", func(r Results) error { return r.Authors[0].Discovery.Err }},
		{"the standing", "!pressure shop.example MX", func(r Results) error { return r.Authors[0].SendsMail.Err }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			z := dnstest.NewZone(t, zone+tt.press+"\n")
			res := check(z, Query{Client: thirdParty, Helo: "mx.list.example", MailFrom: "a@shop.example", Authors: []string{"shop.example"}}, signatureOf("list.example", "s")+text)
			var kind *dnstest.Error
			if err := tt.err(res); !dmarc.GaveWay(err) || !errors.As(err, &kind) {
				t.Errorf("error = %v; want one that gave way", err)
			}
		})
	}
}
