package dnscache

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
)

const viewZone = `
	example.com.             TXT   "v=spf1 " "-all"
	raw.example.com.         TXT   "q\"b\\s;\195\164\000end" "\\" "065"
	example.com.             MX    20 b.example.com.
	example.com.             MX    10 A.Example.com.
	example.com.             MX    5  a\.b.example.com.
	null.example.com.        MX    0 .
	a.example.com.           A     192.0.2.1
	a.example.com.           AAAA  2001:db8::1
	*.wild.example.com.      TXT   "wild"
	alias.example.com.       CNAME a.example.com.
	dangling.example.com.    CNAME gone.example.com.
	x.empty.example.com.     A     192.0.2.3
	1.2.0.192.in-addr.arpa.  PTR   A.example.com.
	noerror.example.com.     A     192.0.2.4
	\@\;\"\\\200.example.com. TXT  "odd"
`

func TestViewAnswersEachType(t *testing.T) {
	v := newRig(t, Config{}, dnstest.New(t, viewZone)).View(SPF)
	for _, c := range []struct {
		about string
		ask   func() (any, error)
		want  []string
	}{
		{"the strings of a TXT record are joined", func() (any, error) { return v.TXT(background, "Example.COM.") }, []string{"v=spf1 -all"}},
		{"TXT is unescaped to its bytes", func() (any, error) { return v.TXT(background, "raw.example.com") }, []string{"q\"b\\s;\xc3\xa4\x00end\\065"}},
		{"names are bytes and not zone text", func() (any, error) { return v.TXT(background, "@;\"\\\xc8.example.com") }, []string{"odd"}},
		{"addresses", func() (any, error) { return v.A(background, "a.example.com") }, []string{"192.0.2.1"}},
		{"IPv6 addresses", func() (any, error) { return v.AAAA(background, "a.example.com") }, []string{"2001:db8::1"}},
		{"an alias is followed", func() (any, error) { return v.A(background, "alias.example.com") }, []string{"192.0.2.1"}},
		{"mail hosts by preference, without the one that is no host", func() (any, error) { return v.MX(background, "example.com") }, []string{"a.example.com", "b.example.com"}},
		{"a null MX", func() (any, error) { return v.MX(background, "null.example.com") }, []string{"."}},
		{"reverse names of a mapped address", func() (any, error) { return v.PTR(background, netip.MustParseAddr("::ffff:192.0.2.1")) }, []string{"a.example.com"}},
		{"no address has no name", func() (any, error) { return v.PTR(background, netip.Addr{}) }, nil},
		{"a wildcard", func() (any, error) { return v.TXT(background, "x.wild.example.com") }, []string{"wild"}},
		{"no such name", func() (any, error) { return v.TXT(background, "gone.example.com") }, nil},
		{"no such type", func() (any, error) { return v.TXT(background, "a.example.com") }, nil},
	} {
		t.Run(c.about, func(t *testing.T) {
			for range 2 { // from the server, then from the cache
				got, err := c.ask()
				if text, want := fmt.Sprintf("%q", got), fmt.Sprintf("%q", c.want); text != want || err != nil {
					t.Errorf("got %s, %v; want %s", text, err, want)
				}
			}
		})
	}
}

func TestSOAHasServerAndMailbox(t *testing.T) {
	v := newRig(t, Config{}, dnstest.New(t, `
		example.com.  SOA NS.example.com. Host\.Master\@x.Mail.example.com. 1 2 3 4 5
		root.com.     SOA . . 1 2 3 4 5
		local.com.    SOA ns.root.com. postmaster. 1 2 3 4 5
		odd.com.      SOA ns.odd.com. a.b\.c.odd.com. 1 2 3 4 5
		raw.com.      SOA ns.raw.com. x\013\010y.raw.com. 1 2 3 4 5
		!servfail lame.com
	`)).View(DMARC)
	for name, want := range map[string][2]string{
		"example.com":     {"ns.example.com", "Host.Master@x@mail.example.com"},
		"www.example.com": {"", ""}, // not where the zone begins
		"root.com":        {".", ""},
		"local.com":       {"ns.root.com", ""},
		"odd.com":         {"ns.odd.com", ""},
		"raw.com":         {"ns.raw.com", "x\r\ny@raw.com"},
	} {
		for range 2 { // from the server, then from the cache
			if server, mailbox, err := v.SOA(background, name); server != want[0] || mailbox != want[1] || err != nil {
				t.Errorf("SOA(%q) = %q, %q, %v; want %q", name, server, mailbox, err, want)
			}
		}
	}
	if server, mailbox, err := v.SOA(background, "lame.com"); err == nil {
		t.Errorf("SOA of a zone that fails = %q, %q; want an error", server, mailbox)
	}
}

func TestExistsIsFalseOnlyForTheNameItself(t *testing.T) {
	v := newRig(t, Config{}, dnstest.New(t, viewZone)).View(DMARC)
	for name, want := range map[string]bool{
		"example.com": true, "empty.example.com": true, "noerror.example.com": true, "dangling.example.com": true,
		"gone.example.com": false, "a..example.com": false, "": false,
	} {
		if got, err := v.Exists(background, name); got != want || err != nil {
			t.Errorf("Exists(%q) = %v, %v; want %v", name, got, err, want)
		}
	}
}

func TestExistsIsUnknownWhenTheServerFails(t *testing.T) {
	v := newRig(t, Config{}, dnstest.New(t, "!servfail gone.example.com A\n!servfail example.com TXT")).View(DMARC)
	for _, name := range []string{"gone.example.com", "example.com"} {
		if got, err := v.Exists(background, name); err == nil {
			t.Errorf("Exists(%q) = %v; want an error", name, got)
		}
	}
}

func TestViewQueriesNoInvalidName(t *testing.T) {
	srv := dnstest.New(t, "")
	var seen lookups
	v := newRig(t, Config{}, srv).View(DKIM).Traced(seen.add)
	long := strings.Repeat("a.", 126) // with the next label 253 bytes or more
	for _, name := range []string{"", ".", "..", ".example.com", "a..b", "example.com..", strings.Repeat("a", 64) + ".com", long + "ab", strings.Repeat("x", 1<<16)} {
		if got, err := v.TXT(background, name); len(got) > 0 || err != nil {
			t.Errorf("TXT(%.20q) = %q, %v; want nothing", name, got, err)
		}
		if l := seen.last(t); l.Outcome != "" || l.Name != name {
			t.Errorf("TXT(%.20q) traced %+v; want no outcome", name, l)
		}
	}
	if q := srv.Queries(); len(q) > 0 {
		t.Errorf("queried %q; want nothing", q)
	}
}

func TestViewQueriesLongestName(t *testing.T) {
	srv := dnstest.New(t, "!any")
	v := newRig(t, Config{}, srv).View(DKIM)
	name := strings.Repeat("a.", 126) + "b"
	if got, err := v.TXT(background, name); len(got) > 0 || err != nil {
		t.Errorf("TXT = %q, %v; want nothing", got, err)
	}
	if want := []string{"TXT " + name}; !slices.Equal(srv.Queries(), want) {
		t.Errorf("queried %q; want %q", srv.Queries(), want)
	}
}

func TestRememberedQueriesNothing(t *testing.T) {
	srv := dnstest.New(t, viewZone+"!negttl 60")
	g := newRig(t, Config{}, srv)
	asking := g.View(SPF)
	view, complete := asking.Remembered()
	if _, err := view.TXT(background, "example.com"); err == nil || complete() {
		t.Fatalf("TXT of an empty cache: error %v; want one, and nothing known", err)
	}
	if q := srv.Queries(); len(q) > 0 {
		t.Fatalf("queried %q; want nothing", q)
	}
	for _, name := range []string{"example.com", "nothing.example.com"} {
		if _, err := asking.TXT(background, name); err != nil {
			t.Fatal(err)
		}
	}
	queried := len(srv.Queries())
	if got, err := view.TXT(background, "example.com"); err != nil || len(got) != 1 {
		t.Errorf("TXT = %q, %v; want the record", got, err)
	}
	if got, err := view.TXT(background, "nothing.example.com"); err != nil || len(got) != 0 {
		t.Errorf("TXT = %q, %v; want nothing", got, err)
	}
	if !complete() {
		t.Error("something is not known; want all")
	}
	wantRequests(t, g, "hit", 1)
	wantRequests(t, g, "negative_hit", 1)
	_, _ = view.TXT(background, "example.com")
	if _, err := view.TXT(background, "other.example.com"); err == nil || complete() {
		t.Errorf("TXT of another name: error %v; want one", err)
	}
	wantRequests(t, g, "hit", 1) // they will be queried again
	if n := len(srv.Queries()); n != queried {
		t.Errorf("%d queries; want %d", n, queried)
	}
}

func TestTracedRemembersNothing(t *testing.T) {
	g := newRig(t, Config{}, dnstest.New(t, viewZone))
	var seen lookups
	v := g.View(SPF).Traced(seen.add)
	if _, err := v.TXT(background, "example.com"); err != nil {
		t.Fatal(err)
	}
	view, complete := v.Remembered()
	if _, err := view.TXT(background, "example.com"); err == nil || complete() {
		t.Errorf("TXT: error %v; want one", err)
	}
}

func TestTraceShowsOutcomeOfLookup(t *testing.T) {
	g := newRig(t, Config{}, dnstest.New(t, viewZone+"!servfail sf.example.com\n!negttl 60"))
	var seen lookups
	v := g.View(SPF).Traced(seen.add)
	for _, c := range []struct {
		name, outcome, records string
		nxdomain, failed       bool
		ttl                    time.Duration
	}{
		{"alias.example.com", miss, `["192.0.2.1"]`, false, false, 300 * time.Second},
		{"alias.example.com", hit, `["192.0.2.1"]`, false, false, 290 * time.Second},
		{"gone.example.com", miss, `[]`, true, false, 60 * time.Second},
		{"gone.example.com", negativeHit, `[]`, true, false, 50 * time.Second},
		{"dangling.example.com", miss, `[]`, false, false, 60 * time.Second},
		{"sf.example.com", miss, `[]`, false, true, 0},
	} {
		_, _ = v.A(background, c.name)
		l := seen.last(t)
		if l.Name != c.name || l.Type != "A" || l.Outcome != c.outcome || fmt.Sprintf("%q", l.Records) != c.records ||
			l.NXDomain != c.nxdomain || (l.Err != nil) != c.failed || l.TTL != c.ttl {
			t.Errorf("A(%q) traced %+v; want %+v", c.name, l, c)
		}
		g.clock.advance(10 * time.Second)
	}
}

func TestPurposeLabelsMetrics(t *testing.T) {
	g := newRig(t, Config{}, dnstest.New(t, viewZone))
	for range 3 {
		_, _ = g.View(DKIM).TXT(background, "example.com")
		_, _ = g.View(DMARC).TXT(background, "gone.example.com")
	}
	for _, c := range []struct {
		series string
		labels []string
		want   float64
	}{
		{"dmarcgate_dns_cache_requests_total", []string{"dkim", miss}, 1},
		{"dmarcgate_dns_cache_requests_total", []string{"dkim", hit}, 2},
		{"dmarcgate_dns_cache_requests_total", []string{"dmarc", negativeHit}, 2},
		{"dmarcgate_dns_queries_total", []string{"dkim", "ok"}, 1},
		{"dmarcgate_dns_queries_total", []string{"dmarc", "nxdomain"}, 1},
		{"dmarcgate_dns_in_flight", nil, 0},
		{"dmarcgate_dns_cache_entries", nil, 2},
	} {
		if got := g.metric(t, c.series, c.labels...); got != c.want {
			t.Errorf("%s%q = %v; want %v", c.series, c.labels, got, c.want)
		}
	}
	if got := g.metric(t, "dmarcgate_dns_cache_bytes"); got < 2*entryOverhead || got > 3*entryOverhead {
		t.Errorf("dns_cache_bytes = %v; want two entries", got)
	}
}

func TestPTRIsCountedAsReverseLookup(t *testing.T) {
	g := newRig(t, Config{}, dnstest.New(t, viewZone))
	ip := netip.MustParseAddr("192.0.2.1")
	var seen lookups
	for _, p := range []Purpose{SPF, PTR} {
		if names, err := g.View(p).Traced(seen.add).PTR(background, ip); len(names) != 1 || err != nil || seen.last(t).Purpose != p.String() {
			t.Errorf("PTR = %q, %v, traced %+v; want a name for %v", names, err, seen.last(t), p)
		}
	}
	v, complete := g.View(SPF).Remembered()
	if names, err := v.PTR(background, ip); len(names) != 1 || err != nil || !complete() {
		t.Errorf("PTR from memory = %q, %v; want the name", names, err)
	}
	for outcome, want := range map[string]float64{miss: 1, hit: 2} {
		if got := g.metric(t, "dmarcgate_dns_cache_requests_total", "ptr", outcome); got != want {
			t.Errorf("%v lookups of ptr counted as %s; want %v", got, outcome, want)
		}
		wantRequests(t, g, outcome, 0)
	}
}

func TestViewAnswersFromCacheAfterContextEnds(t *testing.T) {
	v := newRig(t, Config{}, dnstest.New(t, viewZone)).View(SPF)
	if _, err := v.TXT(background, "example.com"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	if got, err := v.TXT(ctx, "example.com"); len(got) != 1 || err != nil {
		t.Errorf("TXT with an ended context = %q, %v; want the cached record", got, err)
	}
}

func wantRequests(t *testing.T, g *rig, outcome string, want float64) {
	t.Helper()
	if n := g.metric(t, "dmarcgate_dns_cache_requests_total", "spf", outcome); n != want {
		t.Errorf("%v requests counted as %s; want %v", n, outcome, want)
	}
}
