package metrics

import "github.com/prometheus/client_golang/prometheus"

// serverMetrics are those of the name servers, by their addresses. Their series
// come and go with the servers.
type serverMetrics struct {
	window, places, refusing, down *prometheus.GaugeVec
}

func newServerMetrics(f factory) serverMetrics {
	server := label{"server", nil}
	return serverMetrics{
		window:   f.gauge("dns_window", "Queries that may be in flight at a name server.", server),
		places:   f.gauge("dns_window_used", "Queries in flight at a name server, with those given up that it may still work at.", server),
		refusing: f.gauge("dns_server_refusing", "1 when a name server refused or dropped queries within the last minute, else 0.", server),
		down:     f.gauge("dns_server_down", "1 when a name server answers nothing and is passed over, else 0.", server),
	}
}

func (s serverMetrics) all() []*prometheus.GaugeVec {
	return []*prometheus.GaugeVec{s.window, s.places, s.refusing, s.down}
}

// NameServer sets what is known of a name server.
func (m *Metrics) NameServer(address string, window, used int, refusing, down bool) {
	if m == nil {
		return
	}
	for i, value := range []float64{float64(window), float64(used), flag(refusing), flag(down)} {
		m.servers.all()[i].WithLabelValues(address).Set(value)
	}
}

// NameServerGone ends the series of a name server that is none of ours any more.
func (m *Metrics) NameServerGone(address string) {
	if m == nil {
		return
	}
	for _, v := range m.servers.all() {
		v.DeleteLabelValues(address)
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
