package metrics

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxRuleIDs is how many rules have series of their own, in the life of
	// the process: ids that a reload has removed keep theirs, because counters
	// must not vanish. Our limit, for the sake of the server that scrapes.
	maxRuleIDs = 200

	// maxRuleID is the longest id that rules can have.
	maxRuleID = 64

	// otherRule cannot be the id of a rule.
	otherRule = "_other"
)

// ruleMetrics tell what the operator's rules do.
type ruleMetrics struct {
	matches, changes           *prometheus.CounterVec
	lastMatch, expiry, ruleset *prometheus.GaugeVec
	warnings, demoted          prometheus.Gauge
	ids                        *ruleIDs
}

func newRuleMetrics(f factory) ruleMetrics {
	rule := label{name: "rule"}
	return ruleMetrics{
		matches:   f.counter("rule_matches_total", "Messages that a rule decided, or would have.", rule, label{name: "action"}, label{name: "mode"}),
		changes:   f.counter("rule_shadow_changes_total", "Messages that a rule in shadow mode would have answered otherwise.", rule, label{name: "from"}, label{name: "to"}),
		lastMatch: f.gauge("rule_last_match_timestamp_seconds", "Time of the last message that a rule matched.", rule),
		expiry:    f.gauge("rule_expiry_timestamp_seconds", "Time from which on a rule matches nothing.", rule),
		ruleset:   f.gauge("ruleset_info", "A constant 1, labelled by the active rules.", label{name: "sha256"}, label{name: "rules"}),
		warnings:  f.plainGauge("rules_warnings", "Warnings about the active rules."),
		demoted:   f.plainGauge("rules_demoted", "Rules that are not enforced since the start because this version refuses them."),
		ids:       &ruleIDs{seen: make(map[string]bool), last: make(map[string]time.Time)},
	}
}

// ruleIDs remembers which rules have series.
type ruleIDs struct {
	mu   sync.Mutex
	seen map[string]bool
	last map[string]time.Time // match, by label value
}

// label returns the label value of a rule.
func (r *ruleIDs) label(id string) string {
	if !isRuleID(id) {
		return otherRule
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[id] {
		return id
	}
	if len(r.seen) >= maxRuleIDs {
		return otherRule
	}
	r.seen[id] = true
	return id
}

func isRuleID(id string) bool {
	return id != "" && len(id) <= maxRuleID && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// RuleMatched counts a message that a rule decided or keeps out of reports
// (mode enforce), or would have (shadow), by the answer that comes of it:
// accept, tag, hold, tempfail or reject. Only ids of rules that are loaded may
// be counted.
func (m *Metrics) RuleMatched(rule, action, mode string) {
	if m == nil {
		return
	}
	m.rules.matches.WithLabelValues(m.rules.ids.label(rule), known(ruleActions, action), known(ruleModes, mode)).Inc()
}

// RuleShadowChanged counts a message with which a rule in shadow mode would
// have done another thing than was done. Both are actions of RuleMatched.
func (m *Metrics) RuleShadowChanged(rule, done, would string) {
	if m == nil {
		return
	}
	m.rules.changes.WithLabelValues(m.rules.ids.label(rule), known(ruleActions, done), known(ruleActions, would)).Inc()
}

// RuleLastMatch notes when a rule matched: at each match, and at start what
// the store knows of the active rules. An earlier time than the one known
// changes nothing.
func (m *Metrics) RuleLastMatch(rule string, at time.Time) {
	if m == nil || at.IsZero() {
		return
	}
	ids := m.rules.ids
	value := ids.label(rule)
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if at.After(ids.last[value]) {
		ids.last[value] = at
		m.rules.lastMatch.WithLabelValues(value).Set(seconds(at))
	}
}

// RuleExpiry tells when the active rules expire, by id; a zero time is never.
// Series of other rules are removed. They take no place from rules that match:
// the maxRuleIDs that expire first have series, and of the others it shows
// when the next one does.
func (m *Metrics) RuleExpiry(expires map[string]time.Time) {
	if m == nil {
		return
	}
	ids := slices.DeleteFunc(slices.Collect(maps.Keys(expires)), func(id string) bool { return expires[id].IsZero() })
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(expires[a].Compare(expires[b]), cmp.Compare(a, b)) })
	m.rules.expiry.Reset()
	for i, id := range slices.Backward(ids) { // so that the first of the others is the one that stays
		value := id
		if i >= maxRuleIDs || !isRuleID(id) {
			value = otherRule
		}
		m.rules.expiry.WithLabelValues(value).Set(seconds(expires[id]))
	}
}

// RulesWarnings sets how many warnings there are about the active rules.
func (m *Metrics) RulesWarnings(n int) {
	if m == nil {
		return
	}
	m.rules.warnings.Set(float64(n))
}

// RulesDemoted sets how many rules are not enforced because this version refuses
// them.
func (m *Metrics) RulesDemoted(n int) {
	if m == nil {
		return
	}
	m.rules.demoted.Set(float64(n))
}

// Ruleset tells which rules are active: the hash of the set, and how many
// there are. The series of the set before is removed.
func (m *Metrics) Ruleset(hash string, rules int) {
	if m == nil {
		return
	}
	m.rules.ruleset.Reset()
	m.rules.ruleset.WithLabelValues(hash, strconv.Itoa(rules)).Set(1)
}
