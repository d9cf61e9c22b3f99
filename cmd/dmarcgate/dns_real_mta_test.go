//go:build mta

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/dnscache"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/mtatest"
)

// Here the name servers are real: unbound in front of NSD.

// A changed record is seen when the TTL of the old one is over: not before, as
// the caches must keep to it, and not much later.
func TestUnboundRecordChangeIsSeenAfterTTL(t *testing.T) {
	const ttl = 3 * time.Second
	zone := func(policy string) string {
		return fmt.Sprintf("bank.example. TXT \"v=spf1 -all\"\n_dmarc.bank.example. %d TXT \"v=DMARC1; p=%s\"\n", int(ttl.Seconds()), policy)
	}
	dns := mtatest.StartDNS(t, zone("none"))
	h := startDNSHost(t, dnscache.Config{Servers: []string{dns.Addr()}}, daemontest.Config{})
	n := 0
	send := func() string {
		n++
		a, err := h.deliver(h.Listeners()[0], processMail("bank.example", fmt.Sprintf("4Xt%d", n)))
		if err != nil {
			t.Fatal(err)
		}
		return a.answer()
	}
	queried := time.Now() // or later
	if got := send(); got != "delivered" {
		t.Fatalf("under p=none: %s; want it delivered", got)
	}
	dns.SetZone(zone("reject"))
	daemontest.Eventually(t, "the new policy", func() bool { return send() == "550" })
	// TTLs are whole seconds: each of the two caches may round one up or down.
	if took := time.Since(queried); took < ttl-2*time.Second || took > ttl+3*time.Second {
		t.Errorf("a record with a TTL of %v was used for %v", ttl, took)
	} else {
		t.Logf("a record with a TTL of %v was used for %v, by %d messages", ttl, took.Round(time.Millisecond), n)
	}
}

// What a validating server refuses is no answer: the domain's fault, and
// temporary. What it has validated is marked when it is trusted to say so.
func TestUnboundValidates(t *testing.T) {
	text := ""
	for _, domain := range []string{"good", "bad"} {
		text += fmt.Sprintf("%s.signed.example. TXT \"v=spf1 -all\"\n_dmarc.%[1]s.signed.example. TXT \"v=DMARC1; p=reject\"\n", domain)
	}
	signed, err := mtatest.SignZone("signed.example", text+"_dmarc.signed.example. TXT \"v=DMARC1; p=none\"\n", "_dmarc.bad.signed.example")
	if err != nil {
		t.Fatal(err)
	}
	dns := mtatest.StartValidatingDNS(t, "plain.example. TXT plain\n", signed)
	h := startDNSHost(t, dnscache.Config{Servers: []string{dns.Addr()}, Trusted: []string{dns.Addr()}}, daemontest.Config{})
	for domain, want := range map[string]string{"good.signed.example": "fail 550", "bad.signed.example": "temperror (domain) 451"} {
		a, err := h.deliver(h.Listeners()[0], processMail(domain, "4X"+domain))
		if err != nil {
			t.Fatal(err)
		}
		if got := a.dmarc() + " " + a.answer(); got != want {
			t.Errorf("a message from %s: %s; want %s", domain, got, want)
		}
	}
	untrusting, err := dnscache.New(dnscache.Config{Servers: []string{dns.Addr()}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(untrusting.Close)
	for _, c := range []struct {
		name string
		r    *dnscache.Resolver
		want string
	}{
		{"_dmarc.good.signed.example", h.resolver, "1 records, AD true, failed false"},
		{"_dmarc.good.signed.example", untrusting, "1 records, AD false, failed false"},
		{"_dmarc.bad.signed.example", h.resolver, "0 records, AD false, failed true"},
		{"plain.example", h.resolver, "1 records, AD false, failed false"},
	} {
		l := look(c.r, c.name)
		got := fmt.Sprintf("%d records, AD %v, failed %v", len(l.Records), l.AD, l.Err != nil)
		if got != c.want {
			t.Errorf("TXT %s: %s (%v); want %s", c.name, got, l.Err, c.want)
		}
		if l.Err != nil && !strings.Contains(l.Err.Error(), "bogus") {
			t.Errorf("TXT %s: %v; want the failure to be called bogus", c.name, l.Err)
		}
	}
}

// look looks TXT records up and returns what is known of the lookup.
func look(r *dnscache.Resolver, name string) dnscache.Lookup {
	var mu sync.Mutex
	var seen dnscache.Lookup
	_, _ = r.View(dnscache.DMARC).Traced(func(l dnscache.Lookup) {
		mu.Lock()
		defer mu.Unlock()
		seen = l
	}).TXT(context.Background(), name)
	return seen
}

// A key record that needs TCP, as no datagram has room for it.
func TestUnboundServesLargeKey(t *testing.T) {
	const size = 4096
	key, err := dkimtest.AnyRSA(4096)
	if err != nil {
		t.Fatal(err)
	}
	dns := mtatest.StartDNS(t, padded(key.Zone("s1", "bank.example"), size)+`
bank.example. TXT "v=spf1 -all"
_dmarc.bank.example. TXT "v=DMARC1; p=reject"
`)
	h := startDNSHost(t, dnscache.Config{Servers: []string{dns.Addr()}}, daemontest.Config{})
	m := processMail("bank.example", "4Xbig")
	if m.Message, err = key.Sign(m.Message, "bank.example", "s1"); err != nil {
		t.Fatal(err)
	}
	a, err := h.deliver(h.Listeners()[0], m)
	if err != nil {
		t.Fatal(err)
	}
	if a.dkim() != "pass" || a.dmarc() != "pass" {
		t.Errorf("dkim=%s, dmarc=%s (%+v); want pass", a.dkim(), a.dmarc(), a.row.Facts.DKIM)
	}
	l := look(h.resolver, "s1._domainkey.bank.example")
	if len(l.Records) != 1 || len(l.Records[0]) < size {
		t.Errorf("TXT of the key: %d records, error %v; want one of %d bytes or more", len(l.Records), l.Err, size)
	}
}

// padded puts notes (n=, RFC 6376, Section 3.6.1) into the zone line of a key,
// so that its text has size bytes or more.
func padded(line string, size int) string {
	const note = 200
	text := strings.TrimSuffix(line, "\n") + " \"; n=\""
	for range size/note + 1 {
		text += fmt.Sprintf(" %q", strings.Repeat("n", note))
	}
	return text + "\n"
}
