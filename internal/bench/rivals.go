package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"

	libdkim "github.com/emersion/go-msgauth/dkim"

	libspf "blitiri.com.ar/go/spf"

	"dmarcgate/auth/dkim"
	"dmarcgate/auth/spf"
	"dmarcgate/message"
)

// letter is a signed message in the forms in which the contenders take it: in
// one piece, and as an MTA hands it over.
type letter struct {
	text   []byte
	fields [][]byte
	body   []byte
	times  int // signatures
}

func newLetter(text []byte, times int) letter {
	at := bytes.Index(text, []byte("\r\n\r\n")) + 2
	fields, _ := message.Split(text[:at])
	return letter{text, fields, text[at+2:], times}
}

// chunks calls f with the body in parts as large as a milter gets them.
func (l letter) chunks(f func([]byte)) {
	for rest := l.body; len(rest) > 0; {
		n := min(len(rest), maxChunk)
		f(rest[:n])
		rest = rest[n:]
	}
}

// keyRecord is DNS in which every name has one record: as much of a warm cache
// as an engine can see.
type keyRecord []string

func (r keyRecord) TXT(context.Context, string) ([]string, error) { return r, nil }

// ours verifies a letter with the engine of this program.
func (r keyRecord) ours(l letter) []dkim.Result {
	run := r.start(l, dkim.Options{Known: r})        // as the cache of the daemon, without waiting
	l.chunks(func(p []byte) { _, _ = run.Write(p) }) // it never fails
	return run.Finish()
}

func (r keyRecord) start(l letter, opt dkim.Options) *dkim.Run {
	h := make(message.Header, len(l.fields))
	for i, f := range l.fields {
		h[i] = message.NewField(f)
	}
	return dkim.Start(context.Background(), r, h, opt)
}

// contend has a letter verified that is in order: by this program, by the
// library, and by what neither can do without, a hash of the body and a
// verification for each signature.
func (r keyRecord) contend(l letter, keys floorKeys) ([]contender, error) {
	floor := &mail{body: l.body}
	var err error
	if floor.proof, err = keys.proveRSA(bytes.Join(l.fields, nil), l.times); err != nil {
		return nil, err
	}
	return []contender{
		{"ours", func() error { return allPass(r.ours(l), l.times) }},
		{"lib", func() error { return r.library(l) }},
		{"b", func() error { _, err := keys.verify(floor); return err }},
	}, nil
}

func allPass(got []dkim.Result, times int) error {
	for _, v := range got {
		if v.Status != dkim.Pass {
			return fmt.Errorf("%+v", v)
		}
	}
	if len(got) != times {
		return fmt.Errorf("%d signatures; want %d", len(got), times)
	}
	return nil
}

func (r keyRecord) library(l letter) error {
	got, err := libdkim.VerifyWithOptions(bytes.NewReader(l.text), &libdkim.VerifyOptions{
		LookupTXT: func(string) ([]string, error) { return r, nil },
	})
	if err != nil {
		return err
	}
	for _, v := range got {
		if v.Err != nil {
			return v.Err
		}
	}
	if len(got) != l.times {
		return fmt.Errorf("%d signatures; want %d", len(got), l.times)
	}
	return nil
}

// senderDNS has the records of an SPF check, for both engines.
type senderDNS struct {
	txt  map[string][]string
	addr map[string][]netip.Addr
}

// threeRecords is a domain whose third record decides.
var threeRecords = senderDNS{
	txt: map[string][]string{
		"shop.example":         {"site-verification=4711", "v=spf1 ip4:198.51.100.0/24 a:www.shop.example include:_spf.shop.example -all"},
		"_spf.shop.example":    {"v=spf1 ip6:2001:db8:1::/48 ip4:203.0.113.0/25 include:_spf.service.example ~all"},
		"_spf.service.example": {"v=spf1 ip4:203.0.113.128/26 ip4:203.0.113.192/26 ip4:192.0.2.0/24 ~all"},
	},
	addr: map[string][]netip.Addr{"www.shop.example": {netip.MustParseAddr("198.51.101.7")}},
}

const (
	spfClient = "192.0.2.25"
	spfDomain = "shop.example"
	spfHelo   = "mx.service.example"
)

func (d senderDNS) TXT(_ context.Context, name string) ([]string, error)   { return d.txt[name], nil }
func (d senderDNS) A(_ context.Context, name string) ([]netip.Addr, error) { return d.addr[name], nil }
func (d senderDNS) AAAA(context.Context, string) ([]netip.Addr, error)     { return nil, nil }
func (d senderDNS) MX(context.Context, string) ([]string, error)           { return nil, nil }
func (d senderDNS) PTR(context.Context, netip.Addr) ([]string, error)      { return nil, nil }

func (d senderDNS) LookupTXT(_ context.Context, name string) ([]string, error) {
	if d.txt[name] == nil {
		return nil, noSuchHost(name)
	}
	return d.txt[name], nil
}

func (d senderDNS) LookupIPAddr(_ context.Context, name string) ([]net.IPAddr, error) {
	var out []net.IPAddr
	for _, a := range d.addr[name] {
		out = append(out, net.IPAddr{IP: a.AsSlice()})
	}
	if out == nil {
		return nil, noSuchHost(name)
	}
	return out, nil
}

func (d senderDNS) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return nil, noSuchHost(name)
}

func (d senderDNS) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return nil, noSuchHost(addr)
}

func noSuchHost(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (d senderDNS) contend() []contender {
	q := spf.Query{IP: netip.MustParseAddr(spfClient), Domain: spfDomain, Local: "user", Helo: spfHelo}
	ip := net.ParseIP(spfClient)
	return []contender{
		{"ours", func() error {
			if got := spf.Check(context.Background(), d, q); got.Status != spf.Pass {
				return fmt.Errorf("%+v", got)
			}
			return nil
		}},
		{"lib", func() error {
			got, err := libspf.CheckHostWithSender(ip, spfHelo, "user@"+spfDomain, libspf.WithContext(context.Background()), libspf.WithResolver(d))
			if got != libspf.Pass {
				return fmt.Errorf("%s: %w", got, err)
			}
			return nil
		}},
	}
}
