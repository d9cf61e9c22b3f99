package pattern

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/scale"
)

const domainFile = "# partners\r\n\n  Example.ORG # trailing\r\n.lists.example\n\torg:bank.example#x\nexample.org\n"

func TestParseMapReadsOneItemPerLine(t *testing.T) {
	m, problems := ParseDomainMap("maps/partners.txt", []byte(domainFile))
	if problems != nil || m.Name != "maps/partners.txt" || m.Len() != 3 || !m.HasOrgs() {
		t.Fatalf("ParseDomainMap() = %+v, %v; want three patterns", m, problems)
	}
	var all []string
	for p := range m.All() {
		all = append(all, p.String())
	}
	slices.Sort(all)
	if want := []string{".lists.example", "example.org", "org:bank.example"}; !slices.Equal(all, want) {
		t.Errorf("All() = %q; want %q", all, want)
	}
	n, problems := ParseNetMap("n", []byte("192.0.2.0/24 # a\r\n2001:db8::1\n#\n192.0.2.128/25\n"))
	if problems != nil || n.Len() != 3 || fmt.Sprint(n.Widest()) != "[192.0.2.0/24 2001:db8::1/128]" {
		t.Errorf("ParseNetMap() = %+v, %v; want three networks", n, problems)
	}
	if p := m.Pattern(); p.String() != "map:maps/partners.txt" || p.Map() != m {
		t.Errorf("Pattern() = %v of %v", p, p.Map())
	}
	if p := n.Pattern(); p.String() != "map:n" || p.Map() != n {
		t.Errorf("Pattern() = %v of %v", p, p.Map())
	} else if _, ok := p.Prefix(); ok {
		t.Error("Prefix() of a map = a network; want none")
	}
}

func TestParseMapReportsProblemsWithLine(t *testing.T) {
	tests := []struct {
		name, text string
		net        bool
		want       string
	}{
		{"no domain", "a.example\na b.example\n", false, `2: "a b.example" is not a domain or a set of them; ` + Examples},
		{"a map in a map", "map:x", false, `1: "map:x" is not a domain or a set of them; ` + Examples},
		{"a whole top-level domain", "\n.com", false, `2: ".com" is a whole top-level domain; name the domains that are meant`},
		{"a long line", "#\n" + strings.Repeat("a", 301), false, "2: has 301 bytes; write one item on each line"},
		{"no network", "a.example", true, `1: "a.example" is not a network; write "192.0.2.0/24", "2001:db8::/32" or an address`},
		{"a zone", "fe80::1%eth0", true, `1: "fe80::1%eth0" is not a network; write "192.0.2.0/24", "2001:db8::/32" or an address`},
		{"bits behind the network", "192.0.2.1/24", true, `1: "192.0.2.1/24" has bits set behind the network; write "192.0.2.0/24"`},
		{"IPv4 as IPv6", "::ffff:192.0.2.0/120", true, `1: "::ffff:192.0.2.0/120" is IPv4 in the form of IPv6; write it as IPv4, as clients are compared`},
		{"every host", "::/0", true, `1: "::/0" is every host; name the networks that are meant`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, problems := ParseDomainMap("m", []byte(tt.text))
			if tt.net {
				var n *NetMap
				if n, problems = ParseNetMap("m", []byte(tt.text)); n != nil {
					t.Errorf("ParseNetMap() = %+v; want none", n)
				}
			} else if m != nil {
				t.Errorf("ParseDomainMap() = %+v; want none", m)
			}
			if len(problems) != 1 || fmt.Sprintf("%d: %v", problems[0].Line, problems[0].Fault) != tt.want {
				t.Errorf("problems = %v; want %s", problems, tt.want)
			}
		})
	}
}

func TestParseMapLimits(t *testing.T) {
	bad := []byte(strings.Repeat("a b\n", 100))
	if _, problems := ParseDomainMap("m", bad); len(problems) != maxMapProblems || problems[19].Line != 20 {
		t.Errorf("%d problems; want the first %d", len(problems), maxMapProblems)
	}
	large := bytes.Repeat(append([]byte("#"), strings.Repeat(".", 1022)+"\n"...), MaxMapBytes/1024)
	if m, problems := ParseNetMap("m", large); problems != nil || m.Len() != 0 {
		t.Errorf("ParseNetMap of %d bytes of comments = %+v, %v; want an empty map", len(large), m, problems)
	}
	if _, problems := ParseNetMap("m", append(large, '\n')); len(problems) != 1 || problems[0].Line != 0 {
		t.Errorf("ParseNetMap of a byte too many = %v; want a problem of the file", problems)
	}
	most := bytes.Repeat([]byte("a.example\n"), MaxMapEntries)
	if m, problems := ParseDomainMap("m", most); problems != nil || m.Len() != 1 {
		t.Errorf("ParseDomainMap of %d lines = %v, %v; want one domain", MaxMapEntries, m, problems)
	}
	if _, problems := ParseDomainMap("m", append(most, "b.example\n"...)); len(problems) != 1 || problems[0].Line != MaxMapEntries+1 {
		t.Errorf("ParseDomainMap of a line too many = %v; want that line", problems)
	}
}

func TestMapSumCoversContents(t *testing.T) {
	sum := func(text string) string {
		m, problems := ParseDomainMap("m", []byte(text))
		if problems != nil {
			t.Fatal(problems)
		}
		return m.Sum
	}
	if a, b := sum("a.example\nb.example\n"), sum("# x\r\nB.example\na.example # y\nb.example"); a != b || len(a) != 12 {
		t.Errorf("sums = %s and %s; want the same, whatever the order", a, b)
	}
	netSum := func(networks ...string) string { return NewNetMap("m", prefixes(networks...)).Sum }
	if a, b := netSum("192.0.2.0/25", "192.0.2.128/25", "2001:db8::/32"), netSum("2001:db8::/32", "192.0.2.0/24", "192.0.2.7/32"); a != b {
		t.Errorf("sums = %s and %s; want the same for the same addresses", a, b)
	}
	seen := make(map[string]bool)
	for _, s := range []string{sum(""), sum("a.example"), sum(".a.example"), sum("org:a.example"), sum("a.example\nb.example"),
		netSum(), netSum("192.0.2.0/24"), netSum("192.0.2.0/25"), netSum("::c000:200/120"), netSum("192.0.2.0/24", "2001:db8::/32")} {
		if seen[s] {
			t.Errorf("sum %s of two maps; want them different", s)
		}
		seen[s] = true
	}
}

func TestNetMapHoldsFirstAndLastAddresses(t *testing.T) {
	m := NewNetMap("m", prefixes("0.0.0.0/8", "255.255.255.255/32", "::/16", "ff00::/8"))
	for text, want := range map[string]bool{
		"0.0.0.0": true, "0.255.255.255": true, "1.0.0.0": false, "255.255.255.255": true, "255.255.255.254": false,
		"::": true, "::1": true, "1::": false, "ff00::": true, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": true, "feff::": false,
	} {
		if got := m.Holds(netip.MustParseAddr(text)); got != want {
			t.Errorf("Holds(%s) = %v; want %v", text, got, want)
		}
	}
	if m.Holds(netip.Addr{}) || new(NetMap).Holds(netip.MustParseAddr("::1")) {
		t.Error("Holds() of no address, or of the zero map = true; want false")
	}
	all := NewNetMap("m", prefixes("::/0", "0.0.0.0/1", "128.0.0.0/1"))
	if !all.Holds(netip.MustParseAddr("::1")) || !all.Holds(netip.MustParseAddr("128.0.0.0")) || !all.Covers(netip.MustParsePrefix("0.0.0.0/0")) {
		t.Error("a map of everything does not hold something")
	}
}

func FuzzDomainMap(f *testing.F) {
	f.Add([]byte(domainFile), "a.lists.example", "bank.example")
	f.Add([]byte("a\n.b.c\norg:d.e\n"), "x.b.c", "")
	f.Add([]byte("a\r#\n\x00\xff\n"), ".", "d.e")
	f.Add([]byte(strings.Repeat("a.b\n.a.b\n", 20)), "a.b", "a.b")
	f.Fuzz(func(t *testing.T, data []byte, domain, org string) {
		m, problems := ParseDomainMap("m", data)
		if (m == nil) != (len(problems) > 0) || len(problems) > maxMapProblems {
			t.Fatalf("ParseDomainMap(%q) = %v and %d problems; want one of them", data, m, len(problems))
		}
		var naive []Domain
		bad := 0
		for line := range strings.SplitSeq(string(data), "\n") {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			if p, err := ParseDomain(line); err != nil {
				bad++
			} else {
				naive = append(naive, p)
			}
		}
		if min(bad, maxMapProblems) != len(problems) {
			t.Fatalf("ParseDomainMap(%q) has %d problems; want %d", data, len(problems), bad)
		}
		if m == nil {
			return
		}
		names := []string{domain, org, ""}
		for p := range m.All() {
			if !slices.Contains(naive, p) {
				t.Errorf("%q: All() has %v", data, p)
			}
			names = append(names, p.domain, "x."+p.domain)
		}
		for _, p := range naive {
			names = append(names, p.domain, "x.y."+p.domain)
		}
		for _, name := range names {
			if got, want := m.Holds(name, org), oneHolds(naive, name, org); got != want {
				t.Errorf("map of %q holds %q of %q = %v; want %v", data, name, org, got, want)
			}
		}
		if again := NewDomainMap("x", naive); again.Sum != m.Sum || again.Len() != m.Len() {
			t.Errorf("NewDomainMap(%v) = %s of %d; want %s of %d", naive, again.Sum, again.Len(), m.Sum, m.Len())
		}
	})
}

func FuzzNetMap(f *testing.F) {
	f.Add([]byte("192.0.2.0/24\n192.0.2.0/30 # x\r\n2001:db8::/32\n"), "192.0.2.255", uint8(24))
	f.Add([]byte("0.0.0.0/1\n128.0.0.0/1\n"), "255.255.255.255", uint8(0))
	f.Add([]byte("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n::\n"), "::1", uint8(127))
	f.Add([]byte("10.0.0.0/9\n10.128.0.0/9\n10.0.0.1\n"), "10.128.0.0", uint8(8))
	f.Fuzz(func(t *testing.T, data []byte, client string, bits uint8) {
		m, problems := ParseNetMap("m", data)
		if (m == nil) != (len(problems) > 0) || len(problems) > maxMapProblems {
			t.Fatalf("ParseNetMap(%q) = %v and %d problems; want one of them", data, m, len(problems))
		}
		if m == nil {
			return
		}
		var naive []netip.Prefix
		for line := range strings.SplitSeq(string(data), "\n") {
			line, _, _ = strings.Cut(line, "#")
			if p, err := parseNetwork(strings.TrimSpace(line)); err == nil {
				naive = append(naive, p)
			}
		}
		var clients []netip.Addr
		if a, err := netip.ParseAddr(client); err == nil && a.Zone() == "" && !a.Is4In6() {
			clients = append(clients, a)
		}
		for _, p := range naive {
			clients = append(clients, p.Addr(), p.Addr().Prev(), p.Addr().Next())
		}
		for _, a := range clients {
			if !a.IsValid() {
				continue
			}
			within := func(b netip.Addr) bool {
				return slices.ContainsFunc(naive, func(p netip.Prefix) bool { return p.Contains(b) })
			}
			if got := m.Holds(a); got != within(a) {
				t.Errorf("map of %q holds %v = %v; want %v", data, a, got, within(a))
			}
			n, _ := a.Prefix(int(bits) % (a.BitLen() + 1))
			overlaps := slices.ContainsFunc(naive, func(p netip.Prefix) bool { return p.Overlaps(n) })
			if m.Overlaps(n) != overlaps || m.Covers(n) && !within(a) {
				t.Errorf("map of %q overlaps %v: %v, covers it: %v; want %v, and to hold what it covers", data, n, m.Overlaps(n), m.Covers(n), overlaps)
			}
		}
		if again := NewNetMap("x", naive); again.Sum != m.Sum || again.Len() != m.Len() {
			t.Errorf("NewNetMap(%v) = %s of %d; want %s of %d", naive, again.Sum, again.Len(), m.Sum, m.Len())
		}
	})
}

// itemLines is a map file of n lines.
func itemLines(n int, line func(i int) string) []byte {
	var b bytes.Buffer
	for i := range n {
		b.WriteString(line(i))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func domainLines(n int) []byte {
	return itemLines(n, func(i int) string { return fmt.Sprintf("mail-%d.customer%d.example", i%7, i) })
}

// networkLines are networks of which none affects another.
func networkLines(n int) []byte {
	return itemLines(n, func(i int) string {
		if i%2 == 0 {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 14), byte(i >> 6), byte(i << 2), 0}), 31).String()
		}
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 16), byte(i >> 8), byte(i)}).String()
	})
}

// Of a million items, 50 MB for either map.
func TestMapMemoryIsSmall(t *testing.T) {
	const most = 50 // bytes for each item
	items := 100_000
	if scale.Of(t) > 1 { // make soak
		items = MaxMapEntries
	}
	heap := func() int {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int(s.HeapAlloc)
	}
	domains, networks := domainLines(items), networkLines(items)
	before := heap()
	d, problems := ParseDomainMap("d", domains)
	if bytes := heap() - before; problems != nil || d.Len() != items || bytes > items*most {
		t.Errorf("ParseDomainMap() = %d domains in %d bytes, %v; want %d in at most %d", d.Len(), bytes, problems, items, items*most)
	}
	before = heap()
	n, problems := ParseNetMap("n", networks)
	if bytes := heap() - before; problems != nil || n.Len() != items || bytes > items*most {
		t.Errorf("ParseNetMap() = %d networks in %d bytes, %v; want %d in at most %d", n.Len(), bytes, problems, items, items*most)
	}
	domainIn, domainOut := "mail-6.customer99994.example", "a.b.c.stranger.example"
	in, out := netip.MustParseAddr("2001:db8:1:100::"), netip.MustParseAddr("203.0.113.255")
	if !d.Holds(domainIn, "") || !n.Holds(in) {
		t.Errorf("the maps do not hold %s or %v", domainIn, in)
	}
	if got := testing.AllocsPerRun(100, func() { d.Holds(domainIn, ""); d.Holds(domainOut, "stranger.example"); n.Holds(in); n.Holds(out) }); got > 0 {
		t.Errorf("to look up four items allocates %v times; want none", got)
	}
	runtime.KeepAlive(domains)
	runtime.KeepAlive(networks)
}

func BenchmarkMaps(b *testing.B) {
	domains, networks := domainLines(MaxMapEntries), networkLines(MaxMapEntries)
	d, _ := ParseDomainMap("d", domains)
	n, _ := ParseNetMap("n", networks)
	var names []string
	var clients []netip.Addr
	for i := range 1 << 16 {
		names = append(names, fmt.Sprintf("mail-%d.customer%d.example", i%7, i*17))
		clients = append(clients, netip.AddrFrom4([4]byte{byte(i >> 8), byte(i), byte(i * 7), 1}))
	}
	b.Run("domain", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			d.Holds(names[i%len(names)], "customer.example")
		}
	})
	b.Run("client", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			n.Holds(clients[i%len(clients)])
		}
	})
	b.Run("load domains", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ParseDomainMap("d", domains)
		}
	})
	b.Run("load networks", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ParseNetMap("n", networks)
		}
	})
}
