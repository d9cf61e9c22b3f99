package dnscache

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"

	"github.com/miekg/dns"
)

const inspectZone = `
example.com.          100 TXT x
example.com.          100 A   192.0.2.1
a.example.com.        100 TXT x
b.a.example.com.      100 TXT x
notexample.com.       100 TXT x
!servfail sf.example.com
!negttl 50
`

// inspected is a cache filled from inspectZone.
func inspected(t *testing.T) (*rig, *dnstest.Server) {
	t.Helper()
	srv := dnstest.New(t, inspectZone)
	g := newRig(t, Config{}, srv)
	v := g.View(SPF)
	for _, name := range []string{"example.com", "a.example.com", "b.a.example.com", "notexample.com", "gone.example.com", "sf.example.com"} {
		_, _ = v.TXT(background, name)
	}
	_, _ = v.A(background, "example.com")
	return g, srv
}

// dumped lists what Dump shows, sorted.
func dumped(g *rig) []string {
	var list []string
	g.Dump(func(e Entry) bool {
		list = append(list, e.Name+" "+e.Type)
		return true
	})
	slices.Sort(list)
	return list
}

func TestDumpShowsAllEntries(t *testing.T) {
	g, _ := inspected(t)
	want := []string{"a.example.com TXT", "b.a.example.com TXT", "example.com A", "example.com TXT", "gone.example.com TXT", "notexample.com TXT", "sf.example.com TXT"}
	if got := dumped(g); !slices.Equal(got, want) {
		t.Errorf("Dump = %q; want %q", got, want)
	}
	n := 0
	g.Dump(func(Entry) bool { n++; return n < 3 })
	if n != 3 {
		t.Errorf("Dump went on to %d entries; want 3", n)
	}
}

func TestShowListsEntriesOfName(t *testing.T) {
	g, srv := inspected(t)
	show := func(name string) string {
		var list []string
		for _, e := range g.Show(name) {
			if e.Bytes <= 0 {
				t.Errorf("Show(%q): %d bytes", name, e.Bytes)
			}
			list = append(list, fmt.Sprint(e.Type, e.Records, " nxdomain ", e.NXDomain, " stale ", e.Stale, " ", e.Failure, " age ", e.Age, " ttl ", e.TTL))
		}
		return strings.Join(list, "; ")
	}
	g.clock.advance(2 * time.Second)
	for name, want := range map[string]string{
		"Example.COM.":      "TXT[x] nxdomain false stale false  age 2s ttl 1m38s; A[192.0.2.1] nxdomain false stale false  age 2s ttl 1m38s",
		"gone.example.com":  "TXT[] nxdomain true stale false  age 2s ttl 48s",
		"sf.example.com":    "TXT[] nxdomain false stale false servfail age 2s ttl 3s",
		"never.example.com": "",
		"..":                "",
	} {
		if got := show(name); got != want {
			t.Errorf("Show(%q) = %s; want %s", name, got, want)
		}
	}
	g.clock.advance(98 * time.Second)
	g.replace(t, srv, "!servfail example.com TXT")
	_, _ = g.View(SPF).TXT(background, "example.com")
	want := "TXT[x] nxdomain false stale true servfail age 1m40s ttl 0s; A[192.0.2.1] nxdomain false stale true  age 1m40s ttl 0s"
	if got := show("example.com"); got != want {
		t.Errorf("Show = %s; want %s", got, want)
	}
	if got := show("sf.example.com"); got != "" {
		t.Errorf("Show of a forgotten failure = %s; want nothing", got)
	}
}

func TestEntryMarksValidatedAnswer(t *testing.T) {
	g := newRig(t, Config{}, dnstest.New(t, ""))
	g.put(use{}, key{Type: dns.TypeTXT, Name: "example.com"}, answer{Records: []string{"x"}, AD: true, TTL: time.Hour})
	var seen lookups
	if _, err := g.View(DKIM).Traced(seen.add).TXT(background, "example.com"); err != nil || !seen.last(t).AD {
		t.Errorf("traced %+v, %v; want AD", seen.last(t), err)
	}
	if list := g.Show("example.com"); len(list) != 1 || !list[0].AD {
		t.Errorf("Show = %+v; want AD", list)
	}
}

func TestFlushRemovesNameAndNamesBelow(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int
		left []string
	}{
		{"A.Example.com.", 2, []string{"example.com A", "example.com TXT", "gone.example.com TXT", "notexample.com TXT", "sf.example.com TXT"}},
		{"example.com", 6, []string{"notexample.com TXT"}},
		{"sf.example.com", 1, []string{"a.example.com TXT", "b.a.example.com TXT", "example.com A", "example.com TXT", "gone.example.com TXT", "notexample.com TXT"}},
		{"xample.com", 0, []string{"a.example.com TXT", "b.a.example.com TXT", "example.com A", "example.com TXT", "gone.example.com TXT", "notexample.com TXT", "sf.example.com TXT"}},
		{".", 0, []string{"a.example.com TXT", "b.a.example.com TXT", "example.com A", "example.com TXT", "gone.example.com TXT", "notexample.com TXT", "sf.example.com TXT"}},
	} {
		g, srv := inspected(t)
		if n := g.Flush(c.name); n != c.n {
			t.Errorf("Flush(%q) = %d; want %d", c.name, n, c.n)
		}
		if got := dumped(g); !slices.Equal(got, c.left) {
			t.Errorf("Flush(%q) left %q; want %q", c.name, got, c.left)
		}
		if got := g.metric(t, "dmarcgate_dns_cache_evictions_total", "flushed"); got != float64(c.n) {
			t.Errorf("Flush(%q): %v evictions counted; want %d", c.name, got, c.n)
		}
		if got := g.metric(t, "dmarcgate_dns_cache_entries"); got != float64(len(c.left)) {
			t.Errorf("Flush(%q): %v entries counted; want %d", c.name, got, len(c.left))
		}
		_, _ = g.View(SPF).TXT(background, "sf.example.com")
		if got, forgotten := count(srv, "sf.example.com"), !slices.Contains(c.left, "sf.example.com TXT"); (got == 2) != forgotten {
			t.Errorf("Flush(%q): sf.example.com was queried for %d times", c.name, got)
		}
	}
	g, _ := inspected(t)
	if n, left := g.FlushAll(), dumped(g); n != 7 || len(left) != 0 {
		t.Errorf("FlushAll() = %d, left %q; want 7 and nothing", n, left)
	}
}

func TestFlushDiscardsAnswerInFlight(t *testing.T) {
	srv := dnstest.New(t, inspectZone)
	g := newRig(t, Config{}, srv)
	arrived, release := srv.Hold("example.com")
	first := make(chan result, 1)
	go func() {
		txts, err := g.View(SPF).TXT(background, "example.com")
		first <- result{txts, err}
	}()
	<-arrived
	g.Flush("example.com")
	g.Flush("notexample.com")
	second := make(chan result, 1)
	go func() {
		txts, err := g.View(SPF).TXT(background, "example.com")
		second <- result{txts, err}
	}()
	eventually(t, "the second caller asks anew", func() bool { return count(srv, "example.com") == 2 })
	release()
	for _, c := range []chan result{first, second} {
		if res := <-c; len(res.txts) != 1 || res.err != nil {
			t.Errorf("TXT = %q, %v; want the record", res.txts, res.err)
		}
	}
	g.ready(t)
	if list := g.Show("example.com"); len(list) != 1 {
		t.Errorf("Show = %+v; want what came after the flush", list)
	}
	// Alone, the first is not kept.
	arrived, release = srv.Hold("a.example.com")
	go func() {
		txts, err := g.View(SPF).TXT(background, "a.example.com")
		first <- result{txts, err}
	}()
	<-arrived
	g.FlushAll()
	release()
	<-first
	if list := g.Show("a.example.com"); len(list) != 0 {
		t.Errorf("Show = %+v; want nothing", list)
	}
}

func TestEntryMarshalsSeconds(t *testing.T) {
	e := Entry{Name: "example.com", Type: "TXT", Records: []string{"x"}, AD: true, Stale: true, Failure: "timeout", Age: 90500 * time.Millisecond, TTL: 0, Bytes: 7}
	text, err := json.Marshal(e)
	want := `{"name":"example.com","type":"TXT","records":["x"],"nxdomain":false,"ad":true,"stale":true,"failure":"timeout","age_seconds":90,"ttl_seconds":0,"bytes":7}`
	if string(text) != want || err != nil {
		t.Errorf("Marshal = %s, %v; want %s", text, err, want)
	}
	var back Entry
	if err := json.Unmarshal(text, &back); err != nil || back.Age != 90*time.Second || back.Name != e.Name || !back.Stale {
		t.Errorf("Unmarshal = %+v, %v; want the same in whole seconds", back, err)
	}
	if err := json.Unmarshal([]byte(`{"bytes":"x"}`), &back); err == nil {
		t.Error("Unmarshal of nonsense succeeded")
	}
}
