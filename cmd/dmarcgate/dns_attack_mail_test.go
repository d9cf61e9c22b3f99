package main

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/miltertest"
)

const (
	attackSets       = 50   // ARC sets of a hostile message, as many as a chain may have
	attackSignatures = 10   // DKIM signatures of one, as many as are verified
	attackDomains    = 1000 // hostile domains
	attackNetworks   = 50   // hostile networks
)

// shape is how hostile mail takes the resolver's time.
type shape struct {
	name     string
	domain   func(victim string) string // d= of the next signature
	author   func() string              // the author domain of the next message; hostileAuthor when nil
	networks int                        // that hostile mail comes from; 0 is another one for each message
	abandons bool                       // hostile mail is given up behind its header, and the next one sent at once
	harder   bool                       // than what is promised of good mail: no names of third parties are left by which to share
	relay    bool                       // all mail comes from our own relay, and good mail from one client behind it
}

// ownDomain is one of a thousand slow domains.
func ownDomain(string) string { return fmt.Sprintf("h%d.example", rand.IntN(attackDomains)) }

var attackShapes = []shape{
	{name: "one slow zone", domain: func(string) string { return "slow.example" }, networks: 1},
	{name: "a thousand domains", domain: ownDomain, networks: attackNetworks},
	{name: "selectors of the victim", domain: func(victim string) string { return victim }, networks: attackNetworks},
	{name: "authors of their own", domain: ownDomain, author: func() string {
		return fmt.Sprintf("a%x.b.c.d.e.f.%s", rand.Uint64(), ownDomain(""))
	}, networks: attackNetworks},
	{name: "zones that fail", domain: func(string) string { return fmt.Sprintf("f%d.example", rand.IntN(attackDomains)) }, author: func() string {
		return fmt.Sprintf("a%x.b.f%d.example", rand.Uint64(), rand.IntN(attackDomains))
	}, networks: attackNetworks},
	{name: "mail given up", domain: ownDomain, author: func() string {
		return fmt.Sprintf("a%x.b.%s", rand.Uint64(), ownDomain(""))
	}, networks: attackNetworks, abandons: true},
	{name: "a botnet", domain: ownDomain, author: func() string {
		return fmt.Sprintf("a%x.b.c.d.e.f.%s", rand.Uint64(), ownDomain(""))
	}, harder: true},
	{name: "one relay", domain: func(string) string { return "slow.example" }, networks: attackNetworks, relay: true},
}

// attackRelay is where mail comes from with shape.relay.
var attackRelay = netip.MustParseAddr("10.0.0.1")

const attackRelayConfig = "[[trusted_relay]]\nnetworks = [\"10.0.0.0/8\"]\nnames = [\"relay.receiver.example\"]\n"

// from lets a message come from a client, or from that client through our
// relay.
func (s shape) from(client netip.Addr, m miltertest.Mail) miltertest.Mail {
	m.Client, m.Helo = client, "mail.client.example"
	if s.relay {
		received := fmt.Sprintf("Received: from mail.client.example (unknown [%v])\r\n\tby relay.receiver.example (Postfix) with ESMTP id %s;\r\n\tMon, 5 Jan 2026 10:00:00 +0000\r\n", client, m.QueueID)
		m.Client, m.Message = attackRelay, append([]byte(received), m.Message...)
	}
	return m
}

// hostile is the client of hostile session n.
func (s shape) hostile(n int) netip.Addr {
	if s.networks == 0 {
		return netip.AddrFrom4([4]byte{100, byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32())})
	}
	return netip.AddrFrom4([4]byte{198, 51, byte(n % s.networks), byte(1 + n/s.networks%250)})
}

// good is the client of the nth good message.
func (s shape) good(n int) netip.Addr {
	if s.relay {
		n = 0
	}
	return netip.AddrFrom4([4]byte{198, 18, byte(n), 1})
}

// noise is the base64 of random bytes, as a signature has.
func noise(bytes int) string {
	b := make([]byte, bytes)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return base64.StdEncoding.EncodeToString(b)
}

// The hash of the body "hi\r\n": what a sender can get right, hostile mail has
// right.
const attackBody, attackBodyHash = "hi\r\n", "RHI91NDg1Go8f6isolS2HCe2tXiflhd+gsgHAECfFTU="

// hostileMessage is 54 KB: a chain and signatures whose keys nobody has queried
// for yet.
func hostileMessage(s shape, author string) []byte {
	var b strings.Builder
	key := func() string { return fmt.Sprintf("d=%s; s=k%x", s.domain(author), rand.Uint64()) }
	for i := attackSets; i > 0; i-- {
		cv := "pass"
		if i == 1 {
			cv = "none"
		}
		fmt.Fprintf(&b, "ARC-Seal: i=%d; a=rsa-sha256; cv=%s; %s;\r\n\tb=%s\r\n", i, cv, key(), noise(256))
		fmt.Fprintf(&b, "ARC-Message-Signature: i=%d; a=rsa-sha256; c=relaxed/relaxed; %s;\r\n\th=from:to:subject; bh=%s; b=%s\r\n", i, key(), attackBodyHash, noise(256))
		fmt.Fprintf(&b, "ARC-Authentication-Results: i=%d; mx.example; dmarc=pass header.from=%s\r\n", i, author)
	}
	for range attackSignatures {
		fmt.Fprintf(&b, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; %s;\r\n\th=from:to:subject; bh=%s; b=%s\r\n", key(), attackBodyHash, noise(256))
	}
	fmt.Fprintf(&b, "From: x@%s\r\nTo: u@receiver.example\r\nSubject: hostile\r\n\r\n%s", author, attackBody)
	return []byte(b.String())
}

// nextAuthor is the author domain of the next hostile message.
func (s shape) nextAuthor() string {
	if s.author != nil {
		return s.author()
	}
	return hostileAuthor()
}

// hostileAuthor is the author domain of a hostile message: the sender's own,
// slow; a victim's, known or not; or one without a record.
func hostileAuthor() string {
	switch n := rand.Uint64(); n % 4 {
	case 0:
		return fmt.Sprintf("a%x.b%x.slow.example", n, rand.Uint32())
	case 1:
		return "b1.example"
	case 2:
		return fmt.Sprintf("v%x.example", n)
	default:
		return fmt.Sprintf("n%x.example", n)
	}
}

// isVictim reports whether mail in the name of a domain must not be delivered.
func isVictim(author string) bool { return author[0] == 'v' || author[0] == 'b' }

// signed is a good message, with a signature unless its domain has none.
func goodMessage(t testing.TB, key dkimtest.Key, domain string) []byte {
	t.Helper()
	text := fmt.Appendf(nil, "From: a@%s\r\nSubject: hello\r\n\r\nhello\r\n", domain)
	if domain[0] == 's' {
		return text
	}
	text, err := key.Sign(text, domain, "sel")
	if err != nil {
		t.Fatal(err)
	}
	return text
}
