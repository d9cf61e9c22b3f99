package spf

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	oracle "blitiri.com.ar/go/spf"
)

// static is DNS in maps, for measuring and comparing.
type static struct {
	txt  map[string][]string
	addr map[string][]netip.Addr
	mx   map[string][]string
	ptr  []string
}

func (s *static) TXT(_ context.Context, name string) ([]string, error) { return s.txt[name], nil }
func (s *static) MX(_ context.Context, name string) ([]string, error)  { return s.mx[name], nil }
func (s *static) PTR(context.Context, netip.Addr) ([]string, error)    { return s.ptr, nil }

func (s *static) A(_ context.Context, name string) ([]netip.Addr, error) {
	return s.ofKind(name, true), nil
}

func (s *static) AAAA(_ context.Context, name string) ([]netip.Addr, error) {
	return s.ofKind(name, false), nil
}

func (s *static) ofKind(name string, four bool) []netip.Addr {
	var out []netip.Addr
	for _, addr := range s.addr[name] {
		if addr.Is4() == four {
			out = append(out, addr)
		}
	}
	return out
}

// forOracle gives the oracle the same DNS. It asks for both families at once.
type forOracle struct{ dns Resolver }

// answer is what net.Resolver makes of an answer.
func answer[T any](found []T, err error, name string) ([]T, error) {
	switch {
	case err != nil:
		return nil, &net.DNSError{Err: err.Error(), Name: name, IsTemporary: true}
	case len(found) == 0:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return found, nil
}

func (o forOracle) LookupTXT(ctx context.Context, name string) ([]string, error) {
	found, err := o.dns.TXT(ctx, strings.TrimSuffix(name, "."))
	return answer(found, err, name)
}

func (o forOracle) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	hosts, err := o.dns.MX(ctx, strings.TrimSuffix(name, "."))
	var found []*net.MX
	for _, h := range hosts {
		found = append(found, &net.MX{Host: h})
	}
	return answer(found, err, name)
}

func (o forOracle) LookupIPAddr(ctx context.Context, name string) ([]net.IPAddr, error) {
	var found []net.IPAddr
	for _, ask := range []func(context.Context, string) ([]netip.Addr, error){o.dns.A, o.dns.AAAA} {
		addrs, err := ask(ctx, strings.TrimSuffix(name, "."))
		if err != nil {
			return answer(found, err, name)
		}
		for _, addr := range addrs {
			found = append(found, net.IPAddr{IP: addr.AsSlice()})
		}
	}
	return answer(found, nil, name)
}

func (o forOracle) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	found, err := o.dns.PTR(ctx, netip.MustParseAddr(addr).Unmap())
	return answer(found, err, addr)
}

// askOracle returns what the other implementation says, and why.
func askOracle(dns Resolver, q Query) (Status, error) {
	return askThrough(forOracle{dns}, q)
}

func askThrough(dns queried, q Query) (Status, error) {
	got, err := oracle.CheckHostWithSender(q.IP.AsSlice(), q.Helo, q.Local+"@"+q.Domain,
		oracle.WithContext(context.Background()), oracle.WithResolver(dns))
	for s := None; s <= PermError; s++ {
		if s.String() == string(got) {
			return s, err
		}
	}
	return 0, err
}

func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

func world(record string) *static {
	return &static{
		txt: map[string][]string{
			"x.example":       {"some other text", record},
			"pass.example":    {"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"},
			"soft.example":    {"v=spf1 ~all"},
			"neutral.example": {"v=spf1"},
			"next.example":    {"v=spf1 a redirect=pass.example"},
			"bad.example":     {"v=spf1 ip4:192.0.2.256"},
			"loop.example":    {"v=spf1 include:loop.example"},
			"why.example":     {"%{i} is not ours"},
		},
		addr: map[string][]netip.Addr{
			"x.example":                             addrs("192.0.2.1", "2001:db8::1"),
			"near.example":                          addrs("192.0.2.200", "2001:db8::ffff"),
			"other.example":                         addrs("203.0.113.1", "2001:db8:1::1"),
			"mx.x.example":                          addrs("192.0.2.1", "2001:db8::1"),
			"next.example":                          addrs("198.51.100.1", "2001:db8:2::1"),
			"user.x.example":                        addrs("127.0.0.2"),
			"1.2.0.192.in-addr.x.example":           addrs("127.0.0.2"),
			"mx.sender.example.helo.x.example":      addrs("127.0.0.2"),
			"example.x.user.at.x.example.x.example": addrs("127.0.0.2"),
		},
		mx:  map[string][]string{"x.example": {"other.example", "mx.x.example"}, "other.example": {"other.example"}},
		ptr: []string{"other.example", "mx.x.example"},
	}
}

func TestCheckMatchesReference(t *testing.T) {
	clients := addrs("192.0.2.1", "192.0.2.77", "203.0.113.1", "198.51.100.9", "2001:db8::1", "2001:db8:9::1")
	for _, record := range []string{
		"v=spf1", "v=spf1 -all", "V=SPF1 ~ALL", "v=spf1 ?all", "v=spf1   +all  ", "v=spf10 -all", "no record",
		"v=spf1 ip4:192.0.2.1 -all", "v=spf1 -ip4:192.0.2.0/25 ~all", "v=spf1 ip4:0.0.0.0/0 -all", "v=spf1 ip6:2001:db8::/33 -all",
		"v=spf1 ip6:::/0 -all", "v=spf1 a -all", "v=spf1 a/24 -all", "v=spf1 a//64 -all", "v=spf1 a/24//64 ~all", "v=spf1 a:near.example/24 -all",
		"v=spf1 a:near.example//112 -all", "v=spf1 a:x.example. -all", "v=spf1 mx -all", "v=spf1 mx/24//48 -all", "v=spf1 mx:other.example -all",
		"v=spf1 ptr -all", "v=spf1 ptr:other.example ~all", "v=spf1 exists:user.x.example -all", "v=spf1 exists:nothing.example -all",
		"v=spf1 exists:%{l}.%{d} -all", "v=spf1 exists:%{ir}.%{v}.%{d2} -all", "v=spf1 exists:%{h}.helo.%{d} -all", "v=spf1 exists:%{dr}.%{l}.at.%{o}.%{d} -all",
		"v=spf1 include:pass.example -all", "v=spf1 include:soft.example ?all", "v=spf1 include:neutral.example -all", "v=spf1 include:nothing.example -all",
		"v=spf1 include:bad.example -all", "v=spf1 include:loop.example -all", "v=spf1 redirect=pass.example", "v=spf1 redirect=next.example",
		"v=spf1 redirect=nothing.example", "v=spf1 redirect=bad.example", "v=spf1 redirect=soft.example ?all", "v=spf1 -include:next.example ~all",
		"v=spf1 -all exp=why.example", "v=spf1 unknown=modifier -all", "v=spf1 a:nothing.example a:nothing2.example -all",
		"v=spf1 a:n1.example a:n2.example a:n3.example -all", "v=spf1 a:other.example a:other.example a:other.example a:other.example a:other.example a:other.example a:other.example a:other.example a:other.example a -all",
		"v=spf1 ip4:1.2.3.4/33 -all", "v=spf1 nonsense -all", "v=spf1 a:%{x}.example -all", "v=spf1 ip6:1::2::3 -all",
	} {
		dns := world(record)
		for _, client := range clients {
			q := Query{IP: client, Domain: "x.example", Local: "user", Helo: "mx.sender.example"}
			got := Check(t.Context(), dns, q)
			if want, err := askOracle(dns, q); got.Status != want {
				t.Errorf("Check(%q from %v) = %+v; another implementation says %v, %v", record, client, got, want, err)
			}
		}
	}
}

// Three records, of which the last decides.
var (
	measured = &static{txt: map[string][]string{
		"x.example":      {"v=spf1 ip4:198.51.100.0/24 ip4:198.51.101.0/24 a:x.example include:_spf.x.example -all"},
		"_spf.x.example": {"v=spf1 ip6:2001:db8:1::/48 ip4:203.0.113.0/24 include:_two.x.example ~all"},
		"_two.x.example": {"v=spf1 ip4:203.0.114.0/24 ip4:203.0.115.0/24 ip4:192.0.2.0/24 ~all"},
	}, addr: map[string][]netip.Addr{"x.example": addrs("198.51.102.1")}}
	measuredQuery = Query{IP: v4, Domain: "x.example", Local: "user", Helo: "mx.sender.example"}
)

// BenchmarkCheck is a check of ours beside that of blitiri.com.ar/go/spf; ours
// takes no longer.
func BenchmarkCheck(b *testing.B) {
	for _, engine := range []struct {
		name string
		pass func() bool
	}{
		{"ours", func() bool { return Check(b.Context(), measured, measuredQuery).Status == Pass }},
		{"library", func() bool { got, _ := askOracle(measured, measuredQuery); return got == Pass }},
	} {
		b.Run("engine="+engine.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !engine.pass() {
					b.Fatal("the check does not pass")
				}
			}
		})
	}
}
