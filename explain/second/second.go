// Package second asks other implementations of SPF and DKIM, blitiri.com.ar/go/spf
// and go-msgauth, for their verdict on a message, beside ours. They have no say in
// any decision. A second opinion is given on at most 8 MiB, and within 30 seconds.
package second

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	libspf "blitiri.com.ar/go/spf"
	libdkim "github.com/emersion/go-msgauth/dkim"

	"dmarcgate/auth/dkim"
	"dmarcgate/auth/spf"
	"dmarcgate/dnscache"
	"dmarcgate/milter"
	"dmarcgate/policy"
)

// Limits of a second opinion. The library for DKIM needs quadratic time for
// some messages (docs/decisions.md), and cannot be stopped.
const (
	maxTime  = 30 * time.Second
	maxBytes = 8 << 20
)

// Opinion is one verdict of ours beside that of another implementation.
type Opinion struct {
	About  string `json:"about"`
	Ours   string `json:"ours"`
	Theirs string `json:"theirs"`
	Agree  bool   `json:"agree"`
	Words  string `json:"words,omitempty"` // theirs
}

// Opinions asks about a message of which f are our facts, with the same DNS. The
// fields of the header are as they were signed, the body is in CRLF.
func Opinions(dns *dnscache.Resolver, env *milter.Envelope, f policy.Facts, header [][]byte, body []byte) ([]Opinion, error) {
	size := len(body)
	for _, field := range header {
		size += len(field)
	}
	if size > maxBytes {
		return nil, fmt.Errorf("no second opinion on a message of more than %d MiB", maxBytes>>20)
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxTime)
	defer cancel()
	type found struct {
		list []Opinion
		err  error
	}
	done := make(chan found, 1)
	go func() {
		var out found
		defer func() {
			if v := recover(); v != nil {
				out.err = fmt.Errorf("the other implementation panics: %v", v)
			}
			done <- out
		}()
		out.list = askSPF(ctx, dns, env, f)
		var signatures []Opinion
		signatures, out.err = askDKIM(ctx, dns, f, header, body)
		out.list = append(out.list, signatures...)
	}()
	select {
	case out := <-done:
		return out.list, out.err
	case <-ctx.Done():
		return nil, fmt.Errorf("the other implementation has no verdict after %v", maxTime)
	}
}

func askSPF(ctx context.Context, dns *dnscache.Resolver, env *milter.Envelope, f policy.Facts) []Opinion {
	ask := func(about string, ours policy.SPF, sender string) Opinion {
		result, err := libspf.CheckHostWithSender(f.Client.AsSlice(), f.Helo, sender,
			libspf.WithContext(ctx), libspf.WithResolver(&netDNS{dns.View(dnscache.SPF), f.Client}))
		o := Opinion{About: about + " of " + ours.Domain, Ours: ours.Result, Theirs: string(result), Agree: ours.Result == string(result)}
		if err != nil {
			o.Words = err.Error()
		}
		return o
	}
	var out []Opinion
	if f.SPF.Domain != "" && !f.NullPath {
		out = append(out, ask("spf mailfrom", f.SPF, localOf(env.MailFrom)+"@"+f.SPF.Domain))
	}
	if f.HELO.Domain != "" {
		out = append(out, ask("spf helo", f.HELO, "postmaster@"+f.HELO.Domain))
	}
	return out
}

// localOf is the local part for macros. The library cuts an address at its
// first "@".
func localOf(address string) string {
	local, _, _ := bytes.Cut([]byte(address), []byte("@"))
	if len(local) == 0 {
		return "postmaster"
	}
	return string(local)
}

func askDKIM(ctx context.Context, dns *dnscache.Resolver, f policy.Facts, header [][]byte, body []byte) ([]Opinion, error) {
	text := bytes.Join(append(append([][]byte{}, header...), []byte("\r\n"), body), nil)
	res := &netDNS{view: dns.View(dnscache.DKIM)}
	got, err := libdkim.VerifyWithOptions(bytes.NewReader(text), &libdkim.VerifyOptions{
		LookupTXT:        func(name string) ([]string, error) { return res.LookupTXT(ctx, name) },
		MaxVerifications: dkim.MaxResults,
	})
	switch {
	case err != nil && !errors.Is(err, libdkim.ErrTooManySignatures):
		return nil, fmt.Errorf("dkim: %w", err)
	case len(got) != len(f.DKIM):
		return nil, fmt.Errorf("dkim: %d signatures by the other implementation and %d by ours: they cannot be matched", len(got), len(f.DKIM))
	}
	var out []Opinion
	for i, theirs := range got {
		ours := f.DKIM[i]
		o := Opinion{About: fmt.Sprintf("dkim signature %d, d=%s", i+1, ours.Domain), Ours: ours.Result, Theirs: libraryWord(theirs.Err)}
		o.Agree = (ours.Result == dkim.Pass.String()) == (theirs.Err == nil)
		if theirs.Err != nil {
			o.Words = theirs.Err.Error()
		}
		out = append(out, o)
	}
	return out, nil
}

func libraryWord(err error) string {
	switch {
	case err == nil:
		return dkim.Pass.String()
	case libdkim.IsTempFail(err):
		return spf.TempError.String()
	case libdkim.IsPermFail(err):
		return spf.PermError.String()
	}
	return dkim.Fail.String()
}

// netDNS is our resolver in the form of package net. Its errors are bare
// *net.DNSError: both libraries take any other for a permanent one.
type netDNS struct {
	view   dnscache.View
	client netip.Addr
}

func asNet[T any](name string, found []T, err error) ([]T, error) {
	switch {
	case err != nil:
		return nil, &net.DNSError{Err: err.Error(), Name: name, IsTemporary: true}
	case len(found) == 0:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return found, nil
}

func (d *netDNS) LookupTXT(ctx context.Context, name string) ([]string, error) {
	found, err := d.view.TXT(ctx, name)
	return asNet(name, found, err)
}

func (d *netDNS) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	hosts, err := d.view.MX(ctx, name)
	found := make([]*net.MX, len(hosts))
	for i, h := range hosts {
		found[i] = &net.MX{Host: h + "."}
	}
	return asNet(name, found, err)
}

// LookupIPAddr asks for addresses of the client's kind, which are all that can
// match.
func (d *netDNS) LookupIPAddr(ctx context.Context, name string) ([]net.IPAddr, error) {
	ask := d.view.AAAA
	if d.client.Unmap().Is4() {
		ask = d.view.A
	}
	addrs, err := ask(ctx, name)
	found := make([]net.IPAddr, len(addrs))
	for i, a := range addrs {
		found[i] = net.IPAddr{IP: a.AsSlice()}
	}
	return asNet(name, found, err)
}

func (d *netDNS) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: err.Error(), Name: addr, IsNotFound: true}
	}
	found, err := d.view.PTR(ctx, ip)
	return asNet(addr, found, err)
}
