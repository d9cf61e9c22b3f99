package main

import (
	"math"
	"slices"
	"time"
)

// column is one figure of a sample.
type column uint8

const (
	rate       column = iota // messages per second
	p50                      // ms from connect or MAIL to the answer
	p99                      // the same
	answer50                 // ms from end of message to the answer
	cpu                      // ms a message
	ratio                    // cpu to the sum of the milter and the crypto floor
	ratioCanon               // cpu to the sum of the milter floor and that with canonicalization
	objects                  // allocations a message
	volume                   // allocated bytes a message
	peak                     // bytes, the most during the measurement
	queries                  // DNS queries a message
	rateOff                  // rate to that of a daemon without a store under the same load
	p50Off                   // p50, the same
	cpuOff                   // cpu, the same
	p99Off                   // p99, the same; of the status pages to that without requests
	p50Chain                 // p50 to that of OpenDKIM and OpenDMARC under the same load
	columns                  // how many there are
)

// keys are the names of the columns in the history.
var keys = [columns]string{"rate", "p50_ms", "p99_ms", "answer_p50_ms", "cpu_ms", "ratio", "ratio_canon", "allocs", "alloc_bytes", "peak_bytes", "dns_queries",
	"rate_to_off", "p50_to_off", "cpu_to_off", "p99_to_off", "p50_to_chain"}

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
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = s[c]
	}
	return spreadOf(values)
}

// spreadOf returns the spread of values; NaN is none of them.
func spreadOf(values []float64) spread {
	values = slices.DeleteFunc(slices.Sorted(slices.Values(values)), math.IsNaN)
	if len(values) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
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
func (s *sample) putPlayed(p played) {
	s[rate] = float64(len(p.waits)) / p.elapsed.Seconds()
	s[p50] = milliseconds(percentile(p.waits, 0.50))
	s[p99] = milliseconds(percentile(p.waits, 0.99))
	s[answer50] = milliseconds(percentile(p.answers, 0.50))
}
