package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The closed lists of the shipper's label values.
var (
	batchOutcomes = []string{"committed", "repeated", "failed"}
	shipRefusals  = []string{"too_big", "bad_value", "bad_time", "expired", "database"}
)

// shipMetrics are of the rows on their way from the local store to PostgreSQL.
type shipMetrics struct {
	spool, oldest    prometheus.Gauge
	shipped, renewed prometheus.Counter
	batches, refused *prometheus.CounterVec
	up, barred, skew prometheus.Gauge
}

func newShipMetrics(f factory) shipMetrics {
	return shipMetrics{
		spool:   f.plainGauge("store_spool_records", "Results that PostgreSQL does not have yet."),
		oldest:  f.plainGauge("store_spool_oldest_timestamp_seconds", "Time of the oldest of them, the present when there is none."),
		shipped: f.plainCounter("store_shipped_records_total", "Results that PostgreSQL has taken."),
		batches: f.counter("store_batches_total", "Batches sent to PostgreSQL.", label{"outcome", batchOutcomes}),
		refused: f.counter("store_ship_refused_total", "Results that stay in the local store alone.", label{"why", shipRefusals}),
		up:      f.plainGauge("store_shipping", "1 while PostgreSQL takes what is sent, else 0."),
		barred:  f.plainGauge("store_shipping_refused", "1 while the local store must not be shipped, as a copy for example, else 0."),
		renewed: f.plainCounter("store_renewed_total", "Times that the local store was given a new id."),
		skew:    f.plainGauge("clock_skew_seconds", "The clock of this host minus that of PostgreSQL."),
	}
}

// Spool sets how many results wait for PostgreSQL, and the time of the oldest.
func (m *Metrics) Spool(records int64, oldest time.Time) {
	if m == nil {
		return
	}
	m.ship.spool.Set(float64(records))
	m.ship.oldest.Set(seconds(oldest))
}

// Shipped counts results that PostgreSQL has taken.
func (m *Metrics) Shipped(n int) {
	if m == nil {
		return
	}
	m.ship.shipped.Add(float64(n))
}

// ShipBatch counts a batch: committed, failed (it will be sent again), or
// repeated (it had failed and was found committed).
func (m *Metrics) ShipBatch(outcome string) {
	if m == nil {
		return
	}
	m.ship.batches.WithLabelValues(known(batchOutcomes, outcome)).Inc()
}

// ShipRefused counts a result that PostgreSQL does not get.
func (m *Metrics) ShipRefused(why string) {
	if m == nil {
		return
	}
	m.ship.refused.WithLabelValues(known(shipRefusals, why)).Inc()
}

// ShipState sets whether results are shipped, and whether they must not be.
func (m *Metrics) ShipState(up, refused bool) {
	if m == nil {
		return
	}
	m.ship.up.Set(number(up))
	m.ship.barred.Set(number(refused))
}

// StoreRenewed counts a new id of the local store.
func (m *Metrics) StoreRenewed() {
	if m == nil {
		return
	}
	m.ship.renewed.Inc()
}

// ClockSkew sets how far the clock of this host is ahead of PostgreSQL's.
func (m *Metrics) ClockSkew(d time.Duration) {
	if m == nil {
		return
	}
	m.ship.skew.Set(d.Seconds())
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
