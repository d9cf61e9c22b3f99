package dnscache

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// heapLimit is what a DMARC name may keep on the heap, in bytes.
const heapLimit = 600

// live returns the size of the live heap.
func live() int {
	runtime.GC()
	runtime.GC() // what finalizers and weak pointers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func text(n int) string { return strings.Repeat("x", n) }

// value is of about the make and size of what readers keep in the slot.
type value struct {
	fields [24]int
	parts  []string
}

func parseAlike(txts []string) any {
	if len(txts) == 0 {
		return (*value)(nil)
	}
	n := len(txts[0])
	return &value{fields: [24]int{n}, parts: []string{text(n / 2), text(n / 2), text(n / 2)}}
}

func TestBytesMatchesHeap(t *testing.T) {
	const limit = 2 << 20
	for _, c := range []struct {
		about string
		fill  func(r *Resolver, i int)
	}{
		{"DMARC records", func(r *Resolver, i int) { r.putTXT(dmarcName(i), strings.Clone(published)) }},
		{"DMARC records that were parsed", func(r *Resolver, i int) {
			r.putTXT(dmarcName(i), strings.Clone(published))
			_, _ = r.View(DMARC).Parsed(background, dmarcName(i), parseAlike)
		}},
		{"DKIM keys", func(r *Resolver, i int) { r.putTXT(fmt.Sprintf("s1._domainkey.d%07d.example", i), text(400)) }},
		{"DKIM keys that were parsed", func(r *Resolver, i int) {
			name := fmt.Sprintf("s1._domainkey.d%07d.example", i)
			r.putTXT(name, text(400))
			_, _ = r.View(DKIM).Parsed(background, name, parseAlike)
		}},
		{"names that do not exist", func(r *Resolver, i int) {
			r.put(use{}, key{Type: dns.TypeTXT, Name: dmarcName(i)}, answer{NXDomain: true, TTL: time.Hour})
		}},
		{"names that do not exist, as parsed", func(r *Resolver, i int) {
			r.put(use{purpose: DMARC, parses: true}, key{Type: dns.TypeTXT, Name: dmarcName(i)}, answer{NXDomain: true, TTL: time.Hour})
			_, _ = r.View(DMARC).Parsed(background, dmarcName(i), parseAlike)
		}},
		{"many TXT records", func(r *Resolver, i int) {
			var list []string
			for n := range 20 {
				list = append(list, text(40+n))
			}
			r.put(use{}, key{Type: dns.TypeTXT, Name: dmarcName(i)}, answer{Records: list, TTL: time.Hour})
		}},
		{"addresses", func(r *Resolver, i int) {
			r.put(use{}, key{Type: dns.TypeA, Name: dmarcName(i)}, answer{Addrs: make([]netip.Addr, 4), TTL: time.Hour})
		}},
		{"failures", func(r *Resolver, i int) {
			k := key{Type: dns.TypeTXT, Name: dmarcName(i)}
			e := &Error{Name: k.Name, Type: "TXT", Kind: Timeout, Err: fmt.Errorf("read udp: %w", errors.New(text(60)))}
			e.Server = strings.Clone("192.0.2.53:53")
			r.mu.Lock()
			defer r.mu.Unlock()
			r.remember(k, e, r.clock.NowNano())
		}},
	} {
		t.Run(c.about, func(t *testing.T) {
			before := live()
			r := offline(t, Config{MaxBytes: limit, FailureTTL: time.Hour}, nil)
			for i := range 10_000 {
				c.fill(r, i)
			}
			r.cache.CleanUp()
			n, estimate := r.cache.EstimatedSize(), int(r.cache.WeightedSize())
			got := live() - before
			t.Logf("%d entries: %d bytes each, estimated %d", n, got/n, estimate/n)
			if got < estimate*3/4 || got > estimate*5/4 || estimate < limit*9/10 {
				t.Errorf("heap of a full cache = %d bytes; want %d within a quarter (limit %d)", got, estimate, limit)
			}
			runtime.KeepAlive(r)
		})
	}
}

func TestBytesOfDMARCNameAreSmall(t *testing.T) {
	const names = 20_000
	before := live()
	r := offline(t, Config{MaxBytes: 16 << 20}, nil)
	for i := range names {
		r.putTXT(dmarcName(i), strings.Clone(published))
	}
	r.cache.CleanUp()
	if each := (live() - before) / names; each >= heapLimit || r.cache.EstimatedSize() != names {
		t.Errorf("%d names take %d bytes each; want less than %d", r.cache.EstimatedSize(), each, heapLimit)
	}
	runtime.KeepAlive(r)
}
