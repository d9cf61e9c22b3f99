package metrics

import "github.com/prometheus/client_golang/prometheus"

// The closed lists of label values of the local store's maintenance.
var (
	drops     = []string{"queue_full", "no_space", "disk_full", "locked", "damaged", "write_failed"}
	deletions = []string{"age", "size", "unshipped", "purge"}
	damages   = []string{"file", "log", "gone"}
	places    = []string{"local", "postgres"}
	clocks    = []string{"host", "stored", "database"}
)

// keepMetrics are of the maintenance of the local store.
type keepMetrics struct {
	deleted, damaged, jumps *prometheus.CounterVec
	guard, bytes            prometheus.Gauge
	free, minFree           prometheus.Gauge
	uncleaned               *prometheus.GaugeVec
}

func newKeepMetrics(f factory) keepMetrics {
	return keepMetrics{
		deleted:   f.counter("store_deleted_total", "Results deleted from the local store, by cause.", label{"why", deletions}),
		damaged:   f.counter("store_damaged_total", "Times that the local store or a part of it was lost.", label{"what", damages}),
		guard:     f.plainGauge("store_guard", "1 while results are dropped because too little space is free, else 0."),
		jumps:     f.counter("clock_jumps_total", "Jumps of a clock by an hour or more.", label{"clock", clocks}),
		uncleaned: f.gauge("store_uncleaned_records", "Results of earlier programs that may still hold addresses of DMARC records.", label{"where", places}),
		bytes:     f.plainGauge("store_bytes", "Size of the local store, its log included."),
		free:      f.plainGauge("store_free_bytes", "What is free on the file system of the local store."),
		minFree:   f.plainGauge("store_min_free_bytes", "Free space below which results are dropped."),
	}
}

// StoreDeleted counts results that were deleted.
func (m *Metrics) StoreDeleted(why string, n int64) {
	if m == nil {
		return
	}
	m.keep.deleted.WithLabelValues(known(deletions, why)).Add(float64(n))
}

// StoreDamaged counts a file that was set aside, a log of which not everything
// could be read, or a file that was gone.
func (m *Metrics) StoreDamaged(what string) {
	if m == nil {
		return
	}
	m.keep.damaged.WithLabelValues(known(damages, what)).Inc()
}

// StoreGuard sets whether results are dropped for want of space.
func (m *Metrics) StoreGuard(on bool) {
	if m == nil {
		return
	}
	m.keep.guard.Set(number(on))
}

// StoreSize sets the size of the store.
func (m *Metrics) StoreSize(bytes int64) {
	if m == nil {
		return
	}
	m.keep.bytes.Set(float64(bytes))
}

// StoreFree sets what is free beside the store, and what has to stay free, in
// bytes.
func (m *Metrics) StoreFree(free, least int64) {
	if m == nil {
		return
	}
	m.keep.free.Set(float64(free))
	m.keep.minFree.Set(float64(least))
}

// ClockJumped counts a jump of a clock: that of the host against monotonic time
// or against the time that was stored, or that of the database.
func (m *Metrics) ClockJumped(clock string) {
	if m == nil {
		return
	}
	m.keep.jumps.WithLabelValues(known(clocks, clock)).Inc()
}

// StoreUncleaned sets how many results of earlier programs are not cleaned yet,
// in the local store or in PostgreSQL.
func (m *Metrics) StoreUncleaned(where string, n int64) {
	if m == nil {
		return
	}
	m.keep.uncleaned.WithLabelValues(known(places, where)).Set(float64(n))
}
