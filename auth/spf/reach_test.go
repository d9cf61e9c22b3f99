package spf

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"slices"
	"testing"
)

// reachZone is DNS in a map; what it lacks fails if it is among failing.
type reachZone struct {
	txt     map[string]string
	addrs   map[string][]string
	mx      map[string][]string
	failing map[string]bool
}

func (z reachZone) err(name string) error {
	if z.failing[name] {
		return errors.New("no answer")
	}
	return nil
}

func (z reachZone) TXT(_ context.Context, name string) ([]string, error) {
	if t, ok := z.txt[name]; ok {
		return []string{t}, nil
	}
	return nil, z.err(name)
}

func (z reachZone) ofFamily(name string, four bool) (out []netip.Addr, err error) {
	for _, text := range z.addrs[name] {
		if a := netip.MustParseAddr(text); a.Is4() == four {
			out = append(out, a)
		}
	}
	return out, z.err(name)
}

func (z reachZone) A(_ context.Context, name string) ([]netip.Addr, error) {
	return z.ofFamily(name, true)
}

func (z reachZone) AAAA(_ context.Context, name string) ([]netip.Addr, error) {
	return z.ofFamily(name, false)
}
func (z reachZone) MX(_ context.Context, name string) ([]string, error) {
	return z.mx[name], z.err(name)
}
func (z reachZone) PTR(context.Context, netip.Addr) ([]string, error) { return nil, nil }

func TestReachOfCountsAddresses(t *testing.T) {
	z := reachZone{
		txt: map[string]string{
			"_spf.google.com": "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all", "loop.example": "v=spf1 include:loop.example include:d.example -all",
			"open.example": "v=spf1 +all", "target.example": "v=spf1 ip4:198.51.100.0/28 -all",
		},
		addrs:   map[string][]string{"d.example": {"192.0.2.1", "2001:db8:1::1"}, "mx1.d.example": {"192.0.2.2"}, "mx2.d.example": {"203.0.113.9"}},
		mx:      map[string][]string{"d.example": {"mx1.d.example", "mx2.d.example"}},
		failing: map[string]bool{"silent.example": true},
	}
	tests := []struct {
		record    string
		v4, v6    uint64
		everybody bool
		names     []string
		unknown   []string
	}{
		{record: "v=spf1 -all"},
		{record: "v=spf1 ip4:192.0.2.1 -all", v4: 1},
		{record: "v=spf1 ip4:192.0.2.0/24 ip4:192.0.2.7 ip4:192.0.2.128/25 -all", v4: 256},
		{record: "v=spf1 -ip4:192.0.2.0/24 ?ip4:198.51.100.0/24 ~ip4:203.0.113.0/24 ip4:192.0.2.1", v4: 1},
		{record: "v=spf1 ip6:2001:db8::/64 ip6:2001:db8::1 ip6:2001:db8:0:1::1 ip6:2001:db8:0:1::2 -all", v6: 2},
		{record: "v=spf1 ip6:::/0 -all", v6: math.MaxUint64},
		{record: "v=spf1 +all", everybody: true},
		{record: "v=spf1 all", everybody: true},
		{record: "v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all", v4: 1 << 32, everybody: true},
		{record: "v=spf1 -all ip4:192.0.2.1", v4: 0},
		{record: "v=spf1 a -all", v4: 1, v6: 1},
		{record: "v=spf1 a/28 -all", v4: 16, v6: 1},
		{record: "v=spf1 mx -all", v4: 2, names: []string{"mx1.d.example", "mx2.d.example"}},
		{record: "v=spf1 a mx ip4:192.0.2.0/30 -all", v4: 5, v6: 1, names: []string{"mx1.d.example", "mx2.d.example"}},
		{record: "v=spf1 include:_spf.google.com -all", v4: 256, v6: 1 << 32, names: []string{"_spf.google.com"}},
		{record: "v=spf1 -include:_spf.google.com -all"},
		{record: "v=spf1 include:open.example -all", everybody: true, names: []string{"open.example"}},
		{record: "v=spf1 include:loop.example -all", names: []string{"loop.example"}},
		{record: "v=spf1 redirect=target.example", v4: 16, names: []string{"target.example"}},
		{record: "v=spf1 -all redirect=target.example"},
		{record: "v=spf1 exists:%{i}.d.example ptr -all", unknown: []string{"exists:%{i}.d.example", "ptr"}},
		{record: "v=spf1 include:%{d}.example ip4:192.0.2.1 -all", v4: 1, unknown: []string{"include:%{d}.example"}},
		{record: "v=spf1 include:silent.example -all", names: []string{"silent.example"}, unknown: []string{"the record of silent.example"}},
		{record: "v=spf1 a:silent.example -all", names: []string{"silent.example"}, unknown: []string{"a:silent.example"}},
		{record: "v=spf1 ip4:192.0.2.300 -all", unknown: []string{"the record of d.example"}},
		{
			record: "v=spf1 a a a a a a a a a a a:x.example -all", v4: 1, v6: 1,
			unknown: []string{"a:x.example"},
		},
	}
	for _, tt := range tests {
		z.txt["d.example"] = tt.record
		got := ReachOf(t.Context(), z, "d.example")
		if got.IPv4 != tt.v4 || got.IPv6 != tt.v6 || got.Everybody != tt.everybody || !slices.Equal(got.Names, tt.names) || !slices.Equal(got.Unknown, tt.unknown) {
			t.Errorf("ReachOf(%q) = %+v; want %d addresses, %d networks, everybody %v, names %q, unknown %q", tt.record, got, tt.v4, tt.v6, tt.everybody, tt.names, tt.unknown)
		}
	}
}

func FuzzReachOfEndsWhateverARecordSays(f *testing.F) {
	f.Add("v=spf1 include:a.example a mx ptr exists:%{i}.x ip4:1.2.3.4/0 ip6:::/1 redirect=d.example", "v=spf1 include:d.example ?all")
	f.Fuzz(func(t *testing.T, own, other string) {
		z := reachZone{txt: map[string]string{"d.example": own, "a.example": other}, mx: map[string][]string{"d.example": {"a.example"}}, addrs: map[string][]string{"a.example": {"192.0.2.1", "2001:db8::1"}}}
		r := ReachOf(t.Context(), z, "d.example")
		if r.IPv4 > 1<<32 || len(r.Unknown) > maxTerms+1 {
			t.Errorf("ReachOf(%q, %q) = %+v; want at most all addresses", own, other, r)
		}
	})
}

func TestReachOfTellsOfPTRAndFailures(t *testing.T) {
	z := reachZone{
		txt: map[string]string{
			"ptr.example": "v=spf1 ptr ip4:192.0.2.0/24 -all", "not.example": "v=spf1 -ptr ip4:192.0.2.0/24 -all",
			"silent.example": "v=spf1 include:lame.example ip4:192.0.2.0/24 -all", "host.example": "v=spf1 a:lame.example -all",
		},
		failing: map[string]bool{"lame.example": true},
	}
	for domain, want := range map[string]struct{ ptr, failed bool }{
		"ptr.example": {ptr: true}, "not.example": {}, "silent.example": {failed: true}, "host.example": {failed: true},
	} {
		got := ReachOf(t.Context(), z, domain)
		if got.PTR != want.ptr || (got.Err != nil) != want.failed || len(got.Networks) != 1 && domain != "host.example" {
			t.Errorf("ReachOf(%s) = %+v; want %+v and its network", domain, got, want)
		}
	}
}
