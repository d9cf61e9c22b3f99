package main

import (
	"math"
	"slices"
	"time"
)

// column is one figure of a sample.
type column uint8

const (
	rate         column = iota // messages per second
	p50                        // ms
	p99                        // ms
	cpu                        // ms a message
	ratio                      // cpu to the sum of the floors
	objects                    // allocations a message
	volume                     // allocated bytes a message
	peak                       // bytes
	queries                    // DNS queries a message
	addedCPU                   // ms a message, to a daemon without a store
	addedShare                 // the same, by the CPU of that daemon
	addedP50                   // ms, to the same
	addedObjects               // allocations a message, to the same
	columns                    // how many there are
)

// keys are the names of the columns in the history.
var keys = [columns]string{"rate", "p50_ms", "p99_ms", "cpu_ms", "ratio", "allocs", "alloc_bytes", "peak_bytes", "dns_queries",
	"added_cpu_ms", "added_share", "added_p50_ms", "added_allocs"}

// sample holds the figures of one repetition; what was not measured is NaN.
type sample [columns]float64

func newSample() sample {
	var s sample
	for c := range s {
		s[c] = math.NaN()
	}
	return s
}

// spread is a figure over all repetitions.
type spread struct{ median, least, most float64 }

// over returns the spread of one column. Without a figure it is NaN.
func over(samples []sample, c column) spread {
	var values []float64
	for _, s := range samples {
		if !math.IsNaN(s[c]) {
			values = append(values, s[c])
		}
	}
	return spreadOf(values)
}

// spreadOf returns the spread of values; without any it is NaN.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return spread{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

// percentile returns the smallest value that at least q of all values do not
// exceed; 0 when there is none. sorted must be.
func percentile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// putPlayed enters what the client saw.
func (s *sample) putPlayed(p played, n int) {
	s[rate] = float64(n) / p.elapsed.Seconds()
	s[p50] = milliseconds(percentile(p.latencies, 0.50))
	s[p99] = milliseconds(percentile(p.latencies, 0.99))
}
