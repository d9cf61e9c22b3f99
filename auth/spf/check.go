package spf

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"

	engine "blitiri.com.ar/go/spf"
)

// Resolver is the DNS that a check needs. Nothing there (NXDOMAIN or no data)
// is an empty list without an error; every error is temporary.
type Resolver interface {
	TXT(ctx context.Context, name string) ([]string, error)
	A(ctx context.Context, name string) ([]netip.Addr, error)
	AAAA(ctx context.Context, name string) ([]netip.Addr, error)
	MX(ctx context.Context, name string) ([]string, error) // hosts
	PTR(ctx context.Context, addr netip.Addr) ([]string, error)
}

// Query is one identity of one client.
type Query struct {
	IP     netip.Addr // the SMTP client
	Domain string     // domain of the identity, lower-case A-labels
	Local  string     // local part, "postmaster" when the identity has none
	Helo   string     // name given in HELO, for macros
}

// Check runs check_host() of RFC 7208, Section 4. A domain of a single label
// or none is result none without a lookup (Section 4.3).
func Check(ctx context.Context, r Resolver, q Query) Result {
	if !q.IP.IsValid() || !strings.Contains(q.Domain, ".") {
		return Result{Domain: q.Domain, Reason: "no domain to check"}
	}
	ip := q.IP.Unmap()
	dns := &adapter{r: r, ipv4: ip.Is4()}
	// The engine splits the sender at the first "@", so a quoted local part
	// must not contain one.
	sender := strings.ReplaceAll(q.Local, "@", "_") + "@" + q.Domain
	status, err := engine.CheckHostWithSender(net.IP(ip.AsSlice()), q.Helo, sender,
		engine.WithContext(ctx), engine.WithResolver(dns))
	res := Result{Status: statuses[status], Domain: q.Domain, Reason: reason(status, err)}
	if res.Status == TempError {
		res.Err = dns.failure
	}
	return res
}

var statuses = map[engine.Result]Status{
	engine.None: None, engine.Neutral: Neutral, engine.Pass: Pass, engine.Fail: Fail,
	engine.SoftFail: SoftFail, engine.TempError: TempError, engine.PermError: PermError,
}

// reason puts the engine's error into words. Only its fixed errors are
// repeated: others can contain text from DNS.
func reason(status engine.Result, err error) string {
	for _, known := range []error{
		engine.ErrMatchedAll, engine.ErrMatchedA, engine.ErrMatchedIP, engine.ErrMatchedMX,
		engine.ErrMatchedPTR, engine.ErrMatchedExists, engine.ErrLookupLimitReached,
		engine.ErrVoidLookupLimitReached, engine.ErrTooManyMXRecords, engine.ErrMultipleRecords,
		engine.ErrUnknownField, engine.ErrInvalidIP, engine.ErrInvalidMask,
		engine.ErrInvalidMacro, engine.ErrInvalidDomain,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	switch status {
	case engine.None:
		return "no SPF record"
	case engine.TempError:
		return "DNS lookup failed"
	case engine.PermError:
		return "record cannot be understood"
	}
	return "no mechanism matched"
}

// adapter is the engine's resolver. The engine tells errors by their type
// alone, so they are bare *net.DNSError.
type adapter struct {
	r       Resolver
	ipv4    bool
	failure error // the first failure of DNS
}

func (a *adapter) temporary(name string, err error) error {
	if a.failure == nil {
		a.failure = err
	}
	return &net.DNSError{Err: "temporary failure", Name: name, IsTemporary: true}
}

func notFound(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (a *adapter) LookupTXT(ctx context.Context, name string) ([]string, error) {
	txts, err := a.r.TXT(ctx, name)
	switch {
	case err != nil:
		return nil, a.temporary(name, err)
	case len(txts) == 0:
		return nil, notFound(name)
	}
	return txts, nil
}

// LookupIPAddr asks for A only when the client has an IPv4 address. For an
// IPv6 client both are needed: the mechanisms want AAAA, exists wants A (RFC
// 7208, Section 5.7), and the engine has one call for all.
func (a *adapter) LookupIPAddr(ctx context.Context, name string) ([]net.IPAddr, error) {
	addrs, err := a.r.A(ctx, name)
	if err == nil && !a.ipv4 {
		var six []netip.Addr
		six, err = a.r.AAAA(ctx, name)
		addrs = append(append([]netip.Addr(nil), addrs...), six...)
	}
	switch {
	case err != nil:
		return nil, a.temporary(name, err)
	case len(addrs) == 0:
		return nil, notFound(name)
	}
	out := make([]net.IPAddr, len(addrs))
	for i, addr := range addrs {
		out[i] = net.IPAddr{IP: net.IP(addr.AsSlice())}
	}
	return out, nil
}

func (a *adapter) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	hosts, err := a.r.MX(ctx, name)
	switch {
	case err != nil:
		return nil, a.temporary(name, err)
	case len(hosts) == 0:
		return nil, notFound(name)
	}
	out := make([]*net.MX, len(hosts))
	for i, h := range hosts {
		out[i] = &net.MX{Host: h, Pref: uint16(i)}
	}
	return out, nil
}

func (a *adapter) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, notFound(addr)
	}
	names, err := a.r.PTR(ctx, ip)
	switch {
	case err != nil:
		return nil, a.temporary(addr, err)
	case len(names) == 0:
		return nil, notFound(addr)
	}
	return names, nil
}
