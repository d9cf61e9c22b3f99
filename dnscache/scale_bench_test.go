package dnscache

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dmarcgate/dnscache/wire"
)

// million is the size of what is promised; b.N does not change it, so one
// iteration is enough: -benchtime 1x.
const million = 1_000_000

// BenchmarkHeap is the live heap for each of a million DMARC names (at most
// heapLimit), and what the cache itself estimates.
func BenchmarkHeap(b *testing.B) {
	for b.Loop() {
		before := live()
		r := offline(b, Config{MaxBytes: 800 * million}, nil)
		for i := range million {
			r.putTXT(dmarcName(i), strings.Clone(published))
		}
		r.cache.CleanUp()
		if n := r.cache.EstimatedSize(); n != million {
			b.Fatalf("%d entries; want %d", n, million)
		}
		b.ReportMetric(float64(live()-before)/million, "heap-B/name")
		b.ReportMetric(float64(r.cache.WeightedSize())/million, "estimated-B/name")
		runtime.KeepAlive(r)
		r.Close()
	}
}

// scanWay is how names are in use while others are scanned.
type scanWay struct {
	name  string
	every int        // so many scanned names are followed by a lookup of a name in use; 0: none
	next  func() int // which of them

	queried, hits atomic.Int64
}

// scanUsed is how many names of each way are in use, scanWaiting how many lookups
// go on at once.
const (
	scanUsed    = 1000
	scanWaiting = 32
)

func scanWays() []*scanWay {
	inTurn := func() func() int {
		var n atomic.Int64
		return func() int { return int(n.Add(1)) % scanUsed }
	}
	zipf, mu := rand.NewZipf(rand.New(rand.NewPCG(1, 1)), 1.1, 1, scanUsed-1), sync.Mutex{}
	return []*scanWay{
		{name: "in-turn", every: 1, next: inTurn()},
		{name: "by-Zipf", every: 1, next: func() int { mu.Lock(); defer mu.Unlock(); return int(zipf.Uint64()) }},
		// So rarely that more is scanned between two lookups of a name than the
		// cache holds: what was not used for longest would all be gone.
		{name: "every-250th-in-turn", every: 250, next: inTurn()},
		{name: "not-used-meanwhile"},
	}
}

// BenchmarkScan has a million random names looked up while names are in use, in
// a cache of the default size. Answers come at once, without a network. Reported
// is the share of hits of the names in use, during the scan and after it: more
// than 99 % for the first two ways, in-turn and by-Zipf.
func BenchmarkScan(b *testing.B) {
	for _, there := range []bool{true, false} {
		b.Run(fmt.Sprintf("there=%t", there), func(b *testing.B) {
			for b.Loop() {
				scan(b, there)
			}
		})
	}
}

func scan(b *testing.B, there bool) {
	r := offline(b, Config{}, nil)
	defer r.Close()
	look := func(name string, there bool) (hit bool) {
		k, a := key{Type: dns.TypeTXT, Name: name}, wire.Answer{NXDomain: true, TTL: time.Hour}
		if e, now := r.cached(k); e.fresh(now) {
			return true
		}
		if there {
			a = wire.Answer{Records: []string{strings.Clone(published)}, TTL: time.Hour}
		}
		r.put(use{purpose: DMARC}, k, a)
		return false
	}
	ways := scanWays()
	use := func(w *scanWay, i int) {
		w.queried.Add(1)
		if look(fmt.Sprintf("_dmarc.d%04d.%s.example", i, w.name), true) {
			w.hits.Add(1)
		}
	}
	share := func(w *scanWay, when string) {
		if hits, queried := w.hits.Swap(0), w.queried.Swap(0); queried > 0 && when != "" {
			b.ReportMetric(100*float64(hits)/float64(queried), "%hits-"+when+"-"+w.name)
		}
	}
	all := func(rounds int, when string) {
		for _, w := range ways {
			atOnce(rounds*scanUsed, func(i int) { use(w, i%scanUsed) })
			share(w, when)
		}
	}
	all(10, "")
	atOnce(million, func(i int) {
		look(fmt.Sprintf("_dmarc.%016x.example.net", rand.NewPCG(1, uint64(i)).Uint64()), there)
		for _, w := range ways {
			if w.every > 0 && i%w.every == 0 {
				use(w, w.next())
			}
		}
	})
	for _, w := range ways {
		share(w, "while")
	}
	all(1, "after")
}

// atOnce calls f for 0 to n-1, scanWaiting of them at once.
func atOnce(n int, f func(int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range scanWaiting {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}
