package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// What is promised of the store, for rows of the mix.
const (
	storeShare = 0.15 // of the CPU for a message without a store is added, at most
	ackDelay   = 5.0  // ms that the wait for the commit adds to the median answer
	bytesOfRow = 600  // of the file, with its indexes and what is unused
)

// storeOptions say how much is measured.
type storeOptions struct {
	options           // messages is how many each measurement has
	connections []int // one set of measurements for each
	alone       int   // rows of a measurement without mail
}

const (
	// Many short measurements in turns: what is looked for is small beside what
	// a machine with other work changes within seconds.
	defaultStoreMessages, quickStoreMessages = 500, 300
	defaultStoreRepeat, quickStoreRepeat     = 21, 5

	// storeRows are those of a measurement without mail; a single connection
	// adds a tenth of them.
	storeRows, quickStoreRows = 20_000, 3000
)

// storeConnections are how many connections the store is measured with. What
// it adds is not promised for a single one: each message pays for a transaction
// of its own then, and no host with one connection is short of CPU.
var storeConnections = []int{1, 10, 50}

// leastJudged is the least number of connections for which storeShare is
// promised.
const leastJudged = 10

// ackJudgedAt is the number of connections for which ackDelay is promised.
const ackJudgedAt = 10

// storePart is everything that is measured of the store.
type storePart struct {
	cells []*cell
	alone []*aloneRow
	size  fileSize
	took  time.Duration
}

// measureStore plays the mix on daemons that differ in their store, looks into
// the file that one of them leaves, and fills stores with its rows.
func measureStore(ctx context.Context, opts storeOptions, progress io.Writer) (*storePart, error) {
	p, begin := &storePart{}, time.Now()
	rows, err := p.play(ctx, opts, progress)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(progress, "store: without mail, load %s\n", load())
	if p.alone, err = measureAlone(ctx, opts, rows); err != nil {
		return nil, err
	}
	p.took = time.Since(begin)
	return p, nil
}

// rows are those of the history.
func (p *storePart) rows() []*row {
	var out []*row
	for _, c := range p.cells {
		out = append(out, &c.row)
	}
	return out
}

// print prints the part.
func (p *storePart) print(w io.Writer, opts storeOptions) error {
	out := printer{w: w}
	out.line("Store: %d messages, medians of %d repetitions with (least-most); %v, load %s.", opts.messages, opts.repeat, p.took.Round(time.Second), load())
	out.line("What is added is to a daemon without a store in the same repetition, on as many connections.\n")
	out.cells(p.cells)
	out.alone(p.alone)
	for _, f := range append(storeFacts(p.cells), p.size.facts()...) {
		out.line("%s", f)
	}
	return out.err
}

// cells prints a line for each number of connections and durability.
func (p *printer) cells(cells []*cell) {
	if p.err != nil {
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "connections\tstore\tmsg/s\tp50 ms\tCPU ms/msg\t+CPU µs/row\t+CPU %\t+p50 ms\t+allocs\t")
	for _, c := range cells {
		fmt.Fprintf(t, "\n%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t", c.connections, c.durability,
			number("%.0f", over(c.samples, rate), 1), number("%.2f", over(c.samples, p50), 1), number("%.3f", over(c.samples, cpu), 1),
			number("%.0f", over(c.samples, addedCPU), 1e3), number("%.1f", over(c.samples, addedShare), 100),
			number("%.2f", over(c.samples, addedP50), 1), plain("%.0f", over(c.samples, addedObjects)))
	}
	fmt.Fprint(t, "\n\n")
	p.err = t.Flush()
}

// number writes a spread times a factor; "-" when it was not measured.
func number(format string, s spread, times float64) string {
	return shown{format: format, unit: 1 / times, spread: true}.cell(s)
}

// plain writes the median alone.
func plain(format string, s spread) string { return shown{format: format, unit: 1}.cell(s) }

// storeFacts hold the cells against what is promised of them.
func storeFacts(cells []*cell) []string {
	var out []string
	for _, c := range cells {
		if c.off == nil || c.connections < leastJudged {
			continue
		}
		s := over(c.samples, addedShare)
		out = append(out, fmt.Sprintf("%s, %d connections: CPU added = %.1f %% (%.1f-%.1f) < %.0f %% %s", c.durability, c.connections,
			100*s.median, 100*s.least, 100*s.most, 100*storeShare, verdict(s.median < storeShare)))
		if c.durability == ackDurability && c.connections == ackJudgedAt {
			s := over(c.samples, addedP50)
			out = append(out, fmt.Sprintf("%s, %d connections: added to the median answer = %.2f ms (%.2f-%.2f) < %g ms %s", c.durability, c.connections,
				s.median, s.least, s.most, ackDelay, verdict(s.median < ackDelay)))
		}
	}
	return out
}

// indent sets lines below the one that they explain.
func indent(lines []string) string { return "  " + strings.Join(lines, "\n  ") }
