package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
)

// shown is how a column looks in a table.
type shown struct {
	column column
	title  string
	format string
	unit   float64 // the figure is divided by it
	spread bool    // with the least and the most
}

var mixTable = []shown{
	{rate, "msg/s", "%.0f", 1, true},
	{p50, "p50 ms", "%.2f", 1, false},
	{p99, "p99 ms", "%.1f", 1, false},
	{cpu, "CPU ms/msg", "%.3f", 1, true},
	{ratio, "RATIO", "%.2f", 1, true},
	{ratioCanon, "to canon", "%.2f", 1, false},
	{objects, "allocs/msg", "%.0f", 1, false},
	{volume, "KiB/msg", "%.1f", 1 << 10, false},
	{peak, "peak MiB", "%.1f", 1 << 20, false},
	{queries, "DNS/msg", "%.2f", 1, false},
}

var gridTable = []shown{
	{rate, "msg/s", "%.0f", 1, true},
	{p50, "p50 ms", "%.2f", 1, true},
	{p99, "p99 ms", "%.1f", 1, false},
	{answer50, "answer p50 ms", "%.2f", 1, false},
	{cpu, "CPU ms/msg", "%.3f", 1, false},
	{peak, "peak MiB", "%.1f", 1 << 20, false},
	{rateOff, "rate/off", "%.2f", 1, true},
	{p50Off, "p50/off", "%.2f", 1, true},
	{cpuOff, "CPU/off", "%.2f", 1, true},
	{p50Chain, "p50/chain", "%.2f", 1, true},
}

var pagesTable = []shown{
	{rate, "msg/s", "%.0f", 1, true},
	{p50, "p50 ms", "%.2f", 1, true},
	{p99, "p99 ms", "%.2f", 1, true},
	{cpu, "CPU ms/msg", "%.3f", 1, false},
	{peak, "peak MiB", "%.1f", 1 << 20, false},
	{rateOff, "rate/quiet", "%.2f", 1, true},
	{p50Off, "p50/quiet", "%.2f", 1, true},
	{p99Off, "p99/quiet", "%.2f", 1, true},
}

// writeTable prints medians, and the range of the figures that vary most.
func writeTable(w io.Writer, table []shown, rows []*row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	width := 0 // to which titles are padded, so that they stand on the left
	for _, r := range rows {
		width = max(width, len([]rune(r.title)))
	}
	fmt.Fprintf(t, "%-*s\t", width, "")
	for _, c := range table {
		fmt.Fprintf(t, "%s\t", c.title)
	}
	for _, r := range rows {
		fmt.Fprintf(t, "\n%-*s\t", width, r.title)
		for _, c := range table {
			fmt.Fprintf(t, "%s\t", c.cell(over(r.samples, c.column)))
		}
	}
	fmt.Fprintln(t)
	if err := t.Flush(); err != nil {
		return err
	}
	said := make(map[string]bool)
	for _, r := range rows {
		if r.note != "" && !said[r.note] {
			said[r.note] = true
			fmt.Fprintf(w, "%s: not measured: %s\n", r.title, r.note)
		}
	}
	return nil
}

func (c shown) cell(s spread) string {
	if math.IsNaN(s.median) {
		return "-"
	}
	text := fmt.Sprintf(c.format, s.median/c.unit)
	if c.spread && s.least != s.most {
		text += fmt.Sprintf(" ("+c.format+"-"+c.format+")", s.least/c.unit, s.most/c.unit)
	}
	return text
}
