package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxListeners is how many listeners have series of their own, the first of the
// configuration; further ones count as "other". A site has a few. Our limit, for
// the sake of the server that scrapes: each listener has some 250 series.
const maxListeners = 20

// The closed lists of label values of stateMetrics.
var (
	profiles = []string{"monitor", "conformant", "strict"}
	checks   = []string{"connections", "resolver", "store"}
	settings = []string{"admin", "dns", "limits", "listener", "log", "pages", "privacy", "sampling", "state_dir", "store", "user"}
)

// stateMetrics are of the settings that are active, and of the health of the
// daemon.
type stateMetrics struct {
	profile, share, sessions                *prometheus.GaugeVec
	ready, restart                          *prometheus.GaugeVec
	headerMemory, cacheBytes                prometheus.Gauge
	storeBytes, storeRetention, storeQueued prometheus.Gauge
}

func newStateMetrics(f factory, listener label) stateMetrics {
	return stateMetrics{
		profile:        f.gauge("listener_info", "A constant 1, labelled by the profile that is active on a listener.", label{"listener", nil}, label{"profile", nil}),
		share:          f.gauge("listener_enforce_share_ratio", "Share of the messages for which the profile of a listener is enforced, from 0 to 1.", listener),
		sessions:       f.gauge("milter_sessions_limit", "Connections from an MTA that a listener accepts at once.", listener),
		ready:          f.gauge("ready", "1 while a readiness check passes, else 0.", label{"check", nil}),
		restart:        f.gauge("config_restart_required", "1 while a setting has changed in the configuration file and waits for a restart, else 0.", label{"setting", settings}),
		headerMemory:   f.plainGauge("milter_header_memory_limit_bytes", "Memory that headers may take."),
		cacheBytes:     f.plainGauge("dns_cache_limit_bytes", "Memory that the DNS cache may take."),
		storeBytes:     f.plainGauge("store_limit_bytes", "Size at which the oldest rows of the store are deleted; 0 without a limit."),
		storeRetention: f.plainGauge("store_retention_seconds", "Age at which rows are deleted; 0 if rows are kept for ever."),
		storeQueued:    f.plainGauge("store_queue_limit_records", "Rows that may wait for the writer."),
	}
}

// ListenerSettings sets the profile that is active on a listener, and the share of
// its messages, in percent, for which the profile is enforced.
func (m *Metrics) ListenerSettings(listener, profile string, enforceShare int) {
	if m == nil {
		return
	}
	name := m.listener(listener)
	m.state.share.WithLabelValues(name).Set(float64(enforceShare) / 100)
	for _, p := range append(profiles, other) {
		if p == known(profiles, profile) {
			m.state.profile.WithLabelValues(name, p).Set(1)
		} else {
			m.state.profile.DeleteLabelValues(name, p)
		}
	}
}

// Ready sets whether a readiness check passes. A check has no series before.
func (m *Metrics) Ready(check string, ok bool) {
	if m == nil {
		return
	}
	m.state.ready.WithLabelValues(known(checks, check)).Set(number(ok))
}

// RestartRequired sets which settings have changed and wait for a restart: the
// tables of the configuration file, or keys outside of tables.
func (m *Metrics) RestartRequired(changed []string) {
	if m == nil {
		return
	}
	for _, s := range settings {
		m.state.restart.WithLabelValues(s).Set(0)
	}
	for _, s := range changed {
		m.state.restart.WithLabelValues(known(settings, s)).Set(1)
	}
}

// Limits are the limits of the configuration beside which a gauge can be read.
type Limits struct {
	Sessions       int   // of each listener
	HeaderMemory   int64 // bytes
	CacheBytes     int64
	StoreBytes     int64         // 0 is no limit
	StoreRetention time.Duration // 0 is for ever
	StoreQueue     int           // rows
}

// SetLimits sets the limits; only a restart changes them.
func (m *Metrics) SetLimits(l Limits) {
	if m == nil {
		return
	}
	for _, name := range m.listeners {
		m.state.sessions.WithLabelValues(name).Set(float64(l.Sessions))
	}
	m.state.headerMemory.Set(float64(l.HeaderMemory))
	m.state.cacheBytes.Set(float64(l.CacheBytes))
	m.state.storeBytes.Set(float64(l.StoreBytes))
	m.state.storeRetention.Set(l.StoreRetention.Seconds())
	m.state.storeQueued.Set(float64(l.StoreQueue))
}
