package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// options are what the command line says.
type options struct {
	messages     int // in each measurement
	connections  int
	repeat       int
	engineRepeat int // the same, of the engines
	seed         uint64
	daemon       string // the binary to be measured
}

// maxCorpus bounds the memory for messages: 46 KB each, on average.
const maxCorpus = 3000

// measureAll measures every row of a lineup opts.repeat times, in turns: what slows the
// machine down for a while slows all rows.
func measureAll(ctx context.Context, opts options, who lineup, progress io.Writer) (rows []*row, err error) {
	dir, err := os.MkdirTemp("", "dmarcgate-bench")
	if err != nil {
		return nil, err
	}
	s := &stage{opts: opts, lineup: who, dir: dir}
	defer func() { err = errors.Join(err, s.close(), os.RemoveAll(dir)) }()
	fmt.Fprintln(progress, "making messages and starting daemons")
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	for i := range opts.repeat {
		fmt.Fprintf(progress, "repetition %d of %d, load %s\n", i+1, opts.repeat, load())
		if err := s.repetition(ctx, i); err != nil {
			return nil, err
		}
	}
	for _, r := range s.rows {
		r.measure = nil // it holds all messages
	}
	return s.rows, nil
}

// repetition measures every row once. Each repetition begins with another
// row, so that none is always measured after the same neighbour's rest.
func (s *stage) repetition(ctx context.Context, number int) error {
	for i := range s.rows {
		r := s.rows[(i+number)%len(s.rows)]
		if r.measure == nil {
			continue
		}
		out, err := r.measure(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", r.title, err)
		}
		r.samples = append(r.samples, out)
	}
	setRatios(s.rows, number)
	return nil
}

// setRatios divides the CPU of the rows by that of the floors in the same
// repetition.
func setRatios(rows []*row, number int) {
	floor := 0.0
	for _, r := range rows {
		if isFloor(r) {
			floor += r.samples[number][cpu]
		}
	}
	for _, r := range rows {
		if !isFloor(r) && len(r.samples) > number && floor > 0 && !math.IsNaN(floor) {
			r.samples[number][ratio] = r.samples[number][cpu] / floor
		}
	}
}

func isFloor(r *row) bool { return r.key == milterFloor || r.key == cryptoFloor }
