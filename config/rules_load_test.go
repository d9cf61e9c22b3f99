package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dmarcgate/policy"
)

// siteRules are n rules that differ, each with a test, in files of 200.
func siteRules(n int) map[string]string {
	files := make(map[string]string)
	for i := range n {
		files[fmt.Sprintf("%03d.toml", i/200)] += fmt.Sprintf(`[[rule]]
id = "r-%d"
owner = "postmaster@example.org"
created = 2026-11-02
expires = 2027-05-01
mode = "%s"
priority = %d
action = "accept"
reason = "trusted_forwarder"
[rule.match]
client_ip = ["10.%d.%d.0/28"]
header_from = ["org:author-%d.example"]
[[rule.test]]
given = { from = "author-%d.example", ip = "10.%d.%d.1", policy = "reject", spf = "fail" }
expect = { rule = "r-%d", applied = "none" }
`, i, []string{"enforce", "shadow", "off"}[i%3], i%1000, i/256, i%256, i, i, i/256, i%256, i)
	}
	return files
}

func TestTenThousandRulesWithTestsAreLoaded(t *testing.T) {
	dir := ruleDir(t, siteRules(policy.MaxRules))
	begin := time.Now()
	s, err := LoadRules(dir, RuleOptions{LintOptions: policy.LintOptions{Now: midnight(2026, 11, 3)}})
	if err != nil {
		t.Fatal(strings.SplitN(err.Error(), "\n", 20)[0])
	}
	t.Logf("%d rules, %d tests, %d warnings in %v", s.Rules.Len(), s.Tests, len(s.Findings), time.Since(begin))
	if s.Rules.Len() != policy.MaxRules || s.Tests != policy.MaxRules {
		t.Errorf("%d rules with %d tests; want %d of both", s.Rules.Len(), s.Tests, policy.MaxRules)
	}
}
