package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"text/tabwriter"

	"dmarcgate/dnscache"
)

// scan is a stranger who has the cache look up random names, and what becomes
// of the names that are in use.
type scan struct {
	title string
	zone  string // where the random names are
	hot   []*hotSet
}

// scans are those of names that a wildcard has and of names that are not there.
func scans(opts dnsOptions) []scan {
	return []scan{
		{"names that do not exist", absentZone, hotSets(opts)},
		{"names of a wildcard", wildZone, hotSets(opts)},
	}
}

// hotSet is names in use.
type hotSet struct {
	title  string
	judged bool  // its shares are promised
	first  int   // the number of its first name
	names  int   // how many there are
	every  int   // so many names of the scan are followed by one of these; 0 is never
	order  []int // which is asked then, over and over

	asked, hits   atomic.Int64
	during, after float64 // shares of hits
}

// hotRounds is how often a name in use has been asked for before the scan.
const hotRounds = 10

// seldom is so rarely that between two lookups of a name more are scanned than
// the cache holds. A cache that evicts what was not used for longest would have
// none of them.
const seldom = 250

// orderLength is how many choices are made by Zipf's law.
const orderLength = 1 << 16

// hotSets are as many names for each way in which names are in use. What is
// promised is of names in use while the scan goes. The other two say what
// becomes of those that hardly are, and of those that only were.
func hotSets(opts dnsOptions) []*hotSet {
	inTurn, byZipf := make([]int, opts.hot), make([]int, orderLength)
	for i := range inTurn {
		inTurn[i] = i
	}
	zipf := rand.NewZipf(rand.New(rand.NewPCG(opts.seed, 1)), zipfExponent, 1, uint64(opts.hot-1))
	for i := range byZipf {
		byZipf[i] = int(zipf.Uint64())
	}
	sets := []*hotSet{
		{title: "one behind each, in turn", judged: true, every: 1, order: inTurn},
		{title: "one behind each, by Zipf's law", judged: true, every: 1, order: byZipf},
		{title: fmt.Sprintf("one behind each %d, in turn", seldom), every: seldom, order: inTurn},
		{title: "none until it is over"},
	}
	for i, s := range sets {
		s.first, s.names = i*opts.hot, opts.hot
	}
	return sets
}

// ask looks up a name of the set and counts whether that is a hit.
func (h *hotSet) ask(ctx context.Context, dns *dnscache.Resolver, number int) error {
	view := dns.View(dnscache.DMARC).Traced(func(l dnscache.Lookup) {
		h.asked.Add(1)
		if l.Outcome == "hit" {
			h.hits.Add(1)
		}
	})
	_, err := view.TXT(ctx, dmarcName(h.first+number))
	return err
}

// share returns the share of hits since the last call, or NaN.
func (h *hotSet) share() float64 {
	hits, asked := h.hits.Swap(0), h.asked.Swap(0)
	return float64(hits) / float64(asked)
}

// run puts the names in use into an empty cache, scans, and asks for them
// again.
func (s scan) run(ctx context.Context, opts dnsOptions) error {
	c, err := openCache(opts.cache)
	if err != nil {
		return err
	}
	defer c.close()
	if err := s.askAll(ctx, c, hotRounds); err != nil {
		return err
	}
	for _, h := range s.hot {
		h.share() // that was no hit of names in use yet
	}
	if err := s.scan(ctx, c, opts); err != nil {
		return fmt.Errorf("scan of %s: %w", s.title, err)
	}
	for _, h := range s.hot {
		h.during = h.share()
	}
	err = s.askAll(ctx, c, 1)
	for _, h := range s.hot {
		h.after = h.share()
	}
	return err
}

// scan looks up the random names, and names in use between them.
func (s scan) scan(ctx context.Context, c *cacheStage, opts dnsOptions) error {
	view := c.dns.View(dnscache.DMARC)
	return concurrent(waiting, opts.scan, func(i int) error {
		_, err := view.TXT(ctx, s.name(opts.seed, i))
		for _, h := range s.hot {
			if err == nil && h.every > 0 && i%h.every == 0 {
				err = h.ask(ctx, c.dns, h.order[i/h.every%len(h.order)])
			}
		}
		return err
	})
}

func (s scan) name(seed uint64, i int) string {
	return fmt.Sprintf("_dmarc.%016x.%s", rand.NewPCG(seed, uint64(i)).Uint64(), s.zone)
}

// askAll looks up every name in use a number of times.
func (s scan) askAll(ctx context.Context, c *cacheStage, rounds int) error {
	for _, h := range s.hot {
		if err := concurrent(waiting, rounds*h.names, func(i int) error { return h.ask(ctx, c.dns, i%h.names) }); err != nil {
			return err
		}
	}
	return nil
}

// promise says what is wanted of a set and whether it is so.
func (h *hotSet) promise() string {
	if !h.judged {
		return ""
	}
	return fmt.Sprintf(" > %s %s", percent(hotShare), verdict(min(h.during, h.after) > hotShare))
}

// scans prints the shares of hits.
func (p *printer) scans(opts dnsOptions, all []scan) {
	if p.err != nil {
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "hits of %d names in use, a scan of %d\twhile\tafter", opts.hot, opts.scan)
	for _, s := range all {
		for _, h := range s.hot {
			fmt.Fprintf(t, "\n%s, %s\t%s\t%s%s", s.title, h.title, percent(h.during), percent(h.after), h.promise())
		}
	}
	fmt.Fprint(t, "\n\n")
	p.err = t.Flush()
}

func percent(share float64) string {
	if math.IsNaN(share) {
		return "-"
	}
	return fmt.Sprintf("%.2f %%", share*100)
}
