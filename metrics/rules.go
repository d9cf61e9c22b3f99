package metrics

import (
	"strconv"
	"strings"
	"sync"

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

// ruleMetrics count what the operator's rules do.
type ruleMetrics struct {
	matches *prometheus.CounterVec
	ruleset *prometheus.GaugeVec
	ids     *ruleIDs
}

func newRuleMetrics(f factory) ruleMetrics {
	return ruleMetrics{
		matches: f.counter("rule_matches_total", "Messages that a rule decided, or would have.", label{name: "rule"}, label{name: "action"}, label{name: "mode"}),
		ruleset: f.gauge("ruleset_info", "A constant 1, labelled by the rules in force.", label{name: "sha256"}, label{name: "rules"}),
		ids:     &ruleIDs{},
	}
}

// ruleIDs remembers which rules have series.
type ruleIDs struct {
	mu   sync.Mutex
	seen map[string]bool
}

// label returns the label value of a rule.
func (r *ruleIDs) label(id string) string {
	if id == "" || len(id) > maxRuleID || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
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
	if r.seen == nil {
		r.seen = make(map[string]bool)
	}
	r.seen[id] = true
	return id
}

// RuleMatched counts a message that a rule decided (mode enforce), or would
// have decided (shadow), by the answer that the rule gives: accept, tag, hold,
// tempfail or reject. Only ids of rules that are loaded may be counted.
func (m *Metrics) RuleMatched(rule, action, mode string) {
	if m == nil {
		return
	}
	m.rules.matches.WithLabelValues(m.rules.ids.label(rule), known(ruleActions, action), known(ruleModes, mode)).Inc()
}

// Ruleset tells which rules are in force: the hash of the set, and how many
// there are. The series of the set before is removed.
func (m *Metrics) Ruleset(hash string, rules int) {
	if m == nil {
		return
	}
	m.rules.ruleset.Reset()
	m.rules.ruleset.WithLabelValues(hash, strconv.Itoa(rules)).Set(1)
}
