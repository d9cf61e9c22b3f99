package dnscache

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"dmarcgate/internal/dnstest"
)

// count returns how often name was queried for TXT.
func count(srv *dnstest.Server, name string) int {
	n := 0
	for _, q := range srv.Queries() {
		if q == "TXT "+name {
			n++
		}
	}
	return n
}

func TestCacheKeepsAnswersForTTL(t *testing.T) {
	const text = `
		ten.example.com.   10      TXT   "x"
		zero.example.com.  0       TXT   "x"
		week.example.com.  604800  TXT   "x"
		least.example.com. 10      TXT   "x"
		least.example.com. 5       TXT   "y"
		alias.example.com. 7       CNAME ten.example.com.
		goner.example.com. 3       CNAME gone.example.com.
		`
	for _, c := range []struct {
		about, name, line string
		keeps             time.Duration // 0: queried again at once
	}{
		{"a record", "ten.example.com", "", 10 * time.Second},
		{"TTL 0 is not kept", "zero.example.com", "", 0},
		{"no longer than the ceiling", "week.example.com", "", time.Hour},
		{"the least TTL of the records", "least.example.com", "", 5 * time.Second},
		{"the least TTL of the aliases", "alias.example.com", "", 7 * time.Second},
		{"the least TTL of alias and SOA", "goner.example.com", "!negttl 9", 3 * time.Second},
		{"NXDOMAIN by the SOA", "gone.example.com", "!negttl 9", 9 * time.Second},
		{"no records by the SOA", "example.com", "!negttl 9", 9 * time.Second},
		{"NXDOMAIN by the MINIMUM below the TTL of the SOA", "gone.example.com", "example.com. 20 SOA a. b. 1 2 3 4 9", 9 * time.Second},
		{"NXDOMAIN by the TTL of the SOA below the MINIMUM", "gone.example.com", "example.com. 9 SOA a. b. 1 2 3 4 20", 9 * time.Second},
		{"nothing there, no longer than the ceiling", "gone.example.com", "!negttl 99999", time.Minute},
		{"nothing there, without an SOA, is not kept", "gone.example.com", "!nosoa", 0},
		{"a failure", "sf.example.com", "!servfail sf.example.com", defaultFailureTTL},
	} {
		t.Run(c.about, func(t *testing.T) {
			srv := dnstest.New(t, text+c.line)
			g := newRig(t, Config{MaxTTL: time.Hour, MaxNegativeTTL: time.Minute}, srv)
			g.ahead = g.cfg.MaxInFlight // nothing is queried ahead of time
			ask := func(want int) {
				t.Helper()
				_, _ = g.View(DMARC).TXT(background, c.name)
				if got := count(srv, c.name); got != want {
					t.Fatalf("queried %d times; want %d", got, want)
				}
			}
			ask(1)
			if c.keeps > 0 {
				g.clock.advance(c.keeps - 1)
				ask(1)
				g.clock.advance(1)
			}
			ask(2)
		})
	}
}

func TestCacheKeyHasTypeAndLowerCaseName(t *testing.T) {
	srv := dnstest.New(t, "example.com. TXT x\nexample.com. A 192.0.2.1")
	v := newRig(t, Config{}, srv).View(SPF)
	for range 2 {
		_, _ = v.TXT(background, "EXAMPLE.com")
		_, _ = v.TXT(background, "example.COM.")
		_, _ = v.A(background, "example.com")
	}
	if want := []string{"TXT example.com", "A example.com"}; !slices.Equal(srv.Queries(), want) {
		t.Errorf("queried %q; want %q", srv.Queries(), want)
	}
}

func TestCacheSizeIsBoundedInBytes(t *testing.T) {
	const limit, text = 64 << 10, 1000
	srv := dnstest.New(t, `*.example.com. TXT "`+strings.Repeat("x", text)+`"`)
	g := newRig(t, Config{MaxBytes: limit}, srv)
	for i := range 200 {
		if got, err := g.View(DKIM).TXT(background, fmt.Sprintf("n%d.example.com", i)); err != nil || len(got[0]) != text {
			t.Fatalf("TXT = %q, %v", got, err)
		}
	}
	eventually(t, "the cache is within its limit", func() bool { return g.cache.WeightedSize() <= limit })
	g.cache.CleanUp()
	if n := g.cache.EstimatedSize(); n == 0 || n > limit/text {
		t.Errorf("%d entries of %d bytes in a cache of %d", n, text, limit)
	}
	eventually(t, "evictions are counted", func() bool { return g.metric(t, "dmarcgate_dns_cache_evictions_total", "size") > 100 })
}

func TestCacheCopiesNames(t *testing.T) {
	g := newRig(t, Config{}, dnstest.New(t, "example.com. TXT x"))
	message := strings.Repeat("header ", 1000) + "example.com"
	name := message[len(message)-len("example.com"):]
	if _, err := g.View(DKIM).TXT(background, name); err != nil {
		t.Fatal(err)
	}
	for k := range g.cache.Keys() {
		if unsafe.StringData(k.Name) == unsafe.StringData(name) {
			t.Error("the key is a part of the message")
		}
	}
}
