package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// SessionOpened counts a connection from an MTA.
func (m *Metrics) SessionOpened(listener string) {
	if m == nil {
		return
	}
	m.sessions.WithLabelValues(m.listener(listener)).Inc()
	m.sessionsActive.WithLabelValues(m.listener(listener)).Inc()
}

// SessionClosed ends what SessionOpened counted.
func (m *Metrics) SessionClosed(listener string) {
	if m == nil {
		return
	}
	m.sessionsActive.WithLabelValues(m.listener(listener)).Dec()
}

// SessionsCut counts connections that were open when a shutdown had waited long
// enough. Postfix fails the next message of such a session.
func (m *Metrics) SessionsCut(listener string, n int) {
	if m == nil {
		return
	}
	m.sessionsCut.WithLabelValues(m.listener(listener)).Add(float64(n))
}

// AcceptPaused counts a pause of accepting at the connection limit.
func (m *Metrics) AcceptPaused(listener string) {
	if m == nil {
		return
	}
	m.acceptPaused.WithLabelValues(m.listener(listener)).Inc()
}

// MessageStarted counts a message in flight, from its end of header.
func (m *Metrics) MessageStarted(listener string) {
	if m == nil {
		return
	}
	m.inFlight.WithLabelValues(m.listener(listener)).Inc()
}

// MessageDone ends what MessageStarted counted, however the message ended.
func (m *Metrics) MessageDone(listener string) {
	if m == nil {
		return
	}
	m.inFlight.WithLabelValues(m.listener(listener)).Dec()
}

// MessageAnswered counts a message by the answer given to the MTA.
func (m *Metrics) MessageAnswered(listener, action string) {
	if m == nil {
		return
	}
	m.messages.WithLabelValues(m.listener(listener), known(actions, action)).Inc()
}

// MessageAborted counts a message that the MTA gave up before its end.
func (m *Metrics) MessageAborted(listener string) {
	m.MessageAnswered(listener, "aborted")
}

// MilterError counts an event after which the MTA uses its default action.
func (m *Metrics) MilterError(listener, stage, kind string) {
	if m == nil {
		return
	}
	m.milterErrors.WithLabelValues(m.listener(listener), known(stages, stage), known(errorKinds, kind)).Inc()
}

// EOMDuration observes the time from end of message to the answer.
func (m *Metrics) EOMDuration(listener string, d time.Duration) {
	if m == nil {
		return
	}
	m.eom.WithLabelValues(m.listener(listener)).Observe(d.Seconds())
}

// MessageBytes observes the size of a message, header and body.
func (m *Metrics) MessageBytes(listener string, n int64) {
	if m == nil {
		return
	}
	m.bytes.WithLabelValues(m.listener(listener)).Observe(float64(n))
}

// Stage observes the time that a message spent in one stage.
func (m *Metrics) Stage(stage string, d time.Duration) {
	if m == nil {
		return
	}
	m.stage.WithLabelValues(known(workStages, stage)).Observe(d.Seconds())
}

// Evaluation counts an author domain by result and published policy.
func (m *Metrics) Evaluation(listener, result, policy string) {
	if m == nil {
		return
	}
	m.evaluations.WithLabelValues(m.listener(listener), known(results, result), known(policies, policy)).Inc()
}

// TempError counts an author domain of which a failed lookup left the result
// open, by whose fault it was.
func (m *Metrics) TempError(cause string) {
	if m == nil {
		return
	}
	m.temperrors.WithLabelValues(known(causes, cause)).Inc()
}

// Pass counts a DMARC pass by the mechanism that carried it.
func (m *Metrics) Pass(via string) {
	if m == nil {
		return
	}
	m.passes.WithLabelValues(known(vias, via)).Inc()
}

// Skipped counts a message that was not evaluated.
func (m *Metrics) Skipped(listener, why string) {
	if m == nil {
		return
	}
	m.skips.WithLabelValues(m.listener(listener), known(skips, why)).Inc()
}

// UnknownClient counts a message that was evaluated without SPF.
func (m *Metrics) UnknownClient(why string) {
	if m == nil {
		return
	}
	m.unknown.WithLabelValues(known(unknownClients, why)).Inc()
}

// Disposition counts what the owner requested and what was applied, and why
// the two differ (reason is empty when they do not).
func (m *Metrics) Disposition(listener, requested, done, reason string) {
	if m == nil {
		return
	}
	m.dispositions.WithLabelValues(m.listener(listener), known(policies, requested), known(applied, done), known(reasons, reason)).Inc()
}

// PolicySource counts where discovery found the record.
func (m *Metrics) PolicySource(source string) {
	if m == nil {
		return
	}
	m.policySource.WithLabelValues(known(sources, source)).Inc()
}

// SPF counts an SPF result of one identity, mailfrom or helo.
func (m *Metrics) SPF(result, identity string) {
	if m == nil {
		return
	}
	m.spf.WithLabelValues(known(spfResults, result), known(identities, identity)).Inc()
}

// Compared counts a comparison of the methods of discovery: nothing for equal,
// "unready", or what differs.
func (m *Metrics) Compared(differs []string) {
	switch {
	case m == nil:
	case len(differs) == 0:
		m.compared.WithLabelValues("same").Inc()
	case differs[0] == "unready":
		m.compared.WithLabelValues("unready").Inc()
	default:
		m.compared.WithLabelValues("different").Inc()
		for _, what := range differs {
			m.differences.WithLabelValues(known(differences, what)).Inc()
		}
	}
}

// Evidence counts what the profile conformant went by; nothing when it did not
// have to weigh anything.
func (m *Metrics) Evidence(evidence string) {
	if m == nil || evidence == "" {
		return
	}
	m.evidence.WithLabelValues(known(evidences, evidence)).Inc()
}

// ARC counts a chain; a message without one has none to count.
func (m *Metrics) ARC(result string) {
	if m == nil || result == "none" {
		return
	}
	m.arc.WithLabelValues(known(arcResults, result)).Inc()
}

// DKIM counts a signature. bits is the size of an RSA key, 0 when no key was
// seen; ed25519 keys are told by the algorithm.
func (m *Metrics) DKIM(result, algorithm string, bits int) {
	if m == nil {
		return
	}
	m.dkim.WithLabelValues(known(dkimResults, result), known(algorithms, algorithm)).Inc()
	if class := keyClass(algorithm, bits); class != "" {
		m.keyBits.WithLabelValues(class).Inc()
	}
}

func keyClass(algorithm string, bits int) string {
	switch {
	case bits <= 0:
		return ""
	case algorithm == "ed25519-sha256":
		return "ed25519"
	case bits < 1024:
		return "<1024"
	case bits == 1024:
		return "1024"
	case bits < 2048:
		return "1025-2047"
	case bits == 2048:
		return "2048"
	}
	return ">2048"
}

// RecordMalformed counts a kind of defect found in a published record.
func (m *Metrics) RecordMalformed(record, defect string) {
	if m == nil {
		return
	}
	m.malformed.WithLabelValues(known(recordKinds, record), known(defects, defect)).Inc()
}

// FromMalformed counts a From field without exactly one author domain.
func (m *Metrics) FromMalformed(defect string) {
	if m == nil {
		return
	}
	m.fromMalformed.WithLabelValues(known(fromDefects, defect)).Inc()
}

// ForgedRemoved counts header fields that came from outside, although only we
// may write them, and were removed.
func (m *Metrics) ForgedRemoved(listener, field string, n int) {
	if m == nil || n == 0 {
		return
	}
	m.forged.WithLabelValues(m.listener(listener), known(forgedFields, field)).Add(float64(n))
}

// CacheRequest counts a lookup by how the cache served it.
func (m *Metrics) CacheRequest(purpose, outcome string) {
	if m == nil {
		return
	}
	m.cacheCounter(purpose, outcome).Inc()
}

// CacheHits counts lookups that the cache served, with records and without.
func (m *Metrics) CacheHits(purpose string, hits, negative int) {
	if m == nil {
		return
	}
	if hits > 0 {
		m.cacheCounter(purpose, "hit").Add(float64(hits))
	}
	if negative > 0 {
		m.cacheCounter(purpose, "negative_hit").Add(float64(negative))
	}
}

// cacheCounter finds a series without a look into the vector, which would cost
// more than the lookup that is counted.
func (m *Metrics) cacheCounter(purpose, outcome string) prometheus.Counter {
	p, o := slices.Index(purposes, purpose), slices.Index(outcomes, outcome)
	if p < 0 || o < 0 {
		return m.cacheRequests.WithLabelValues(known(purposes, purpose), known(outcomes, outcome))
	}
	return m.cacheRequest[p][o]
}

// Query counts a query sent to a server, and its latency.
func (m *Metrics) Query(purpose, result string, d time.Duration) {
	if m == nil {
		return
	}
	m.queries.WithLabelValues(known(purposes, purpose), known(queryKinds, result)).Inc()
	m.queryDuration.WithLabelValues(known(purposes, purpose)).Observe(d.Seconds())
}

// QueryInFlight moves the number of queries that wait for a server.
func (m *Metrics) QueryInFlight(delta int) {
	if m == nil {
		return
	}
	m.dnsInFlight.Add(float64(delta))
}

// DNSPressure counts a lookup that gave way.
func (m *Metrics) DNSPressure(class, by string) {
	if m == nil {
		return
	}
	m.dnsPressure.WithLabelValues(known(lookupClasses, class), known(pressures, by)).Inc()
}

// DNSWrongReply counts a datagram that came as a reply and is none.
func (m *Metrics) DNSWrongReply(why string) {
	if m == nil {
		return
	}
	m.dnsWrong.WithLabelValues(known(wrongReplies, why)).Inc()
}

// CacheSize sets the size of the cache.
func (m *Metrics) CacheSize(entries int, bytes uint64) {
	if m == nil {
		return
	}
	m.cacheEntries.Set(float64(entries))
	m.cacheBytes.Set(float64(bytes))
}

// CacheEvicted counts an entry that left the cache.
func (m *Metrics) CacheEvicted(reason string) {
	if m == nil {
		return
	}
	m.cacheEvictions.WithLabelValues(known(evictions, reason)).Inc()
}

// Recorded counts a result that was written.
func (m *Metrics) Recorded() {
	if m == nil {
		return
	}
	m.storeRecords.WithLabelValues("written").Inc()
}

// RecordLate counts a result whose message was answered before the commit.
func (m *Metrics) RecordLate() {
	if m == nil {
		return
	}
	m.storeLate.Inc()
}

// RecordDropped counts a result that was lost, with its cause.
func (m *Metrics) RecordDropped(why string) {
	if m == nil {
		return
	}
	m.storeRecords.WithLabelValues("dropped").Inc()
	m.storeDropped.WithLabelValues(known(drops, why)).Inc()
}

// StoreCommit observes one commit and remembers when it was.
func (m *Metrics) StoreCommit(d time.Duration, at time.Time) {
	if m == nil {
		return
	}
	m.storeWrite.Observe(d.Seconds())
	m.storeLastCommit.Set(seconds(at))
}

// StoreQueue sets the number of results that wait for the writer.
func (m *Metrics) StoreQueue(n int) {
	if m == nil {
		return
	}
	m.storeQueue.Set(float64(n))
}

// Suspended tells until when no listener enforces anything by an operator's
// order; the zero time is no such order.
func (m *Metrics) Suspended(until time.Time) {
	switch {
	case m == nil:
	case until.IsZero():
		m.suspended.Set(0)
	default:
		m.suspended.Set(seconds(until))
	}
}

// ConfigRead notes whether the configuration could be read, at the start and
// at each reload.
func (m *Metrics) ConfigRead(ok bool, at time.Time) {
	if m == nil {
		return
	}
	if !ok {
		m.reloadOK.Set(0)
		return
	}
	m.reloadOK.Set(1)
	m.reloadTime.Set(seconds(at))
}

// LogLinesLost counts lines that the log does not have: repeated warnings, or lines that
// syslog did not take.
func (m *Metrics) LogLinesLost(why string, n int) {
	if m == nil {
		return
	}
	m.logLost.WithLabelValues(known(logLosses, why)).Add(float64(n))
}
