package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestARuleHasNoSeriesBeforeItsFirstMatch(t *testing.T) {
	m := New(prometheus.NewRegistry(), nil)
	for _, c := range []prometheus.Collector{m.rules.matches, m.rules.changes, m.rules.lastMatch, m.rules.expiry, m.rules.ruleset} {
		if got := testutil.CollectAndCount(c); got != 0 {
			t.Errorf("series of rules at start = %d; want none", got)
		}
	}
	m.RuleMatched("a-1", "accept", "enforce")
	m.RuleMatched("a-1", "accept", "enforce")
	m.RuleMatched("a-1", "tag", "shadow")
	if got := testutil.ToFloat64(m.rules.matches.WithLabelValues("a-1", "accept", "enforce")); got != 2 {
		t.Errorf("enforced matches = %v; want 2", got)
	}
	if got := testutil.CollectAndCount(m.rules.matches); got != 2 {
		t.Errorf("series of matches = %d; want 2", got)
	}
}

func TestOnly200RulesHaveSeriesOfTheirOwn(t *testing.T) {
	m := New(prometheus.NewRegistry(), nil)
	for range 2 {
		for i := range maxRuleIDs + 5 {
			m.RuleMatched(fmt.Sprintf("r-%d", i), "reject", "enforce")
		}
	}
	if got := testutil.CollectAndCount(m.rules.matches); got != maxRuleIDs+1 {
		t.Errorf("series of matches = %d; want %d and one for the rest", got, maxRuleIDs)
	}
	if got := testutil.ToFloat64(m.rules.matches.WithLabelValues("_other", "reject", "enforce")); got != 10 {
		t.Errorf("matches of further rules = %v; want 10", got)
	}
	if got := testutil.ToFloat64(m.rules.matches.WithLabelValues("r-199", "reject", "enforce")); got != 2 {
		t.Errorf("matches of the last rule with its own series = %v; want 2", got)
	}
}

func TestAllSeriesOfARuleHaveOneLimit(t *testing.T) {
	m := New(prometheus.NewRegistry(), nil)
	now := time.Unix(1_800_000_000, 0)
	for i := range maxRuleIDs + 5 {
		id := fmt.Sprintf("r-%d", i)
		m.RuleLastMatch(id, now.Add(time.Duration(i)*time.Second))
		m.RuleShadowChanged(id, "accept", "reject")
	}
	if got := testutil.CollectAndCount(m.rules.lastMatch) + testutil.CollectAndCount(m.rules.changes); got != 2*(maxRuleIDs+1) {
		t.Errorf("series of both = %d; want %d and one for the rest of each", got, 2*maxRuleIDs)
	}
	if got := testutil.ToFloat64(m.rules.changes.WithLabelValues("_other", "accept", "reject")); got != 5 {
		t.Errorf("changes of further rules = %v; want 5", got)
	}
	if got := testutil.ToFloat64(m.rules.lastMatch.WithLabelValues("_other")); got != 1_800_000_204 {
		t.Errorf("last match of further rules = %v; want that of the last of them", got)
	}
}

func TestTheLastMatchNeverGoesBack(t *testing.T) {
	m := New(prometheus.NewRegistry(), nil)
	now := time.UnixMilli(1_800_000_000_500)
	for _, at := range []time.Time{now, now.Add(-time.Hour), {}} {
		m.RuleLastMatch("a-1", at)
		if got := testutil.ToFloat64(m.rules.lastMatch.WithLabelValues("a-1")); got != 1_800_000_000.5 {
			t.Errorf("last match after %v = %v; want the first", at, got)
		}
	}
	m.RuleLastMatch("a-1", now.Add(time.Hour))
	if got := testutil.ToFloat64(m.rules.lastMatch.WithLabelValues("a-1")); got != 1_800_003_600.5 {
		t.Errorf("last match = %v; want the later one", got)
	}
	m.RuleLastMatch("never", time.Time{})
	if got := testutil.CollectAndCount(m.rules.lastMatch); got != 1 {
		t.Errorf("series of last matches = %d; want none of a rule that did not match", got)
	}
}

func TestOnlyRulesActiveExpire(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := New(reg, nil)
	m.RuleExpiry(map[string]time.Time{"gone": time.Unix(1, 0), "a-1": time.Unix(2, 0)})
	m.RuleExpiry(map[string]time.Time{"a-1": time.Unix(1_800_000_000, 0), "b": time.UnixMilli(1_700_000_000_250), "never": {}})
	want := "# HELP dmarcgate_rule_expiry_timestamp_seconds Time from which on a rule matches nothing.\n# TYPE dmarcgate_rule_expiry_timestamp_seconds gauge\n" +
		"dmarcgate_rule_expiry_timestamp_seconds{rule=\"a-1\"} 1.8e+09\ndmarcgate_rule_expiry_timestamp_seconds{rule=\"b\"} 1.70000000025e+09\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "dmarcgate_rule_expiry_timestamp_seconds"); err != nil {
		t.Error(err)
	}
	m.RuleExpiry(nil)
	if got := testutil.CollectAndCount(m.rules.expiry); got != 0 {
		t.Errorf("series of expiry without rules = %d; want none", got)
	}
}

func TestTheRulesThatExpireFirstHaveSeries(t *testing.T) {
	m := New(prometheus.NewRegistry(), nil)
	expires := map[string]time.Time{"no id!": time.Unix(5000, 0)}
	for i := range maxRuleIDs + 5 {
		expires[fmt.Sprintf("r-%d", i)] = time.Unix(1000+int64(i), 0)
		expires[fmt.Sprintf("never-%d", i)] = time.Time{}
	}
	m.RuleExpiry(expires)
	if got := testutil.CollectAndCount(m.rules.expiry); got != maxRuleIDs+1 {
		t.Errorf("series of expiry = %d; want %d and one for the rest", got, maxRuleIDs)
	}
	for id, want := range map[string]float64{"r-0": 1000, "r-199": 1199, "_other": 1200} {
		if got := testutil.ToFloat64(m.rules.expiry.WithLabelValues(id)); got != want {
			t.Errorf("expiry of %s = %v; want %v", id, got, want)
		}
	}
	m.RuleMatched("z", "accept", "enforce")
	if got := testutil.ToFloat64(m.rules.matches.WithLabelValues("z", "accept", "enforce")); got != 1 {
		t.Error("rules that expire take the place of one that matches")
	}
}

func TestWarningsAboutRulesAreAGauge(t *testing.T) {
	m := New(prometheus.NewRegistry(), nil)
	for _, n := range []int{3, 0} {
		m.RulesWarnings(n)
		if got := testutil.ToFloat64(m.rules.warnings); got != float64(n) {
			t.Errorf("RulesWarnings(%d) = %v", n, got)
		}
		m.RulesDemoted(n)
		if got := testutil.ToFloat64(m.rules.demoted); got != float64(n) {
			t.Errorf("RulesDemoted(%d) = %v", n, got)
		}
	}
}

func TestWhatIsNoIdOfARuleIsNoLabelValue(t *testing.T) {
	m := New(prometheus.NewRegistry(), nil)
	for _, id := range []string{"", "evil.example", "A", "a b", "a\n", strings.Repeat("a", 65)} {
		m.RuleMatched(id, "evil", "evil")
		m.RuleShadowChanged(id, "evil", "evil")
		m.RuleLastMatch(id, time.Unix(1, 0))
		m.RuleExpiry(map[string]time.Time{id: time.Unix(1, 0)})
	}
	if got := testutil.ToFloat64(m.rules.matches.WithLabelValues("_other", "other", "other")); got != 6 {
		t.Errorf("matches as others = %v; want 6", got)
	}
	if got := testutil.ToFloat64(m.rules.changes.WithLabelValues("_other", "other", "other")); got != 6 {
		t.Errorf("changes as others = %v; want 6", got)
	}
	for _, c := range []prometheus.Collector{m.rules.matches, m.rules.changes, m.rules.lastMatch, m.rules.expiry} {
		if got := testutil.CollectAndCount(c); got != 1 {
			t.Errorf("series = %d; want 1", got)
		}
	}
}

func TestOnlyTheRulesActiveAreShown(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := New(reg, nil)
	m.Ruleset("0123456789ab", 3)
	m.Ruleset("ba9876543210", 4)
	want := "# HELP dmarcgate_ruleset_info A constant 1, labelled by the active rules.\n# TYPE dmarcgate_ruleset_info gauge\n" +
		"dmarcgate_ruleset_info{rules=\"4\",sha256=\"ba9876543210\"} 1\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "dmarcgate_ruleset_info"); err != nil {
		t.Error(err)
	}
	var none *Metrics
	none.RuleMatched("a", "accept", "enforce")
	none.RuleShadowChanged("a", "accept", "reject")
	none.RuleLastMatch("a", time.Now())
	none.RuleExpiry(map[string]time.Time{"a": time.Now()})
	none.RulesWarnings(1)
	none.Ruleset("", 0)
}
