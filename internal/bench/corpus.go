package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"dmarcgate/internal/dkimtest"
	"dmarcgate/internal/miltertest"
)

// mail is a message as the MTA hands it over.
type mail struct {
	plan
	client netip.Addr
	helo   string
	from   string // envelope
	fields []miltertest.Field
	body   []byte
	proof  proof
	primer bool // the first of its domain and signing: warms the cache
}

// corpus is the mix, and the DNS that belongs to it.
type corpus struct {
	mails  []*mail
	zone   string
	floor  floorKeys
	octets int // of all messages
}

// signers are the keys of all senders. One of each kind will do: the daemon
// reads every key record anew.
type signers struct{ rsa, ed dkimtest.Key }

const (
	rsaSelector, edSelector = "r1", "e1"
	// service is the domain of the mail service that some senders use.
	service = "esp.example"
)

func makeCorpus(seed uint64, n int) (*corpus, error) {
	rsaKey, err := dkimtest.RSA(2048)
	if err != nil {
		return nil, err
	}
	edKey, err := dkimtest.Ed25519()
	if err != nil {
		return nil, err
	}
	c := &corpus{mails: make([]*mail, n)}
	if c.floor, err = newFloorKeys(); err != nil {
		return nil, err
	}
	keys := signers{rsaKey, edKey}
	plans := makePlans(seed, n)
	if err := parallel(n, func(i int) (err error) {
		c.mails[i], err = makeMail(plans[i], rand.New(rand.NewPCG(seed, uint64(block+i))), keys, c.floor)
		return err
	}); err != nil {
		return nil, err
	}
	c.finish(keys)
	return c, nil
}

// finish writes the zone and marks the messages that warm the cache. TTLs, those
// of negative answers too, are as long as the cache lets them be: a run should
// not see them end.
func (c *corpus) finish(keys signers) {
	var zone strings.Builder
	fmt.Fprintf(&zone, "$TTL 86400\n%s. TXT \"v=spf1 -all\"\n_spf.%s. TXT \"v=spf1 ip4:198.18.0.0/15 -all\"\n%s!any\n!negttl 86400\n", service, service, keys.rsa.Zone(rsaSelector, service))
	type sender struct {
		domain int
		sign   signing
	}
	seen, named := make(map[sender]bool), make(map[int]bool)
	for _, m := range c.mails {
		if s := (sender{m.domain, m.sign}); !seen[s] {
			seen[s], m.primer = true, true
		}
		if !named[m.domain] {
			named[m.domain] = true
			zone.WriteString(domainZone(m.domain, keys))
		}
		c.octets += m.size
	}
	c.zone = zone.String()
}

// primers returns one message for each domain and kind of signature.
func (c *corpus) primers() []*mail {
	var out []*mail
	for _, m := range c.mails {
		if m.primer {
			out = append(out, m)
		}
	}
	return out
}

func orgDomain(i int) string { return fmt.Sprintf("d%04d.example", i) }

// authorDomain is a subdomain for one domain in three: its record is found by
// the tree walk.
func authorDomain(i int) string {
	if i%3 == 0 {
		return "mail." + orgDomain(i)
	}
	return orgDomain(i)
}

// bounceDomain is one of a mail service's for every second domain.
func bounceDomain(i int) string {
	if i%2 == 0 {
		return "bounce." + orgDomain(i)
	}
	return authorDomain(i)
}

// clientOf returns an address of the network for benchmarks (RFC 2544).
func clientOf(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
}

// domainZone is what a domain publishes.
func domainZone(i int, keys signers) string {
	org, ip := orgDomain(i), clientOf(i)
	lines := []string{
		fmt.Sprintf(`_dmarc.%s. TXT "v=DMARC1; p=reject; rua=mailto:dmarc@%s"`, org, org),
		fmt.Sprintf(`%s. TXT "v=spf1 ip4:%s -all"`, authorDomain(i), ip),
		fmt.Sprintf(`bounce.%s. TXT "v=spf1 include:_spf.%s -all"`, org, service),
		fmt.Sprintf(`mx.%s. A %s`, org, ip),
		fmt.Sprintf(`mx.%s. TXT "v=spf1 a -all"`, org),
	}
	return strings.Join(lines, "\n") + "\n" + keys.rsa.Zone(rsaSelector, org) + keys.ed.Zone(edSelector, org)
}

func makeMail(p plan, rng *rand.Rand, keys signers, floor floorKeys) (*mail, error) {
	m := &mail{plan: p, client: clientOf(p.domain), helo: "mx." + orgDomain(p.domain), from: "b@" + bounceDomain(p.domain)}
	text, err := keys.sign(writeText(p, rng), p)
	if err != nil {
		return nil, err
	}
	m.fields, m.body = miltertest.Split(text)
	m.proof, err = floor.prove(m)
	return m, err
}

func (k signers) sign(text []byte, p plan) ([]byte, error) {
	org := orgDomain(p.domain)
	if p.sign == ed25519Only {
		return k.ed.Sign(text, org, edSelector)
	}
	text, err := k.rsa.Sign(text, org, rsaSelector)
	if err == nil && p.sign == twoRSA {
		text, err = k.rsa.Sign(text, service, rsaSelector)
	}
	return text, err
}

// parallel calls f for 0 to n-1 on all processors and returns the first error.
func parallel(n int, f func(int) error) error { return concurrent(runtime.GOMAXPROCS(0), n, f) }

// concurrent calls f for 0 to n-1 in so many goroutines and returns the first
// error.
func concurrent(workers, n int, f func(int) error) error {
	var next atomic.Int64
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for errs[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[w] = f(i)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
