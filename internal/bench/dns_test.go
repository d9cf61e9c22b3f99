package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"

	"dmarcgate/dnscache"
)

// The whole, with as little work as can be: everything that is promised of the
// cache is measured and judged.
func TestEveryPromiseOfTheCacheIsJudged(t *testing.T) {
	rows := []*row{
		{key: nearKey, samples: []sample{{rate: 100}, {rate: 200}}},
		{key: farKey, samples: []sample{{rate: 95, queries: 0.01}, {rate: 190, queries: 0.02}}},
	}
	var out, progress strings.Builder
	opts := dnsOptions{seed: 1, repeat: 1, rounds: 1, names: 500, scan: 2000, hot: 10, cache: 64 << 10}
	if err := compareDNS(t.Context(), opts, rows, &out, &progress); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"ours/otter\nTXT of a DMARC name", "\nParsed of a DKIM key",
		"TXT of a DMARC name: ", "Parsed of a DKIM key: ", " allocations a hit; want none: ",
		"live heap for each of 500 DMARC names = ", "want less than 600: ", "(the cache estimates ",
		"\nnames that do not exist, one behind each, in turn", "\nnames of a wildcard, one behind each, by Zipf's law",
		"rate / rate with DNS at hand = 0.95 (0.95-0.95) >= 0.9 ok\n",
		"0.0150 (0.0100-0.0200) queries a message; want at most 0.05: ok\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output has no %q:\n%s", want, out.String())
		}
	}
	if got := strings.Count(out.String(), "> 99.00 % "); got != 4 {
		t.Errorf("shares of hits that are judged = %d; want those of two ways of use in two scans:\n%s", got, out.String())
	}
}

func TestFarDNSIsJudgedByTheRowsOfOneRepetition(t *testing.T) {
	near := &row{key: nearKey, samples: []sample{{rate: 100}, {rate: 50}, {rate: 10}}}
	for _, tt := range []struct {
		name string
		far  []sample
		want string
	}{
		{"slow in two of three", []sample{{rate: 80}, {rate: 44}, {rate: 10}}, "= 0.88 (0.80-1.00) >= 0.9 MISSED"},
		{"fast, with many queries", []sample{{rate: 100, queries: 0.06}, {rate: 50, queries: 0.07}, {rate: 10}}, "0.0600 (0.0000-0.0700) queries a message; want at most 0.05: MISSED"},
		{"not measured", nil, "not measured"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(slowDNSFacts([]*row{near, {key: farKey, samples: tt.far}}), "\n")
			if !strings.Contains(got, tt.want) {
				t.Errorf("slowDNSFacts = %q; want %q in it", got, tt.want)
			}
		})
	}
}

func TestOnlyNamesInUseAreJudged(t *testing.T) {
	for _, tt := range []struct {
		set  *hotSet
		want string
	}{
		{&hotSet{judged: true, during: 1, after: 1}, " > 99.00 % ok"},
		{&hotSet{judged: true, during: 0.99, after: 1}, " > 99.00 % MISSED"},
		{&hotSet{judged: true, during: 1, after: 0.5}, " > 99.00 % MISSED"},
		{&hotSet{during: math.NaN(), after: 0.5}, ""},
	} {
		if got := tt.set.promise(); got != tt.want {
			t.Errorf("promise of shares %g and %g, judged %t = %q; want %q", tt.set.during, tt.set.after, tt.set.judged, got, tt.want)
		}
	}
}

// A cache that is too small for the names in use loses them, and that is seen.
func TestNamesThatLeaveTheCacheAreNoHits(t *testing.T) {
	opts := dnsOptions{seed: 1, scan: 500, hot: 200, cache: 20 << 10}
	s := scans(opts)[0]
	if err := s.run(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	if h := s.hot[0]; h.during > 0.5 || h.after > 0.5 || !strings.HasSuffix(h.promise(), "MISSED") {
		t.Errorf("%d names in a cache of %d bytes: shares of hits %g and %g; want them to be low", 4*opts.hot, opts.cache, h.during, h.after)
	}
}

func TestTheScanHasOtherNamesEachTime(t *testing.T) {
	seen := make(map[string]bool)
	s := scans(dnsOptions{hot: 2})[0]
	for i := range 10000 {
		seen[s.name(1, i)] = true
	}
	if len(seen) != 10000 {
		t.Errorf("different names of 10000 = %d", len(seen))
	}
}

func TestAMissAmongHitsIsAnError(t *testing.T) {
	bare, err := bareCache(namesOf(3, dmarcName))
	if err != nil {
		t.Fatal(err)
	}
	if err := getAll(bare, namesOf(3, dmarcName)); err != nil {
		t.Errorf("getAll of what is there = %v", err)
	}
	if err := getAll(bare, namesOf(4, dmarcName)); !errors.Is(err, errNoHit) {
		t.Errorf("getAll of what is not there = %v; want %v", err, errNoHit)
	}
	c := newTestCache(t, 1<<20)
	if err := c.hitTXT(t.Context(), []string{"a." + absentZone}); !errors.Is(err, errNoHit) {
		t.Errorf("hitTXT of a name without record = %v; want %v", err, errNoHit)
	}
	if err := c.hitParsed(t.Context(), []string{dmarcName(1)}); !errors.Is(err, errNoHit) {
		t.Errorf("hitParsed of a record without key = %v; want %v", err, errNoHit)
	}
}

// Memory is only that of all names when all names are there.
func TestACacheThatEvictsIsNotMeasured(t *testing.T) {
	const names = 4000
	c := newTestCache(t, names*roomForName/10)
	if err := c.each(t.Context(), names, dmarcName); err != nil {
		t.Fatal(err)
	}
	if err := c.allThere(t.Context(), names); !errors.Is(err, errNoHit) {
		t.Errorf("allThere of a cache that is too small = %v; want %v", err, errNoHit)
	}
	if _, err := c.gauge("dmarcgate_no_such"); err == nil {
		t.Error("gauge of a metric that is not there has no error")
	}
}

func newTestCache(t *testing.T, maxBytes uint64) *cacheStage {
	t.Helper()
	c, err := openCache(maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestTheNameServerAnswersAsTheStageSays(t *testing.T) {
	c := newTestCache(t, 0)
	if len(ordinaryRecord) != 90 {
		t.Errorf("the DMARC record has %d bytes; want 90", len(ordinaryRecord))
	}
	for _, tt := range []struct {
		name     string
		want     string
		nxdomain bool
	}{
		{dmarcName(7), ordinaryRecord, false},
		{"0123." + wildZone, ordinaryRecord, false},
		{"0123." + absentZone, "", true},
		{keyName(7), "v=DKIM1; k=rsa; p=", false},
	} {
		for _, outcome := range []string{"miss", "hit"} {
			var seen dnscache.Lookup
			txts, err := c.dns.View(dnscache.DKIM).Traced(func(l dnscache.Lookup) { seen = l }).TXT(t.Context(), tt.name)
			got := strings.Join(txts, "|")
			if !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") || seen.NXDomain != tt.nxdomain || err != nil {
				t.Errorf("TXT(%s) = %q, NXDOMAIN %t, %v; want %q, %t", tt.name, got, seen.NXDomain, err, tt.want, tt.nxdomain)
			}
			if !strings.HasSuffix(seen.Outcome, outcome) {
				t.Errorf("outcome of TXT(%s) = %q; want a %s", tt.name, seen.Outcome, outcome)
			}
		}
	}
	txts, err := c.dns.View(dnscache.DKIM).TXT(t.Context(), keyName(7))
	if key := parseKey(txts); key == nil || err != nil {
		t.Errorf("parseKey(%q) = %v, %v; want a key", txts, key, err)
	}
	if got := c.server.asked.Load(); got != 4 {
		t.Errorf("queries = %d; want one for each name", got)
	}
}

func TestWhatIsNoQuestionIsNotAnswered(t *testing.T) {
	for _, query := range []string{"", strings.Repeat("\x00", dnsHeader), strings.Repeat("\x00", dnsHeader) + "\x05ab", strings.Repeat("\x00", dnsHeader) + "\x01a\x00\x00\x10\x00"} {
		if name, ok := questionName([]byte(query)); ok {
			t.Errorf("questionName(%q) = %q; want none", query, name)
		}
	}
	server, err := serveNames(func([]byte) []byte { return txtData("x") })
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()
	conn, err := net.Dial("udp4", server.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	question := "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x10\x00\x01"
	for _, packet := range []string{"", "short", question} {
		if _, err := conn.Write([]byte(packet)); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, maxReply)
	n, err := conn.Read(buf)
	want := "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question[dnsHeader:] + "\xc0\x0c\x00\x10\x00\x01\x00\x01\x51\x80\x00\x02\x01x"
	if string(buf[:n]) != want || err != nil {
		t.Errorf("reply = %q, %v; want %q", buf[:n], err, want)
	}
}

func TestLongTextIsSeveralStrings(t *testing.T) {
	text := strings.Repeat("a", 300)
	want := append(append([]byte{255}, text[:255]...), append([]byte{45}, text[255:]...)...)
	if got := txtData(text); !bytes.Equal(got, want) {
		t.Errorf("txtData of 300 bytes = %q; want %q", got, want)
	}
}

func TestTheFirstErrorOfManyIsReturned(t *testing.T) {
	wrong := errors.New("wrong")
	err := concurrent(4, 100, func(i int) error {
		if i == 50 {
			return fmt.Errorf("%d: %w", i, wrong)
		}
		return nil
	})
	if !errors.Is(err, wrong) {
		t.Errorf("concurrent = %v; want %v", err, wrong)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newTestCache(t, 0).each(ctx, 10, dmarcName); !errors.Is(err, context.Canceled) {
		t.Errorf("each = %v; want %v", err, context.Canceled)
	}
}
