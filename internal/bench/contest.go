package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"
)

// contender is one of several ways to do the same work. do fails when it does
// not come to the result that the work must have.
type contender struct {
	name string
	do   func() error
}

// contest has contenders do the same work in turns, so that what slows the
// machine down for a while slows them all.
type contest struct {
	group      string // what the table is about
	title      string
	calls      int // in each measurement: few for large work
	contenders []contender
	wants      []want

	used [][]float64 // ms of CPU for a call: by contender, then by repetition
}

// want is a bound for the ratio of the CPU of two contenders.
type want struct {
	title         string
	over, under   int // what is divided by what: places in contenders
	least, atMost float64
}

// met reports whether a ratio is within the bound; a bound of 0 is none.
func (w want) met(ratio float64) bool {
	return ratio >= w.least && (w.atMost == 0 || ratio <= w.atMost)
}

// repetition measures every contender once. Each repetition begins with
// another one.
func (c *contest) repetition(number int) error {
	if c.used == nil {
		c.used = make([][]float64, len(c.contenders))
	}
	for i := range c.contenders {
		k := (i + number) % len(c.contenders)
		used, err := cpuOf(c.calls, c.contenders[k].do)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", c.title, c.contenders[k].name, err)
		}
		c.used[k] = append(c.used[k], milliseconds(used)/float64(c.calls))
	}
	return nil
}

// cpuOf returns the CPU time of this process, all of its threads and the
// garbage collector included, that calls of f take. It begins without garbage
// and behind one call that is not counted.
func cpuOf(calls int, f func() error) (time.Duration, error) {
	runtime.GC()
	if err := f(); err != nil {
		return 0, err
	}
	begin, err := readClock(processClock(os.Getpid()))
	if err != nil {
		return 0, err
	}
	for range calls {
		if err := f(); err != nil {
			return 0, err
		}
	}
	end, err := readClock(processClock(os.Getpid()))
	return end - begin, err
}

// ratios returns the ratio of each repetition.
func (c *contest) ratios(w want) []float64 {
	var out []float64
	for i, over := range c.used[w.over] {
		out = append(out, over/c.used[w.under][i])
	}
	return out
}

// hold measures all contests, n times each. It does so in a goroutine of its
// own, for that of main is bound to its thread and pays with a change of
// threads for each goroutine that it waits for.
func hold(ctx context.Context, contests []*contest, n int) error {
	done := make(chan error, 1)
	go func() { done <- repeat(ctx, contests, n) }()
	return <-done
}

// repeat works on one processor: others that look for work use up CPU, and
// nobody can tell for whom.
func repeat(ctx context.Context, contests []*contest, n int) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for i := range n {
		for _, c := range contests {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := c.repetition(i); err != nil {
				return err
			}
		}
	}
	return nil
}
