package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"dmarcgate/results"
	"dmarcgate/results/sqlite"
)

// aloneDistinct is how many different rows a store without mail is filled
// with, over and over.
const aloneDistinct = 2000

// aloneQueue is the daemon's default.
const aloneQueue = 10_000

// aloneWait is how long an Add may wait here: a row that is late would be
// counted as fast.
const aloneWait = time.Minute

// aloneRow is what rows cost a store to which nothing else happens. A writer
// that has no other work to wait beside wakes up more often for each row than
// with mail, and the CPU is that of waking up, most of it.
type aloneRow struct {
	durability  string
	connections int
	rate        float64 // rows per second
	p50         float64 // ms of an Add
	cpu         float64 // ms of CPU for a row
}

// measureAlone fills a store in every durability from so many goroutines.
func measureAlone(ctx context.Context, opts storeOptions, rows []results.Row) ([]*aloneRow, error) {
	done := make(chan error, 1)
	var out []*aloneRow
	go func() { // not in the goroutine of main: see hold
		for _, n := range opts.connections {
			for _, d := range durabilities[1:] {
				a := &aloneRow{durability: d, connections: n}
				out = append(out, a)
				if err := a.measure(ctx, opts.alone/max(1, 10/n), rows); err != nil {
					done <- fmt.Errorf("store alone, %s, %d: %w", d, n, err)
					return
				}
			}
		}
		done <- nil
	}()
	err := <-done
	return out, err
}

// measure adds n rows; the commit of the last is part of it.
func (a *aloneRow) measure(ctx context.Context, n int, rows []results.Row) (err error) {
	dir, err := os.MkdirTemp("", "dmarcgate-bench-store")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	store, err := sqlite.Open(ctx, sqlite.Options{
		Path: filepath.Join(dir, storeFile), Durability: sqlite.Durability(a.durability), Wait: aloneWait, Queue: aloneQueue, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	clock := processClock(os.Getpid())
	before, err := readClock(clock)
	if err != nil {
		return err
	}
	begin := time.Now()
	waits := make([]time.Duration, n)
	err = concurrent(a.connections, n, func(i int) error { return addOne(ctx, store, rows[i%len(rows)], &waits[i]) })
	if err = errors.Join(err, store.Close()); err != nil {
		return err
	}
	after, err := readClock(clock)
	slices.Sort(waits)
	a.rate = float64(n) / time.Since(begin).Seconds()
	a.p50 = milliseconds(percentile(waits, 0.50))
	a.cpu = milliseconds(after-before) / float64(n)
	return err
}

// addOne adds a row, and says how long it took.
func addOne(ctx context.Context, store *sqlite.Store, r results.Row, took *time.Duration) error {
	begin := time.Now()
	if got := store.Add(r).Outcome; got == results.Dropped {
		return fmt.Errorf("a row was %s", got)
	}
	*took = time.Since(begin)
	return ctx.Err()
}

// alone prints the store without mail.
func (p *printer) alone(rows []*aloneRow) {
	if p.err != nil || len(rows) == 0 {
		return
	}
	p.line("The store alone, in this process:")
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "connections\tstore\trows/s\tp50 ms\tCPU µs/row\t")
	for _, a := range rows {
		fmt.Fprintf(t, "\n%d\t%s\t%.0f\t%.2f\t%.0f\t", a.connections, a.durability, a.rate, a.p50, 1e3*a.cpu)
	}
	fmt.Fprint(t, "\n\n")
	if p.err == nil {
		p.err = t.Flush()
	}
}
