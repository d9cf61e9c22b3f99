package dnscache

import (
	"fmt"
	"testing"
	"time"

	"dmarcgate/metrics"

	"github.com/maypok86/otter/v2"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// manyNames is how many names the caches of the benchmarks hold.
const manyNames = 1000

// published is a record of usual length.
const published = "v=DMARC1; p=reject; sp=quarantine; rua=mailto:dmarc@reports.example; adkim=s; aspf=s; fo=1"

func dmarcName(i int) string { return fmt.Sprintf("_dmarc.d%07d.example", i) }

// offline makes a resolver without servers that answer; m may be nil.
func offline(t testing.TB, cfg Config, m *metrics.Metrics) *Resolver {
	t.Helper()
	cfg.Servers = []string{"127.0.0.1:9"} // discard: nothing is ever sent
	r, err := New(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// put caches an answer as if a server had given it to whoever queried.
func (r *Resolver) put(u use, k key, a answer) {
	r.land(k, &flight{parses: u.parses}, &a, nil)
}

func (r *Resolver) putTXT(name, text string) {
	r.put(use{}, key{Type: dns.TypeTXT, Name: name}, answer{Records: []string{text}, TTL: time.Hour})
}

// filled is a resolver that knows manyNames, and these.
func filled(t testing.TB) (*Resolver, []string) {
	r := offline(t, Config{}, metrics.New(prometheus.NewRegistry(), nil))
	names := make([]string, manyNames)
	for i := range names {
		names[i] = dmarcName(i)
		r.putTXT(names[i], published)
	}
	r.cache.CleanUp()
	return r, names
}

type parsedRecord struct{ text string }

func parseRecord(txts []string) any { return &parsedRecord{txts[0]} }

// BenchmarkHit is a lookup that the cache answers; at most three times
// BenchmarkBareOtter, and without an allocation. Neither does BenchmarkHitParsed
// need more than three times that.
func BenchmarkHit(b *testing.B) {
	r, names := filled(b)
	v := r.View(DMARC)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if txts, err := v.TXT(background, names[i%manyNames]); len(txts) != 1 || err != nil {
			b.Fatalf("TXT = %q, %v", txts, err)
		}
	}
}

// BenchmarkHitParsed is the same with the parsed record.
func BenchmarkHitParsed(b *testing.B) {
	r, names := filled(b)
	v := r.View(DMARC)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if rec, err := v.Parsed(background, names[i%manyNames], parseRecord); rec == nil || err != nil {
			b.Fatalf("Parsed = %v, %v", rec, err)
		}
	}
}

// BenchmarkHitRemembered is the same for the view that asks the cache alone.
func BenchmarkHitRemembered(b *testing.B) {
	r, names := filled(b)
	v, complete := r.View(DMARC).Remembered()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if rec, err := v.Parsed(background, names[i%manyNames], parseRecord); rec == nil || err != nil {
			b.Fatalf("Parsed = %v, %v", rec, err)
		}
		complete()
	}
}

// BenchmarkBareOtter is what the library alone needs, with the same keys and
// the options of newCache but for the clock, which is its own.
func BenchmarkBareOtter(b *testing.B) {
	_, names := filled(b)
	c, err := otter.New(&otter.Options[key, *entry]{
		MaximumWeight:    defaultMaxBytes,
		Weigher:          weigh,
		ExpiryCalculator: otter.ExpiryWriting[key, *entry](time.Hour),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer c.StopAllGoroutines()
	for _, name := range names {
		c.Set(key{Type: dns.TypeTXT, Name: name}, &entry{answer: answer{Records: []string{published}}})
	}
	c.CleanUp()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if e, ok := c.GetIfPresent(key{Type: dns.TypeTXT, Name: names[i%manyNames]}); !ok || len(e.Records) != 1 {
			b.Fatal("not there")
		}
	}
}
