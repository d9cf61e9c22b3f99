package dnscache

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A small image of the real thing: a million names through 64 MiB.
const (
	scanBytes = 2 << 20
	scanHot   = 64
	scanNames = 30_000 // about five to twelve times as many as there is room for
)

func TestCacheKeepsUsedNamesDuringScan(t *testing.T) {
	for _, c := range []struct {
		about string
		there bool // the scanned names
		every int  // one name in use is queried for after so many of the scan; 0: none
		least float64
	}{
		{"names that do not exist, with mail meanwhile", false, 10, 0.99},
		{"names below a wildcard, with mail meanwhile", true, 10, 0.99},
		// Names that nobody asks for during the scan are in use only as far as the
		// cache has counted before, which is not exact.
		{"names that do not exist, without mail", false, 0, 0.9},
		{"names below a wildcard, without mail", true, 0, 0.9},
	} {
		t.Run(c.about, func(t *testing.T) {
			r := offline(t, Config{MaxBytes: scanBytes}, nil)
			v := r.View(DMARC)
			ask := func(i int) (hit bool) {
				k := key{Type: dns.TypeTXT, Name: dmarcName(i % scanHot)}
				if e, now := r.cached(k); e.fresh(now) {
					return true
				}
				r.put(use{purpose: DMARC, parses: true}, k, answer{Records: []string{strings.Clone(published)}, TTL: time.Hour})
				_, _ = v.Parsed(background, k.Name, parseAlike)
				return false
			}
			for i := range 10 * scanHot {
				ask(i)
				r.cache.CleanUp() // as if time passed: a burst of reads is not counted in full
			}
			queried, hits := 0, 0
			for i := range scanNames {
				k, a := key{Type: dns.TypeTXT, Name: fmt.Sprintf("%016x.example.net", uint64(i)*0x9e3779b97f4a7c15)}, answer{NXDomain: true, TTL: time.Hour}
				if c.there {
					a = answer{Records: []string{strings.Clone(published)}, TTL: time.Hour}
				}
				r.put(use{purpose: DMARC, parses: true}, k, a)
				if c.every > 0 && i%c.every == 0 {
					if queried++; ask(queried) {
						hits++
					}
				}
			}
			for i := range scanHot {
				if queried++; ask(i) {
					hits++
				}
			}
			r.cache.CleanUp()
			if n := r.cache.EstimatedSize(); n >= scanNames/3 {
				t.Fatalf("%d entries: nothing was at stake", n)
			}
			if rate := float64(hits) / float64(queried); rate < c.least {
				t.Errorf("hits of the names in use = %.2f %%; want %.0f %%", 100*rate, 100*c.least)
			}
		})
	}
}
