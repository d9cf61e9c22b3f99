package dnscache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"

	"github.com/miekg/dns"
)

// parser counts how often it is called.
type parser struct {
	name  string
	calls atomic.Int32
}

func (p *parser) parse(txts []string) any {
	return fmt.Sprintf("%s %d %q", p.name, p.calls.Add(1), txts)
}

func TestParsedParsesRecordOnce(t *testing.T) {
	srv := dnstest.New(t, "example.com. 100 TXT x\n!negttl 100")
	g := newRig(t, Config{}, srv)
	want := func(v View, p *parser, name, text string) {
		t.Helper()
		if got, err := v.Parsed(background, name, p.parse); got != text || err != nil {
			t.Errorf("Parsed(%q) = %v, %v; want %s", name, got, err, text)
		}
	}
	a, b := &parser{name: "dmarc"}, &parser{name: "spf"}
	for range 3 {
		want(g.View(DMARC), a, "example.com", `dmarc 1 ["x"]`)
	}
	v, _ := g.View(DMARC).Remembered()
	want(v, a, "EXAMPLE.com.", `dmarc 1 ["x"]`)

	// Another purpose gets its own, and does not take the place.
	want(g.View(SPF), b, "example.com", `spf 1 ["x"]`)
	want(g.View(SPF), b, "example.com", `spf 2 ["x"]`)
	want(g.View(DMARC), a, "example.com", `dmarc 1 ["x"]`)

	// Nothing is parsed, too.
	want(g.View(DMARC), a, "gone.example.com", `dmarc 2 []`)
	want(g.View(DMARC), a, "gone.example.com", `dmarc 2 []`)
	want(g.View(DMARC), a, "..", `dmarc 3 []`)

	// The value dies with the entry.
	g.clock.advance(100 * time.Second)
	want(g.View(DMARC), a, "example.com", `dmarc 4 ["x"]`)
	want(g.View(DMARC), a, "example.com", `dmarc 4 ["x"]`)
}

func TestParsedReusesStaleRecord(t *testing.T) {
	srv := dnstest.New(t, "example.com. 100 TXT x")
	g := newRig(t, Config{}, srv)
	p := &parser{name: "dmarc"}
	v := g.View(DMARC)
	if _, err := v.Parsed(background, "example.com", p.parse); err != nil {
		t.Fatal(err)
	}
	g.replace(t, srv, breaking)
	g.clock.advance(100 * time.Second)
	for range 2 { // the entry, then the entry beside its failure
		if got, err := v.Parsed(background, "example.com", p.parse); got != `dmarc 1 ["x"]` || !isStale(err) {
			t.Errorf("Parsed = %v, %v; want the old value", got, err)
		}
	}
	if got, err := v.Parsed(background, "other.example.com", p.parse); got != nil || err == nil || p.calls.Load() != 1 {
		t.Errorf("Parsed of a failure = %v, %v after %d calls; want nil and no call", got, err, p.calls.Load())
	}
}

func TestParsedGivesConcurrentReadersOneValue(t *testing.T) {
	g := newRig(t, Config{}, dnstest.New(t, "example.com. TXT x"))
	parse := func([]string) any { return new(int) }
	values := make([]any, 50)
	var wg sync.WaitGroup
	for i := range values {
		wg.Go(func() { values[i], _ = g.View(DKIM).Parsed(background, "example.com", parse) })
	}
	wg.Wait()
	for _, value := range values {
		if value == nil || value != values[0] {
			t.Fatalf("Parsed = %p; want %p as others", value, values[0])
		}
	}
}

func TestParsedValueCountsInCacheSize(t *testing.T) {
	r := offline(t, Config{}, nil)
	k := key{Type: dns.TypeTXT, Name: "example.com"}
	weight := func() int {
		r.cache.CleanUp()
		return int(r.cache.WeightedSize())
	}
	r.putTXT(k.Name, published)
	bare := weight()
	if _, err := r.View(DMARC).Parsed(background, "Example.com", parseRecord); err != nil {
		t.Fatal(err)
	}
	want := bare + slotOverhead + slotFactor*len(published)
	if got := weight(); got != want {
		t.Errorf("weight with a value = %d; want %d", got, want)
	}
	r.FlushAll()
	r.put(use{purpose: DMARC, parses: true}, k, answer{Records: []string{published}, TTL: time.Hour})
	if got := weight(); got != want {
		t.Errorf("weight of an entry that is to be parsed = %d; want %d", got, want)
	}
	if list := r.Show("example.com"); len(list) != 1 || list[0].Bytes != want {
		t.Errorf("Show = %+v; want %d bytes", list, want)
	}
}

func TestParsedHitAllocatesNothing(t *testing.T) {
	r, names := filled(t)
	v := r.View(DMARC)
	memory, complete := v.Remembered()
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	for about, ask := range map[string]func() error{
		"TXT": func() error { _, err := v.TXT(ctx, names[0]); return err },
		"Parsed": func() error {
			x, err := v.Parsed(ctx, names[1], parseRecord)
			if x == nil {
				return errUnknown
			}
			return err
		},
		"remembered": func() error {
			_, err := memory.Parsed(ctx, names[2], parseRecord)
			if !complete() {
				return errors.New("incomplete")
			}
			return err
		},
	} {
		if err := ask(); err != nil { // fills the slot
			t.Fatal(err)
		}
		n := testing.AllocsPerRun(1000, func() {
			if err := ask(); err != nil {
				t.Error(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations; want none", about, n)
		}
	}
}

func TestParsedValueCountsForJoinedCallers(t *testing.T) {
	srv := dnstest.New(t, "example.com. 100 TXT x")
	g := newRig(t, Config{}, srv)
	bytes := func() int {
		g.ready(t)
		return g.Show("example.com")[0].Bytes
	}
	arrived, release := srv.Hold("example.com")
	plain, cancel := context.WithCancel(background)
	started := make(chan error)
	go func() {
		_, err := g.View(SPF).TXT(plain, "example.com")
		started <- err
	}()
	<-arrived
	cancel()
	<-started
	if _, err := g.View(DMARC).Parsed(plain, "example.com", parseRecord); !errors.Is(err, context.Canceled) {
		t.Fatalf("Parsed of a caller who left: %v", err)
	}
	release()
	want := bytes()
	if bare := int(weigh(key{Type: dns.TypeTXT, Name: "example.com"}, &entry{answer: answer{Records: []string{"x"}}})); want <= bare {
		t.Errorf("weight = %d; want more than that without a slot, %d", want, bare)
	}
	g.clock.advance(95 * time.Second)
	if _, err := g.View(SPF).TXT(background, "example.com"); err != nil { // asks ahead of time
		t.Fatal(err)
	}
	if got := bytes(); got != want || g.Show("example.com")[0].Age != 0 {
		t.Errorf("%d bytes, %+v; want the new entry with %d", got, g.Show("example.com"), want)
	}
}
