package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"
)

// roomForName is more than the cache believes a name to take, so that it evicts
// none, and so little more that it has to remember how often each is asked for.
const roomForName = 800

// sampled is how many of the names are asked for again, to see that they are
// there.
const sampled = 1000

// measureHeap fills a cache with DMARC names and says what it holds in memory
// for each, and what it believes that to be.
func measureHeap(ctx context.Context, names int) (string, error) {
	before := liveHeap()
	s, err := openCache(uint64(names) * roomForName)
	if err != nil {
		return "", err
	}
	defer s.close()
	begin := time.Now()
	if err := s.each(ctx, names, dmarcName); err != nil {
		return "", fmt.Errorf("filling the cache: %w", err)
	}
	took := time.Since(begin)
	each := (liveHeap() - before) / float64(names)
	if err := s.allThere(ctx, names); err != nil {
		return "", err
	}
	weight, err := s.gauge("dmarcgate_dns_cache_bytes")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("live heap for each of %d DMARC names = %.0f B; want less than %d: %s (the cache estimates %.0f B; filled in %v)",
		names, each, nameBytes, verdict(each < nameBytes), weight/float64(names), took.Round(time.Second)), nil
}

// liveHeap returns the bytes that are reachable. What finalizers and pools keep
// is gone with the second collection.
func liveHeap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// allThere reports an error when the cache does not hold names 0 to n-1.
func (s *cacheStage) allThere(ctx context.Context, n int) error {
	entries, err := s.gauge("dmarcgate_dns_cache_entries")
	if err != nil {
		return err
	}
	asked := s.server.asked.Load()
	step := max(n/sampled, 1)
	if err := s.each(ctx, n/step, func(i int) string { return dmarcName(i * step) }); err != nil {
		return err
	}
	if more := s.server.asked.Load() - asked; more > 0 || math.Abs(entries-float64(n)) > sampled {
		return fmt.Errorf("%w: %.0f entries of %d, %d queries for %d of them", errNoHit, entries, n, more, n/step)
	}
	return nil
}
