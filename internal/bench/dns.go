package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// What is promised of the DNS cache.
const (
	hitOverBare = 3    // times a get of the library below
	noObjects   = 0.01 // allocations of a hit: what the library does now and then is none of it
	nameBytes   = 600  // of live heap for a DMARC name
	hotShare    = 0.99 // of the lookups of names in use are hits, whatever else is asked

	slowDNSRate    = 0.9  // of the rate with DNS at hand, where it is slowDNS away and the cache warm
	slowDNSQueries = 0.05 // a message, then
)

// dnsOptions say how much is measured.
type dnsOptions struct {
	seed   uint64
	repeat int
	rounds int    // of hits in each measurement
	names  int    // in the cache whose memory is measured
	scan   int    // names of a scan
	hot    int    // names in use, for each way in which they are
	cache  uint64 // bytes of the cache that is scanned; 0 is the default
}

// fullDNS and quickDNS are what a run measures. The latter has a scan, a cache
// and names in use that are all a fifth.
var (
	fullDNS  = dnsOptions{rounds: 200, names: 1_000_000, scan: 1_000_000, hot: 1000}
	quickDNS = dnsOptions{rounds: 100, names: 200_000, scan: 200_000, hot: 200, cache: 64 << 20 / 5}
)

// compareDNS measures the cache and prints it beside what is promised. rows are
// of the mix, with DNS at hand and far away.
func compareDNS(ctx context.Context, opts dnsOptions, rows []*row, w, progress io.Writer) error {
	begin := time.Now()
	fmt.Fprintf(progress, "DNS: hits, %d repetitions, load %s\n", opts.repeat, load())
	hits, facts, err := compareHits(ctx, opts)
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "DNS: %d names in memory, load %s\n", opts.names, load())
	heap, err := measureHeap(ctx, opts.names)
	if err != nil {
		return err
	}
	all := scans(opts)
	for _, s := range all {
		fmt.Fprintf(progress, "DNS: a scan of %d %s, load %s\n", opts.scan, s.title, load())
		if err := s.run(ctx, opts); err != nil {
			return err
		}
	}
	out := printer{w: w}
	out.line("DNS: CPU in µs a hit, medians of %d repetitions, ratios with (least-most); %v, load %s.", opts.repeat, time.Since(begin).Round(time.Second), load())
	out.line("otter is a get of the library below the cache, with the same key and options.\n")
	out.table(hits)
	out.scans(opts, all)
	for _, f := range append(append(facts, heap), slowDNSFacts(rows)...) {
		out.line("%s", f)
	}
	return out.err
}

// slowDNSFacts hold the row of DNS that is far away against that of DNS at
// hand.
func slowDNSFacts(rows []*row) []string {
	var near, far []sample
	for _, r := range rows {
		switch r.key {
		case nearKey:
			near = r.samples
		case farKey:
			far = r.samples
		}
	}
	var rates []float64
	for i := range min(len(near), len(far)) {
		rates = append(rates, far[i][rate]/near[i][rate])
	}
	if len(rates) == 0 {
		return []string{"DNS far away: not measured"}
	}
	asked := over(far, queries)
	return []string{
		fmt.Sprintf("DNS %v away, warm cache: rate / rate with DNS at hand = %s", slowDNS, want{least: slowDNSRate}.cell(spreadOf(rates))),
		fmt.Sprintf("DNS %v away, warm cache: %.4f (%.4f-%.4f) queries a message; want at most %g: %s", slowDNS, asked.median, asked.least, asked.most,
			slowDNSQueries, verdict(asked.median <= slowDNSQueries)),
	}
}
