package main

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"
)

func TestPercentilesAreValuesThatWereSeen(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	tests := []struct {
		name   string
		sorted []time.Duration
		q      float64
		want   time.Duration
	}{
		{"the middle of a hundred", hundred, 0.5, 50},
		{"one of a hundred is above the 99th", hundred, 0.99, 99},
		{"the end", hundred, 1, 100},
		{"the beginning", hundred, 0, 1},
		{"the 99th of few is the last", hundred[:10], 0.99, 10},
		{"nothing", nil, 0.5, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := percentile(tt.sorted, tt.q); got != tt.want {
				t.Errorf("percentile(%d values, %v) = %d; want %d", len(tt.sorted), tt.q, got, tt.want)
			}
		})
	}
}

func samplesOf(c column, values ...float64) []sample {
	var out []sample
	for _, v := range values {
		s := newSample()
		s[c] = v
		out = append(out, s)
	}
	return out
}

func TestSpreadsLeaveOutWhatWasNotMeasured(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   spread
	}{
		{"odd", []float64{3, 1, 2}, spread{2, 1, 3}},
		{"even", []float64{4, 1, 2, 3}, spread{2.5, 1, 4}},
		{"one", []float64{7}, spread{7, 7, 7}},
		{"with a gap", []float64{5, math.NaN(), 1}, spread{3, 1, 5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := over(samplesOf(cpu, tt.values...), cpu); got != tt.want {
				t.Errorf("over(%v) = %v; want %v", tt.values, got, tt.want)
			}
		})
	}
	if got := over(samplesOf(cpu, 1), ratio); !math.IsNaN(got.median) {
		t.Errorf("over of a column without figures = %v; want NaN", got)
	}
}

func unmeasured(context.Context) (sample, error) { return newSample(), nil }

func TestRatiosAreToTheFloorsOfTheSameRepetition(t *testing.T) {
	rows := []*row{
		{key: milterFloor, samples: samplesOf(cpu, 0.1, 0.2)},
		{key: cryptoFloor, samples: samplesOf(cpu, 0.3, 0.6)},
		{key: "ack", samples: samplesOf(cpu, 0.8, 0.8), measure: unmeasured},
		{key: "off", note: "refused"},
	}
	for i := range 2 {
		setRatios(rows, i)
	}
	for i, want := range []float64{2, 1} {
		if got := rows[2].samples[i][ratio]; math.Abs(got-want) > 1e-9 {
			t.Errorf("ratio of repetition %d = %v; want %v", i, got, want)
		}
	}
}

func TestTheTableShowsMediansRangesAndGaps(t *testing.T) {
	ack := samplesOf(ratio, 2, 1.5, 3)
	for i := range ack {
		ack[i][cpu], ack[i][peak] = 0.5, 3<<20
	}
	var b strings.Builder
	table := []shown{{rate, "msg/s", "%.0f", 1, true}, {cpu, "CPU ms/msg", "%.3f", 1, true}, {ratio, "RATIO", "%.2f", 1, true}, {peak, "peak MiB", "%.1f", 1 << 20, false}}
	err := writeTable(&b, table, []*row{
		{key: "ack", title: "ack", samples: ack},
		{key: "off", title: "off (no store)", note: "the daemon refuses it"},
	})
	want := `                  msg/s  CPU ms/msg             RATIO  peak MiB
  ack                 -       0.500  2.00 (1.50-3.00)       3.0
  off (no store)      -           -                 -         -
off (no store): not measured: the daemon refuses it
`
	if got := b.String(); got != want || err != nil {
		t.Errorf("table:\n%s%v; want:\n%s", got, err, want)
	}
}
