// Package metrics counts and measures for Prometheus: every metric of dmarcgate,
// with its labels and their values.
//
// The daemon calls New, which registers a Metrics in the given registry; enforce,
// milter, dnscache and the stores count by its methods. docs/monitoring.md
// explains each metric to operators, and a test compares both. A nil *Metrics is
// usable and counts nothing, so callers need no check. metrics.go has most
// metrics, with one file each for groups: milter.go, rules.go, servers.go,
// state.go, and for the store keep.go and ship.go.
//
// Label values come from closed lists, the configured listener names, the
// addresses of the name servers, the ids of rules and the names of hosts. A value that is not on its
// closed list is counted as "other", so that data from mail (a domain, an
// address, an error text) can never become a series.
//
// Names follow the Prometheus conventions: base units, _total for counters.
// Every series of a closed list exists from the start with the value zero, so
// that rate() works for the first event, too. Series of rules begin with the
// first match, and at most maxRuleIDs rules have series of their own.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// The closed lists of label values.
var (
	actions        = []string{"accept", "tag", "hold", "reject", "tempfail", "aborted"}
	stages         = []string{"negotiate", "connect", "helo", "mail", "rcpt", "header", "eoh", "body", "eom", "other"}
	errorKinds     = []string{"protocol", "timeout", "io", "panic", "overload"}
	workStages     = []string{"auth", "record"}
	results        = []string{"pass", "fail", "none", "temperror", "permerror", "skipped"}
	causes         = []string{"ours", "domain", "client", "pressure"}
	policies       = []string{"none", "quarantine", "reject", "absent"}
	ruleActions    = []string{"accept", "tag", "hold", "tempfail", "reject"}
	ruleModes      = []string{"enforce", "shadow"}
	applied        = []string{"none", "quarantine", "reject", "tempfail"}
	reasons        = []string{"", "policy_test_mode", "sampled_out", "local_policy", "trusted_forwarder", "mailing_list", "other"}
	vias           = []string{"spf", "dkim", "both"}
	skips          = []string{"authenticated", "loopback", "trusted_network", "not_ip"}
	unknownClients = []string{"no_address", "no_field", "other_host", "unreadable", "too_far"}
	sources        = []string{"author", "org", "psd", "none"}
	spfResults     = []string{"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}
	identities     = []string{"mailfrom", "helo"}
	comparisons    = []string{"same", "different", "unready"}
	differences    = []string{"org", "record", "verdict", "disposition"}
	evidences      = []string{"arc_sealer", "forwarder", "body_changed", "sends_no_mail", "no_such_domain", "history", "none"}
	arcResults     = []string{"pass", "fail", "not_checked"}
	dkimResults    = []string{"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"}
	algorithms     = []string{"rsa-sha256", "ed25519-sha256", "rsa-sha1", "other"}
	keyBits        = []string{"<1024", "1024", "1025-2047", "2048", ">2048", "ed25519"}
	forgedFields   = []string{"authentication_results", "tag", "bimi"}
	fromDefects    = []string{"missing", "several_fields", "several_domains", "unparsable", "empty_group", "header_truncated"}
	purposes       = []string{"dmarc", "spf", "dkim", "ptr", "report_auth", "probe"}
	outcomes       = []string{"hit", "negative_hit", "stale", "failed", "coalesced", "miss"}
	queryKinds     = []string{"ok", "nxdomain", "nodata", "servfail", "refused", "timeout", "network", "malformed", "bogus", "local"}
	evictions      = []string{"size", "expired", "flushed"}
	lookupClasses  = []string{"author", "other"}
	pressures      = []string{"message", "client", "zone", "window", "queue"}
	wrongReplies   = []string{"id", "question", "case"}
	logLosses      = []string{"repeated", "queue_full", "syslog"}
	recordOutcomes = []string{"written", "dropped"}
	recordKinds    = []string{"dmarc"}
	// The short names of auth/dmarc's defects; a test there compares the two.
	defects = []string{"multiple", "bad_version", "tag_syntax", "tag_case", "dup_tag", "unknown_tag", "missing_p", "bad_p", "bad_sp", "bad_np",
		"bad_alignment", "bad_fo", "bad_uri", "bad_t", "bad_psd", "bad_pct", "bad_rf", "bad_ri", "stray_bytes", "too_long", "too_many_tags", "too_many_uris"}
)

// latencyBuckets span a cached answer (1 ms) to the message budget (20 s).
var latencyBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20}

// Metrics holds every metric. Make one with New; nil counts nothing.
type Metrics struct {
	listeners []string

	sessions, sessionsCut       *prometheus.CounterVec
	acceptPaused                *prometheus.CounterVec
	sessionsActive, inFlight    *prometheus.GaugeVec
	messages, milterErrors      *prometheus.CounterVec
	eom, bytes, stage           *prometheus.HistogramVec
	evaluations, passes, skips  *prometheus.CounterVec
	unknown                     *prometheus.CounterVec
	dispositions, policySource  *prometheus.CounterVec
	rules                       ruleMetrics
	spf, dkim, keyBits, arc     *prometheus.CounterVec
	malformed, fromMalformed    *prometheus.CounterVec
	forged                      *prometheus.CounterVec
	compared, differences       *prometheus.CounterVec
	evidence                    *prometheus.CounterVec
	cacheRequests, queries      *prometheus.CounterVec
	cacheRequest                [][]prometheus.Counter // the series of cacheRequests by purpose and outcome
	cacheEvictions              *prometheus.CounterVec
	dnsPressure, dnsWrong       *prometheus.CounterVec
	queryDuration               *prometheus.HistogramVec
	cacheEntries, cacheBytes    prometheus.Gauge
	dnsInFlight                 prometheus.Gauge
	servers                     serverMetrics
	storeRecords, storeDropped  *prometheus.CounterVec
	storeLate                   prometheus.Counter
	storeWrite                  prometheus.Histogram
	storeQueue, storeLastCommit prometheus.Gauge
	ship                        shipMetrics
	reports                     reportMetrics
	keep                        keepMetrics
	milter                      milterMetrics
	state                       stateMetrics
	logLost                     *prometheus.CounterVec
	reloadOK, reloadTime        prometheus.Gauge
	temperrors                  *prometheus.CounterVec
	suspended                   prometheus.Gauge
}

// New makes the metrics and registers them with reg. listeners are the
// configured listener names; the first maxListeners have series of their own.
func New(reg prometheus.Registerer, listeners []string) *Metrics {
	f := factory{reg: reg}
	listeners = listeners[:min(len(listeners), maxListeners)]
	l := label{"listener", listeners}
	m := &Metrics{
		listeners:       listeners,
		sessions:        f.counter("milter_sessions_total", "Connections accepted from an MTA.", l),
		sessionsCut:     f.counter("milter_sessions_cut_total", "Connections from an MTA that a shutdown ended.", l),
		acceptPaused:    f.counter("milter_accept_paused_total", "Times that accepting stopped because the connection limit was reached.", l),
		sessionsActive:  f.gauge("milter_sessions_active", "Open connections from an MTA.", l),
		inFlight:        f.gauge("milter_messages_in_flight", "Messages between end of header and the answer.", l),
		messages:        f.counter("milter_messages_total", "Messages finished, by the answer given.", l, label{"action", actions}),
		milterErrors:    f.counter("milter_errors_total", "Events that make the MTA use its default action.", l, label{"stage", stages}, label{"kind", errorKinds}),
		eom:             f.histogram("milter_eom_duration_seconds", "End of message to answer: what the MTA waits for.", latencyBuckets, l),
		bytes:           f.histogram("milter_message_bytes", "Size of messages, header and body.", prometheus.ExponentialBuckets(1024, 4, 9), l),
		stage:           f.histogram("stage_duration_seconds", "Where the time of a message goes.", latencyBuckets, label{"stage", workStages}),
		evaluations:     f.counter("evaluations_total", "Author domains evaluated, by DMARC result and published policy.", l, label{"result", results}, label{"policy", policies}),
		temperrors:      f.counter("temperrors_total", "Author domains of which a failed lookup left the result open, by whose fault it was.", label{"cause", causes}),
		passes:          f.counter("pass_total", "DMARC passes, by the mechanism that was aligned.", label{"via", vias}),
		skips:           f.counter("skipped_total", "Messages not evaluated.", l, label{"why", skips}),
		unknown:         f.counter("unknown_client_total", "Messages evaluated without SPF, because their client is not known.", label{"why", unknownClients}),
		dispositions:    f.counter("dispositions_total", "What the owner asked for and what was done.", l, label{"requested", policies}, label{"applied", applied}, label{"reason", reasons}),
		rules:           newRuleMetrics(f),
		policySource:    f.counter("policy_source_total", "Where discovery found the record.", label{"source", sources}),
		spf:             f.counter("spf_results_total", "SPF results, by identity.", label{"result", spfResults}, label{"identity", identities}),
		dkim:            f.counter("dkim_signatures_total", "DKIM signatures evaluated.", label{"result", dkimResults}, label{"algorithm", algorithms}),
		keyBits:         f.counter("dkim_keys_total", "DKIM keys seen, by size in bits.", label{"bits", keyBits}),
		arc:             f.counter("arc_chains_total", "ARC chains seen.", label{"result", arcResults}),
		compared:        f.counter("discovery_compared_total", "Author domains looked up by both methods of discovery.", label{"outcome", comparisons}),
		differences:     f.counter("discovery_differences_total", "In what the methods of discovery differ.", label{"what", differences}),
		evidence:        f.counter("conformant_evidence_total", "What the profile conformant went by under p=reject.", label{"evidence", evidences}),
		malformed:       f.counter("record_malformed_total", "Defects found in published records.", label{"record", recordKinds}, label{"defect", defects}),
		forged:          f.counter("forged_fields_removed_total", "Header fields from outside that only this host may write.", l, label{"field", forgedFields}),
		fromMalformed:   f.counter("from_malformed_total", "From fields without exactly one domain.", label{"defect", fromDefects}),
		cacheRequests:   f.counter("dns_cache_requests_total", "Lookups, by how the cache served them.", label{"purpose", purposes}, label{"outcome", outcomes}),
		queries:         f.counter("dns_queries_total", "Queries sent to the servers.", label{"purpose", purposes}, label{"result", queryKinds}),
		queryDuration:   f.histogram("dns_query_duration_seconds", "Latency of queries to the servers.", latencyBuckets, label{"purpose", purposes}),
		cacheEvictions:  f.counter("dns_cache_evictions_total", "Cache entries removed.", label{"why", evictions}),
		dnsPressure:     f.counter("dns_pressure_total", "Lookups that gave way because too much was asked at once, by what had its share.", label{"class", lookupClasses}, label{"by", pressures}),
		dnsWrong:        f.counter("dns_wrong_replies_total", "Datagrams that came as a reply and do not answer the query.", label{"why", wrongReplies}),
		cacheEntries:    f.plainGauge("dns_cache_entries", "Entries in the cache."),
		cacheBytes:      f.plainGauge("dns_cache_bytes", "Estimated size of the cache."),
		dnsInFlight:     f.plainGauge("dns_in_flight", "Queries waiting for a server."),
		servers:         newServerMetrics(f),
		storeRecords:    f.counter("store_records_total", "Results, by what became of them.", label{"outcome", recordOutcomes}),
		storeDropped:    f.counter("store_dropped_total", "Results lost, by cause.", label{"why", drops}),
		storeLate:       f.plainCounter("store_late_total", "Results whose message was answered before their commit."),
		storeQueue:      f.plainGauge("store_queue_records", "Results waiting for the writer."),
		ship:            newShipMetrics(f),
		reports:         newReportMetrics(f),
		keep:            newKeepMetrics(f),
		milter:          newMilterMetrics(f, l),
		state:           newStateMetrics(f, l),
		logLost:         f.counter("log_lines_lost_total", "Log lines that were not written, by cause.", label{"why", logLosses}),
		reloadOK:        f.plainGauge("config_last_reload_successful", "1 when the last reading of the configuration succeeded, else 0."),
		reloadTime:      f.plainGauge("config_last_reload_success_timestamp_seconds", "Time of the last one that did."),
		suspended:       f.plainGauge("monitor_until_timestamp_seconds", "Time until which dmarcgate monitor keeps every listener from enforcing; 0 while it does not."),
		storeLastCommit: f.plainGauge("store_last_success_timestamp_seconds", "Time of the last commit."),
	}
	m.cacheRequest = series(m.cacheRequests, purposes, outcomes)
	m.storeWrite = f.plainHistogram("store_write_duration_seconds", "Duration of one commit.", latencyBuckets)
	return m
}
