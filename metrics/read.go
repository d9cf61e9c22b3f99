package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Traffic is what a listener has seen since the start of the daemon.
type Traffic struct {
	Sessions, Active uint64            // connections from an MTA: all, and those that are open
	InFlight         uint64            // messages between the end of their header and the answer
	Messages         map[string]uint64 // by action; actions without a message are not in it
}

// Traffic returns what the listener has counted. The listeners beyond maxListeners
// share one count.
func (m *Metrics) Traffic(listener string) Traffic {
	if m == nil {
		return Traffic{}
	}
	name := m.listener(listener)
	t := Traffic{
		Sessions: counted(m.sessions.WithLabelValues(name)), Active: counted(m.sessionsActive.WithLabelValues(name)),
		InFlight: counted(m.inFlight.WithLabelValues(name)), Messages: make(map[string]uint64),
	}
	for _, a := range actions {
		if n := counted(m.messages.WithLabelValues(name, a)); n > 0 {
			t.Messages[a] = n
		}
	}
	return t
}

// CacheUse is the size of the DNS cache, and the lookups since the start of the
// daemon.
type CacheUse struct {
	Entries int
	Bytes   uint64 // estimated
	Lookups uint64
	Cached  uint64 // lookups that the cache served or that joined another one
}

// CacheUse returns what the DNS cache has counted.
func (m *Metrics) CacheUse() CacheUse {
	if m == nil {
		return CacheUse{}
	}
	u := CacheUse{Entries: int(counted(m.cacheEntries)), Bytes: counted(m.cacheBytes)}
	for _, row := range m.cacheRequest {
		for i, c := range row {
			n := counted(c)
			u.Lookups += n
			if outcomes[i] != "miss" {
				u.Cached += n
			}
		}
	}
	return u
}

// DNSCount is how many lookups or queries there were of one kind.
type DNSCount struct {
	Query            bool // sent to a name server; else a lookup, of which Outcome says how the cache served it
	Purpose, Outcome string
	N                uint64
}

// DNSCounts returns the lookups and queries since the start of the daemon.
func (m *Metrics) DNSCounts() (list []DNSCount) {
	if m == nil {
		return nil
	}
	for i, p := range purposes {
		for j, o := range outcomes {
			list = append(list, DNSCount{false, p, o, counted(m.cacheRequest[i][j])})
		}
		for _, k := range queryKinds {
			list = append(list, DNSCount{true, p, k, counted(m.queries.WithLabelValues(p, k))})
		}
	}
	return list
}

// counted reads a counter or a gauge that counts; a gauge below zero is zero.
func counted(c prometheus.Metric) uint64 {
	var v dto.Metric
	if err := c.Write(&v); err != nil {
		return 0 // only a metric of another kind fails
	}
	return uint64(max(0, v.GetCounter().GetValue()+v.GetGauge().GetValue()))
}
