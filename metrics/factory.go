package metrics

import (
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "dmarcgate"

// other stands for a value that is not on its closed list.
const other = "other"

// label is a label name with all the values that it may have.
type label struct {
	name   string
	values []string
}

// factory registers metrics and makes every series of their labels.
type factory struct {
	reg prometheus.Registerer
}

func (f factory) counter(name, help string, labels ...label) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, names(labels))
	f.reg.MustRegister(v)
	each(labels, func(values []string) { v.WithLabelValues(values...) })
	return v
}

func (f factory) gauge(name, help string, labels ...label) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, names(labels))
	f.reg.MustRegister(v)
	each(labels, func(values []string) { v.WithLabelValues(values...) })
	return v
}

// histogram makes classic and native buckets, so that dashboards work whether
// or not the server scrapes native histograms.
func (f factory) histogram(name, help string, buckets []float64, labels ...label) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(histogramOpts(name, help, buckets), names(labels))
	f.reg.MustRegister(v)
	each(labels, func(values []string) { v.WithLabelValues(values...) })
	return v
}

func (f factory) plainCounter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	f.reg.MustRegister(c)
	return c
}

func (f factory) plainGauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
	f.reg.MustRegister(g)
	return g
}

func (f factory) plainHistogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(histogramOpts(name, help, buckets))
	f.reg.MustRegister(h)
	return h
}

func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160,
	}
}

func names(labels []label) []string {
	out := make([]string, len(labels))
	for i, l := range labels {
		out[i] = l.name
	}
	return out
}

// each calls f with every combination of the labels' values.
func each(labels []label, f func([]string)) {
	values := make([]string, len(labels))
	var fill func(i int)
	fill = func(i int) {
		if i == len(labels) {
			f(values)
			return
		}
		for _, v := range labels[i].values {
			values[i] = v
			fill(i + 1)
		}
	}
	fill(0)
}

// series returns the counters of a vector with two labels, in the order of
// their values.
func series(v *prometheus.CounterVec, first, second []string) [][]prometheus.Counter {
	table := make([][]prometheus.Counter, len(first))
	for i, a := range first {
		for _, b := range second {
			table[i] = append(table[i], v.WithLabelValues(a, b))
		}
	}
	return table
}

// known returns v when it is on the list, and "other" when it is not.
func known(list []string, v string) string {
	if slices.Contains(list, v) {
		return v
	}
	return other
}

// seconds is a time as Prometheus has it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (m *Metrics) listener(name string) string { return known(m.listeners, name) }

// RegisterBuildInfo registers dmarcgate_build_info, a constant 1 whose labels
// say which program this is.
func RegisterBuildInfo(reg prometheus.Registerer, version, revision string) {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "A constant 1, labelled by the version of the program.",
	}, []string{"version", "revision", "goversion"})
	reg.MustRegister(g)
	g.WithLabelValues(version, revision, runtime.Version()).Set(1)
}
