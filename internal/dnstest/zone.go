package dnstest

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Zone is parsed zone text with a log of what was queried. It may be queried
// directly, with the same meaning as a dnscache.View but without a cache, or
// be served. Its methods may be called from any goroutine.
type Zone struct {
	mu         sync.Mutex
	base       *data   // of the text and of Set
	faults     []*data // of Fault, the latest last
	data       *data   // all together: what answers
	queries    []string
	unexpected []string
}

// Parse reads zone text; see the package comment. An error has the line.
func Parse(zoneText string) (*Zone, error) {
	d, err := parse(zoneText)
	if err != nil {
		return nil, err
	}
	return &Zone{base: d, data: d}, nil
}

// NewZone parses zone text for a test, and fails the test when the text is bad
// or, at its end, when there was an unexpected query.
func NewZone(t testing.TB, zoneText string) *Zone {
	t.Helper()
	z, err := Parse(zoneText)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { z.check(t) })
	return z
}

func (z *Zone) check(t testing.TB) {
	t.Helper()
	if names := z.Unexpected(); len(names) > 0 {
		t.Errorf("DNS queries for names that the zone text says nothing of: %q", names)
	}
}

// Replace puts other zone text in place of the present one, and of what Set
// changed. Faults that are switched on stay. The log goes on. On an error
// nothing is changed.
func (z *Zone) Replace(zoneText string) error {
	d, err := parse(zoneText)
	if err != nil {
		return err
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.become(d)
	return nil
}

// Queries returns what was queried so far, in order, as "TYPE name" with a
// lower-case name without the final dot. Every query of a client that asks
// again, over TCP for one, is there.
func (z *Zone) Queries() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.queries)
}

// Queried returns how many queries there were so far.
func (z *Zone) Queried() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return len(z.queries)
}

// Unexpected returns those of Queries that nothing in the zone text suggests.
func (z *Zone) Unexpected() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.unexpected)
}

// ask logs a query and returns what answers it. The name is canonical.
func (z *Zone) ask(name string, qtype uint16) *data {
	z.mu.Lock()
	defer z.mu.Unlock()
	line := dns.TypeToString[qtype] + " " + strings.TrimSuffix(name, ".")
	z.queries = append(z.queries, line)
	if !z.data.expected(name) {
		z.unexpected = append(z.unexpected, line)
	}
	return z.data
}

// lookup answers in process.
func (z *Zone) lookup(ctx context.Context, name string, qtype uint16) (reply, error) {
	canon, ok := fromBytes(name)
	if !ok {
		return reply{rcode: dns.RcodeNameError}, nil
	}
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	d := z.ask(canon, qtype)
	if err := wait(ctx, d.latency(canon, qtype)); err != nil {
		return reply{}, err
	}
	if kind := d.failure(canon, qtype); kind != "" {
		return reply{}, &Error{Name: name, Type: dns.TypeToString[qtype], Kind: kind, ours: d.down}
	}
	rep := d.answer(canon, qtype)
	if rep.rcode == dns.RcodeServerFailure {
		return reply{}, &Error{Name: name, Type: dns.TypeToString[qtype], Kind: "servfail"}
	}
	return rep, nil
}

// failure returns how a lookup fails, as the kinds of dnscache are spelt.
func (d *data) failure(name string, qtype uint16) string {
	switch {
	case d.has(pressure, name, qtype):
		return pressureKind
	case d.down, d.hasAny(name, qtype, drop, lie, garbage, elsewhere):
		return "timeout"
	case d.has(servfail, name, qtype):
		return "servfail"
	case d.has(bogus, name, qtype):
		return "bogus"
	case d.has(truncate, name, qtype) && d.has(notcp, name, qtype):
		return "network"
	case d.has(refuse, name, qtype):
		return "refused"
	case d.hasAny(name, qtype, broken, loop):
		return "malformed"
	}
	return ""
}

// Presses reports whether a directive has lookups of a name give way to others.
// It is for those who stand between a served zone and who asks it.
func (z *Zone) Presses(name, qtype string) bool {
	canon, ok := fromBytes(name)
	if !ok {
		return false
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.data.has(pressure, canon, dns.StringToType[qtype])
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TXT returns the TXT records of name, the strings of each joined, as raw bytes.
func (z *Zone) TXT(ctx context.Context, name string) ([]string, error) {
	return collect(z, ctx, name, dns.TypeTXT, func(rr *dns.TXT) string { return rawText(rr) })
}

// A returns the IPv4 addresses of name.
func (z *Zone) A(ctx context.Context, name string) ([]netip.Addr, error) {
	return collect(z, ctx, name, dns.TypeA, func(rr *dns.A) netip.Addr {
		ip, _ := netip.AddrFromSlice(rr.A.To4())
		return ip
	})
}

// AAAA returns the IPv6 addresses of name.
func (z *Zone) AAAA(ctx context.Context, name string) ([]netip.Addr, error) {
	return collect(z, ctx, name, dns.TypeAAAA, func(rr *dns.AAAA) netip.Addr {
		ip, _ := netip.AddrFromSlice(rr.AAAA.To16())
		return ip
	})
}

// MX returns the mail hosts of name, the preferred ones first, without the
// final dot; a null MX is ".".
func (z *Zone) MX(ctx context.Context, name string) ([]string, error) {
	mxs, err := collect(z, ctx, name, dns.TypeMX, func(rr *dns.MX) *dns.MX { return rr })
	slices.SortStableFunc(mxs, func(a, b *dns.MX) int { return cmp.Compare(a.Preference, b.Preference) })
	var hosts []string
	for _, mx := range mxs {
		hosts = append(hosts, plain(mx.Mx))
	}
	return hosts, err
}

// PTR returns the names of an address, without the final dot.
func (z *Zone) PTR(ctx context.Context, ip netip.Addr) ([]string, error) {
	name, err := dns.ReverseAddr(ip.Unmap().WithZone("").String())
	if err != nil {
		return nil, nil
	}
	return collect(z, ctx, name, dns.TypePTR, func(rr *dns.PTR) string { return plain(rr.Ptr) })
}

// Exists reports whether name exists, with records or without.
func (z *Zone) Exists(ctx context.Context, name string) (bool, error) {
	rep, err := z.lookup(ctx, name, dns.TypeTXT)
	if err != nil {
		return false, err
	}
	return rep.rcode != dns.RcodeNameError || len(rep.answers) > 0, nil
}

// Reverse returns the name under which an address has its PTR records.
func Reverse(ip netip.Addr) string {
	name, err := dns.ReverseAddr(ip.Unmap().WithZone("").String())
	if err != nil {
		return ""
	}
	return name
}

// collect returns the data of the records of one type that answer.
func collect[R dns.RR, V any](z *Zone, ctx context.Context, name string, qtype uint16, value func(R) V) ([]V, error) {
	rep, err := z.lookup(ctx, name, qtype)
	var out []V
	for _, rr := range rep.answers {
		if r, ok := rr.(R); ok {
			out = append(out, value(r))
		}
	}
	return out, err
}

func plain(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(strings.Map(lower, name), ".")
}

// rawText returns the bytes of a TXT record, by way of its wire form.
func rawText(rr *dns.TXT) string {
	wire := make([]byte, dns.Len(rr)+1)
	end, err := dns.PackRR(&dns.TXT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeTXT}, Txt: rr.Txt}, wire, 0, nil, false)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for rest := wire[11:end]; len(rest) > 0; rest = rest[1+int(rest[0]):] {
		b.Write(rest[1 : 1+int(rest[0])])
	}
	return b.String()
}

// Error is a failed lookup in process, in the manner of dnscache.Error.
type Error struct {
	Name, Type string
	Kind       string // servfail, bogus, refused, timeout, network, malformed or pressure
	ours       bool
}

const pressureKind = "pressure"

// Pressure is true with !pressure: the lookup gave way to others.
func (e *Error) Pressure() bool { return e.Kind == pressureKind }

// Error describes the failure.
func (e *Error) Error() string { return "dnstest: " + e.Type + " " + e.Name + ": " + e.Kind }

// Temporary is true, as of every failure of the DNS.
func (e *Error) Temporary() bool { return true }

// Ours is true with !down: the resolver answers nobody.
func (e *Error) Ours() bool { return e.ours }
