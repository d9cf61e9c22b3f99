package metrics

import "github.com/prometheus/client_golang/prometheus"

// The closed lists of label values of milterMetrics.
var (
	lastSeen = []string{"envelope", "data", "header"}
	warnings = []string{"no_header", "not_evaluated"}
)

// milterMetrics are of the memory for headers, and of what listeners see.
type milterMetrics struct {
	headerBytes, headerWaiting prometheus.Gauge
	headerWaits, headerRefused *prometheus.CounterVec
	withoutHeader              *prometheus.CounterVec
	warning                    *prometheus.GaugeVec
}

func newMilterMetrics(f factory, listener label) milterMetrics {
	return milterMetrics{
		headerBytes:   f.plainGauge("milter_header_memory_bytes", "Memory taken by headers, of limits.header_memory."),
		headerWaiting: f.plainGauge("milter_header_memory_waiting", "Messages whose header waits for memory."),
		headerWaits:   f.counter("milter_header_memory_waits_total", "Times that a header waited for memory.", listener),
		headerRefused: f.counter("milter_header_memory_refused_total", "Messages deferred for want of memory for their header.", listener),
		withoutHeader: f.counter("milter_transactions_without_header_total", "Messages that ended before the end of their header, by the last thing seen.",
			listener, label{"after", lastSeen}),
		warning: f.gauge("listener_warning", "1 while a listener hardly sees or evaluates its mail, else 0.", listener, label{"warning", warnings}),
	}
}

// HeaderMemory sets the memory that headers take, and how many messages wait
// for some.
func (m *Metrics) HeaderMemory(bytes int64, waiting int) {
	if m == nil {
		return
	}
	m.milter.headerBytes.Set(float64(bytes))
	m.milter.headerWaiting.Set(float64(waiting))
}

// HeaderWaits counts a header that waits for memory.
func (m *Metrics) HeaderWaits(listener string) {
	if m == nil {
		return
	}
	m.milter.headerWaits.WithLabelValues(m.listener(listener)).Inc()
}

// HeaderRefused counts a message deferred for want of memory for its header.
func (m *Metrics) HeaderRefused(listener string) {
	if m == nil {
		return
	}
	m.milter.headerRefused.WithLabelValues(m.listener(listener)).Inc()
}

// WithoutHeader counts a message that ended before the end of its header.
// after is the last thing seen of it: envelope, data or header.
func (m *Metrics) WithoutHeader(listener, after string) {
	if m == nil {
		return
	}
	m.milter.withoutHeader.WithLabelValues(m.listener(listener), known(lastSeen, after)).Inc()
}

// ListenerWarning sets which warning about a listener is active; "" is none.
func (m *Metrics) ListenerWarning(listener, warning string) {
	if m == nil {
		return
	}
	for _, w := range warnings {
		m.milter.warning.WithLabelValues(m.listener(listener), w).Set(number(w == warning))
	}
}
