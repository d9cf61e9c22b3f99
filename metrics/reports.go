package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The closed lists of the labels of aggregate reports. A test of report/sending compares
// the gates with those of report/gate.
var (
	reportGates = []string{"", "sending_off", "settings_missing", "unverified", "paused", "own_domain", "not_listed", "suppressed", "too_new", "no_relation", "report_traffic"}
	reportRows  = append([]string{"reported", "late", "lost", "unreported", "unreportable", "no_rua", "bad_address"}, reportGates[1:]...)

	reportOutcomes = []string{"sent", "due", "refused", "expired", "suppressed", "unauthorized", "withdrawn", "withheld"}
	replyClasses   = []string{"", "2xx", "4xx", "5xx", "conn", "tls", "bounce"}
	reportStates   = []string{"planned", "ready", "done", "withheld", "withdrawn", "split", "failed", "held"}
	deliveryStates = []string{"due", "trying", "sent", "refused", "expired", "suppressed", "unauthorized", "withdrawn", "withheld"}
	suppressedBy   = []string{"bounce", "manual", "policy", "dnsbl"}
	reportWork     = []string{ReportsOff, ReportsWorking, ReportsFailing}
)

// What the sender of reports does: the values of Metrics.ReportWork.
const (
	ReportsOff     = "off"     // [reports] send is false, or a key is missing
	ReportsWorking = "working" // the last turn has come to its end
	ReportsFailing = "failing" // an error has interrupted the last turn
)

// Hosts with series of their own, of those whose rows were missing when a day was closed.
const (
	maxSilentHosts = 20  // further ones count as otherHost: our limit, for the sake of the server that scrapes
	maxHostName    = 253 // bytes (RFC 1035, Section 2.3.4)

	// otherHost cannot be the name of a host.
	otherHost = "_other"
)

// renderBuckets span a small day to one of tens of millions of rows, in seconds.
var renderBuckets = []float64{.01, .1, 1, 5, 10, 30, 60, 300, 1800}

// reportMetrics are of aggregate reports.
type reportMetrics struct {
	planned, rows, deliveries       *prometheus.CounterVec
	bytes                           prometheus.Counter
	render                          prometheus.Histogram
	open, paused                    prometheus.Gauge
	reports, queue, suppressed      *prometheus.GaugeVec
	work                            *prometheus.GaugeVec
	oldest, lastClosed, resentCrash prometheus.Gauge
	silent                          *prometheus.GaugeVec
}

func newReportMetrics(f factory) reportMetrics {
	return reportMetrics{
		planned:     f.counter("reports_total", "Aggregate reports planned, by the gate that holds them back.", label{"why", reportGates}),
		rows:        f.counter("report_rows_total", "Messages of closed days, by what became of them in reports.", label{"outcome", reportRows}),
		deliveries:  f.counter("report_deliveries_total", "Attempts to deliver reports, and deliveries that ended without one.", label{"outcome", reportOutcomes}, label{"class", replyClasses}),
		bytes:       f.plainCounter("report_bytes_total", "Bytes of the documents of reports, compressed."),
		render:      f.plainHistogram("report_render_seconds", "Time to make the documents of a day.", renderBuckets),
		work:        f.gauge("report_work", "1 for what the sender of reports does, else 0.", label{"state", reportWork}),
		open:        f.plainGauge("report_gate_open", "1 while report mail may leave, else 0."),
		paused:      f.plainGauge("report_paused", "1 while sending of reports is paused, else 0."),
		reports:     f.gauge("reports", "Reports in the queue, by state.", label{"state", reportStates}),
		queue:       f.gauge("report_queue", "Deliveries of reports in the queue, by state.", label{"state", deliveryStates}),
		suppressed:  f.gauge("report_suppressed", "Addresses, hosts and domains without reports, by the source of the suppression.", label{"source", suppressedBy}),
		oldest:      f.plainGauge("report_oldest_due_seconds", "How long the delivery that waits longest is overdue."),
		lastClosed:  f.plainGauge("report_last_closed_day_timestamp_seconds", "Begin of the latest day that is closed; 0 before the first one."),
		resentCrash: f.plainGauge("report_resent_after_crash", "Report mails that may have been sent twice, because a host died, of those in the queue."),
		silent:      f.gauge("report_silent_hosts", "1 for each host whose rows were missing when the last closed day was closed.", label{"host", []string{otherHost}}),
	}
}

// ReportPlanned counts reports of a plan; why is the gate that holds them back.
func (m *Metrics) ReportPlanned(why string, reports int64) {
	if m != nil {
		m.reports.planned.WithLabelValues(known(reportGates, why)).Add(float64(reports))
	}
}

// ReportRows counts messages by what became of them in reports.
func (m *Metrics) ReportRows(outcome string, messages int64) {
	if m != nil {
		m.reports.rows.WithLabelValues(known(reportRows, outcome)).Add(float64(messages))
	}
}

// ReportMade counts the bytes of a document.
func (m *Metrics) ReportMade(bytes int64) {
	if m != nil {
		m.reports.bytes.Add(float64(bytes))
	}
}

// ReportRendered measures the time for the documents of a day.
func (m *Metrics) ReportRendered(d time.Duration) {
	if m != nil {
		m.reports.render.Observe(d.Seconds())
	}
}

// ReportDelivery counts what became of a delivery, by the class of the reply.
func (m *Metrics) ReportDelivery(outcome, class string) {
	if m != nil {
		m.reports.deliveries.WithLabelValues(known(reportOutcomes, outcome), known(replyClasses, class)).Inc()
	}
}

// ReportWork sets what the sender of reports does.
func (m *Metrics) ReportWork(state string) {
	if m == nil {
		return
	}
	for _, s := range reportWork {
		m.reports.work.WithLabelValues(s).Set(number(s == state))
	}
}

// ReportGate sets whether report mail may leave, and whether a pause is on.
func (m *Metrics) ReportGate(open, paused bool) {
	if m != nil {
		m.reports.open.Set(number(open))
		m.reports.paused.Set(number(paused))
	}
}

// ReportQueue is what is in the queue of reports.
type ReportQueue struct {
	Reports, Deliveries map[string]int64 // by state
	Suppressed          map[string]int64 // by source
	Oldest              time.Duration    // how long the first delivery is overdue
	LastClosed          time.Time        // zero before the first day
	Silent              []string         // hosts whose rows were missing when that day was closed
	Again               int64            // mails that may have been sent twice
}

// ReportQueue sets what is in the queue.
func (m *Metrics) ReportQueue(q ReportQueue) {
	if m == nil {
		return
	}
	set := func(v *prometheus.GaugeVec, names []string, values map[string]int64) {
		for _, name := range names {
			v.WithLabelValues(name).Set(float64(values[name]))
		}
	}
	set(m.reports.reports, reportStates, q.Reports)
	set(m.reports.queue, deliveryStates, q.Deliveries)
	set(m.reports.suppressed, suppressedBy, q.Suppressed)
	m.reports.oldest.Set(q.Oldest.Seconds())
	if !q.LastClosed.IsZero() {
		m.reports.lastClosed.Set(seconds(q.LastClosed))
	}
	m.reports.resentCrash.Set(float64(q.Again))
	m.silentHosts(q.Silent)
}

// silentHosts sets the series of hosts. Those of other hosts are removed. A host says its
// own name, so a name that no host has counts as otherHost.
func (m *Metrics) silentHosts(hosts []string) {
	m.reports.silent.Reset()
	named, others := map[string]bool{}, 0
	for _, host := range hosts {
		switch {
		case named[host]: // two stores of one host
		case len(named) < maxSilentHosts && isHostName(host):
			named[host] = true
			m.reports.silent.WithLabelValues(host).Set(1)
		default:
			others++
		}
	}
	m.reports.silent.WithLabelValues(otherHost).Set(float64(others))
}

func isHostName(s string) bool {
	return s != "" && len(s) <= maxHostName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == ""
}
