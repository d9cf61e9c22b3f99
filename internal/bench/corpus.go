package main

import (
	"bytes"
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
	primer bool // the first of its domain, signing and fate: warms the cache
}

// corpus is the mix, and the DNS that belongs to it.
type corpus struct {
	mails    []*mail
	sessions [][]*mail // the same mails, by SMTP session
	zone     string
	floor    floorKeys
	canon    canonFloor
}

// signers are the key pairs of all senders. Domains share them in turn.
type signers map[signing][]dkimtest.Key

// Selectors, and how many key pairs of a kind there are.
const (
	rsa2048Selector, rsa1024Selector, ed25519Selector = "r1", "k1", "e1"
	pairs                                             = 4
	// service is the domain of the mail service that some senders use.
	service = "esp.example"
)

var selectors = map[signing]string{signRSA2048: rsa2048Selector, signRSA1024: rsa1024Selector, signEd25519: ed25519Selector}

func newSigners() (signers, error) {
	keys := make(signers)
	for range pairs {
		for kind, generate := range map[signing]func() (dkimtest.Key, error){
			signRSA2048: func() (dkimtest.Key, error) { return dkimtest.RSA(2048) },
			signRSA1024: func() (dkimtest.Key, error) { return dkimtest.RSA(1024) },
			signEd25519: dkimtest.Ed25519,
		} {
			key, err := generate()
			if err != nil {
				return nil, err
			}
			keys[kind] = append(keys[kind], key)
		}
	}
	return keys, nil
}

func (k signers) of(kind signing, domain int) dkimtest.Key { return k[kind][domain%pairs] }

func makeCorpus(seed uint64, n int) (*corpus, error) {
	keys, err := newSigners()
	if err != nil {
		return nil, err
	}
	c := &corpus{mails: make([]*mail, n)}
	if c.floor, err = newFloorKeys(); err != nil {
		return nil, err
	}
	plans := makePlans(seed, n)
	if err := parallel(n, func(i int) (err error) {
		c.mails[i], err = makeMail(plans[i], rand.New(rand.NewPCG(seed, uint64(block+i))), keys, c.floor)
		return err
	}); err != nil {
		return nil, err
	}
	c.sessions = makeSessions(seed, c.mails)
	c.canon, err = newCanonFloor(keys)
	c.finish(keys)
	return c, err
}

// finish writes the zone and marks the messages that warm the cache. TTLs, those
// of negative answers too, are as long as the cache lets them be: a run should
// not see them end.
func (c *corpus) finish(keys signers) {
	var zone strings.Builder
	fmt.Fprintf(&zone, "$TTL 86400\n%s. TXT \"v=spf1 -all\"\n_spf.%s. TXT \"v=spf1 ip4:198.18.0.0/15 -all\"\n%s!any\n!negttl 86400\n",
		service, service, keys.of(signRSA2048, 0).Zone(rsa2048Selector, service))
	seen, named := make(map[plan]bool), make(map[int]bool)
	for _, m := range c.mails {
		if alike := (plan{0, m.sign, m.domain, m.fate}); !seen[alike] {
			seen[alike], m.primer = true, true
		}
		if !named[m.domain] {
			named[m.domain] = true
			zone.WriteString(domainZone(m.domain, keys))
		}
	}
	c.zone = zone.String()
}

// primers returns one message for each domain, kind of signature and fate, each
// in a session of its own.
func (c *corpus) primers() [][]*mail {
	var out [][]*mail
	for _, m := range c.mails {
		if m.primer {
			out = append(out, []*mail{m})
		}
	}
	return out
}

// play returns sessions with n messages: all of them over and over.
func (c *corpus) play(n int) [][]*mail {
	var out [][]*mail
	for i := 0; n > 0; i++ {
		s := c.sessions[i%len(c.sessions)]
		s = s[:min(n, len(s))]
		out = append(out, s)
		n -= len(s)
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

// thirdParties is how many hosts send what fails.
const thirdParties = 100

// thirdPartyOf returns the address of a host for which no domain's SPF passes.
func thirdPartyOf(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{203, 0, 113, byte(i % thirdParties)})
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
	text := strings.Join(lines, "\n") + "\n"
	for kind, selector := range selectors {
		text += keys.of(kind, i).Zone(selector, org)
	}
	return text
}

func makeMail(p plan, rng *rand.Rand, keys signers, floor floorKeys) (*mail, error) {
	m := &mail{plan: p, client: clientOf(p.domain), helo: "mx." + orgDomain(p.domain), from: "b@" + bounceDomain(p.domain)}
	text := writeText(p, rng)
	if p.fate != spoofed {
		var err error
		if text, err = keys.sign(text, p); err != nil {
			return nil, err
		}
	}
	if p.fate == altered {
		text = append(bytes.TrimSuffix(text, []byte("\r\n")), "\r\n-- \r\nAn announcement list\r\n"...)
	}
	if !p.fate.passes() {
		m.client, m.helo = thirdPartyOf(p.domain), "out.stranger.example"
	}
	m.fields, m.body = miltertest.Split(text)
	var err error
	m.proof, err = floor.prove(m)
	return m, err
}

func (k signers) sign(text []byte, p plan) ([]byte, error) {
	org, kind := orgDomain(p.domain), p.sign
	if kind == signTwoRSA {
		kind = signRSA2048
	}
	text, err := k.of(kind, p.domain).Sign(text, org, selectors[kind])
	if err == nil && p.sign == signTwoRSA {
		text, err = k.of(signRSA2048, 0).Sign(text, service, rsa2048Selector)
	}
	return text, err
}

// parallel calls f for 0 to n-1 on all processors and returns the first error.
func parallel(n int, f func(int) error) error {
	var next atomic.Int64
	errs := make([]error, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for w := range errs {
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
