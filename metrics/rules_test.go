package metrics

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestARuleHasNoSeriesBeforeItsFirstMatch(t *testing.T) {
	m := New(prometheus.NewRegistry(), nil)
	if got := testutil.CollectAndCount(m.rules.matches) + testutil.CollectAndCount(m.rules.ruleset); got != 0 {
		t.Errorf("series of rules at start = %d; want none", got)
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

func TestWhatIsNoIdOfARuleIsNoLabelValue(t *testing.T) {
	m := New(prometheus.NewRegistry(), nil)
	for _, id := range []string{"", "evil.example", "A", "a b", "a\n", strings.Repeat("a", 65)} {
		m.RuleMatched(id, "evil", "evil")
	}
	if got := testutil.ToFloat64(m.rules.matches.WithLabelValues("_other", "other", "other")); got != 6 {
		t.Errorf("matches as others = %v; want 6", got)
	}
	if got := testutil.CollectAndCount(m.rules.matches); got != 1 {
		t.Errorf("series of matches = %d; want 1", got)
	}
}

func TestOnlyTheRulesInForceAreShown(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := New(reg, nil)
	m.Ruleset("0123456789ab", 3)
	m.Ruleset("ba9876543210", 4)
	want := "# HELP dmarcgate_ruleset_info A constant 1, labelled by the rules in force.\n# TYPE dmarcgate_ruleset_info gauge\n" +
		"dmarcgate_ruleset_info{rules=\"4\",sha256=\"ba9876543210\"} 1\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "dmarcgate_ruleset_info"); err != nil {
		t.Error(err)
	}
	var none *Metrics
	none.RuleMatched("a", "accept", "enforce")
	none.Ruleset("", 0)
}
