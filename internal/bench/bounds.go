package main

import (
	"fmt"
	"io"
	"math"
)

// bound is what is promised of a figure; the median counts.
type bound struct {
	title  string
	least  float64 // 0 is none
	atMost float64 // 0 is none
	values []float64
	unit   string
}

// kept says whether the bound is kept, or that nothing was measured.
func (b bound) kept() string {
	s := spreadOf(b.values)
	if math.IsNaN(s.median) {
		return "not measured"
	}
	if s.median < b.least || b.atMost > 0 && s.median > b.atMost {
		return "MISSED"
	}
	return "kept"
}

func (b bound) String() string {
	s := spreadOf(b.values)
	text := fmt.Sprintf("at most %g", b.atMost)
	if b.least > 0 {
		text = fmt.Sprintf("at least %g", b.least)
	}
	return fmt.Sprintf("%-12s %s = %.2f%s (%.2f-%.2f); want %s", b.kept(), b.title, s.median, b.unit, s.least, s.most, text)
}

// What is promised (docs/testing.md has the reasons).
const (
	storeCPU     = 1.15 // CPU for a message with a store, by that without
	ackWait      = 2.5  // p50 with ack by p50 without a store, one session at a time
	ackRate      = 0.75 // rate with ack by rate without a store, ten sessions at once
	mixMemory    = 64   // MiB with ten sessions at once
	farRate      = 0.9  // rate with DNS slowDNS away by that with DNS at hand, the cache being warm
	farQueries   = 0.05 // a message, then
	whatIfOver   = 4    // CPU of what-if by that of a bare scan of the same rows
	whatIfSpace  = 256  // MiB of what-if
	pagesWait    = 1.2  // p99 while status pages are loaded by p99 without
	renderOver   = 1.6  // CPU of the documents of a day by that of a bare scan of its rows
	wideOver     = 4    // the same when no two messages have the same results
	renderSpace  = 96   // MiB of either
	recordTime   = 3    // µs of CPU to write a record
	renderWait   = 1.2  // p99 while reports are made by p99 without
	deliveryOver = 6    // time to deliver mails by that of smtp-source
	perlOver     = 8    // CPU of Mail::DMARC for documents by ours
)

// column returns a figure of every repetition, in a unit.
func (r *row) column(c column, unit float64) []float64 {
	if r == nil {
		return nil
	}
	var out []float64
	for _, s := range r.samples {
		out = append(out, s[c]/unit)
	}
	return out
}

// mixBounds are those of the rows of the mix.
func mixBounds(rows []*row) []bound {
	ack, far := find(rows, ackKey), find(rows, farKey)
	var rates []float64
	for i := range far.column(rate, 1) {
		rates = append(rates, far.at(i)[rate]/ack.at(i)[rate])
	}
	return []bound{
		{title: "ack: peak memory", atMost: mixMemory, values: ack.column(peak, 1<<20), unit: " MiB"},
		{title: fmt.Sprintf("ack, DNS %v away: rate / rate with DNS at hand", slowDNS), least: farRate, values: rates},
		{title: fmt.Sprintf("ack, DNS %v away: queries a message", slowDNS), atMost: farQueries, values: far.column(queries, 1)},
	}
}

// gridBounds are those of the rows of the grid.
func gridBounds(rows []*row) []bound {
	out := []bound{{title: fmt.Sprintf("%v, ack: p50 / p50 of %s", load{connections: 1, short: true}, chainTitle), atMost: 1, values: find(rows, gridKey("ack", load{connections: 1, short: true})).column(p50Chain, 1)}}
	for _, short := range []bool{true, false} {
		one, ten := load{connections: 1, short: short}, load{connections: 10, short: short}
		ack := find(rows, gridKey("ack", one))
		out = append(out,
			bound{title: fmt.Sprintf("%v, ack: p50 / p50 without a store", one), atMost: ackWait, values: ack.column(p50Off, 1)},
			bound{title: fmt.Sprintf("%v, ack: rate / rate without a store", ten), least: ackRate, values: find(rows, gridKey("ack", ten)).column(rateOff, 1)})
		for _, n := range gridConnections[1:] {
			for _, d := range durabilities[1:] {
				l := load{connections: n, short: short}
				out = append(out, bound{title: fmt.Sprintf("%v, %s: CPU / CPU without a store", l, d), atMost: storeCPU, values: find(rows, gridKey(d, l)).column(cpuOff, 1)})
			}
		}
	}
	return out
}

// pagesBounds are those of the rows of the status pages.
func pagesBounds(rows []*row) (out []bound) {
	for _, r := range rows {
		if r.off != nil {
			out = append(out, bound{title: r.title + ": p99 / p99 without requests", atMost: pagesWait, values: r.column(p99Off, 1)})
		}
	}
	return out
}

func writeBounds(w io.Writer, bounds []bound) {
	fmt.Fprintln(w)
	for _, b := range bounds {
		fmt.Fprintln(w, b)
	}
}
