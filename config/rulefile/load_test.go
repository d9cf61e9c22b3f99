package rulefile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/ruletest"
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
client = ["10.%d.%d.0/28"]
author = ["org:author-%d.example"]
[[rule.test]]
given = { author = "author-%d.example", client = "10.%d.%d.1", policy = "reject", spf = "fail" }
expect = { rule = "r-%d", applied = "none" }
`, i, []string{"enforce", "shadow", "off"}[i%3], i%1000, i/256, i%256, i, i, i/256, i%256, i)
	}
	return files
}

func TestTenThousandRulesWithTestsAreLoaded(t *testing.T) {
	dir := ruleDir(t, siteRules(policy.MaxRules))
	begin := time.Now()
	s, err := Load(dir, Options{Options: lint.Options{Now: midnight(2026, 11, 3)}})
	if err != nil {
		t.Fatal(strings.SplitN(err.Error(), "\n", 20)[0])
	}
	t.Logf("%d rules, %d tests, %d warnings in %v", s.Rules.Len(), s.Tests, len(s.Findings), time.Since(begin))
	if s.Rules.Len() != policy.MaxRules || s.Tests != policy.MaxRules {
		t.Errorf("%d rules with %d tests; want %d of both", s.Rules.Len(), s.Tests, policy.MaxRules)
	}
}

const relayRule = `[[rule]]
id = "relay"
owner = "o"
created = 2026-11-02
expires = 2027-05-01
mode = "shadow"
action = "accept"
reason = "trusted_forwarder"
[rule.match]
client = ["192.0.2.0/28"]
rcpt_domain = ["example.edu"]
`

func TestLoadRulesRejectsFailingTest(t *testing.T) {
	dir := ruleDir(t, map[string]string{
		"a.toml": relayRule + `[[rule.test]]
given = { author = "bank.example", policy = "reject", client = "192.0.2.3", rcpt = "x@example.edu" }
expect = { rule = "relay", applied = "none" }
[[rule.test]]
given = { author = "bank.example", policy = "reject", client = "192.0.2.3", rcpt = ["x@example.edu", "x@example.com"] }
expect = { rule = "relay", reason = "trusted_forwarder" }
`,
		"b.toml": strings.ReplaceAll(relayRule, "relay", "other") + `[[rule.test]]
given = { author = "bank.example", policy = "reject", client = "192.0.2.3", rcpt = "x@example.edu" }
expect = { rule = "" }
`,
	})
	want := strings.Join([]string{
		`/a.toml:15: rule.test: of rule "relay": expected rule "relay", reason "trusted_forwarder"; came rule "", reason "" ` +
			`(no aligned SPF or DKIM pass: nothing authenticated); fix the rule or the test`,
		`/b.toml:12: rule.test: of rule "other": expected rule ""; came rule "other" (no aligned SPF or DKIM pass: nothing authenticated; rule other); fix the rule or the test`,
	}, "\n")
	_, err := Load(dir, Options{})
	if got := strings.ReplaceAll(fmt.Sprint(err), dir, ""); got != want {
		t.Errorf("Load = \n%s\nwant\n%s", got, want)
	}
	s, err := Load(dir, Options{SkipTests: true})
	if err != nil || s.Tests != 3 || len(ruletest.Run(s.Rules)) != 2 {
		t.Errorf("Load without tests = %v; want 3 tests, 2 of them failed", err)
	}
}

// What keeps one rule from being read does not hide what is wrong with others.
func TestProblemsOfReadingAndOfLintAreReportedTogether(t *testing.T) {
	dir := ruleDir(t, map[string]string{
		"a.toml": strings.Replace(relayRule, "rcpt_domain", "rcpt", 1),
		"b.toml": strings.ReplaceAll(relayRule, "relay", "other") + "listener = [\"mta\"]\n" +
			"[[rule.test]]\ngiven = { author = \"a.example\" }\nexpect = { rule = \"nobody\" }\n",
	})
	_, err := Load(dir, Options{Options: lint.Options{Listeners: []string{}}})
	got := strings.ReplaceAll(fmt.Sprint(err), dir, "")
	if !strings.HasPrefix(got, "/a.toml:11: rule.match.rcpt: ") || !strings.Contains(got, "\n/b.toml:12: rule.match.listener: ") || strings.Contains(got, "nobody") {
		t.Errorf("Load = \n%s\nwant the key of a.toml, the listener of b.toml, and no test of rules that do not work", got)
	}
}

func TestFindingsNameTheLineOfTheirKey(t *testing.T) {
	dir := ruleDir(t, map[string]string{"a.toml": "# ours\n" + relayRule})
	s, err := Load(dir, Options{Options: lint.Options{Now: midnight(2027, 6, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Findings {
		if f.Code == policy.CodeExpired && f.Line == 6 && f.File == dir+"/a.toml" && f.Level == policy.Warning {
			return
		}
	}
	t.Errorf("Findings = %+v; want that the rule has expired, in line 6", s.Findings)
}

func TestTooManyTestsAreRefused(t *testing.T) {
	tests := strings.Repeat("[[rule.test]]\ngiven.author = \"a.example\"\nexpect.applied = \"none\"\n", maxTestsOfRule)
	files := make(map[string]string)
	for i := range maxTests/maxTestsOfRule + 1 {
		files[fmt.Sprintf("%d.toml", i%10)] += strings.Replace(ruleFile(fmt.Sprintf("r-%d", i)), "fail", "none", 1) + tests
	}
	_, err := Load(ruleDir(t, files), Options{})
	if err == nil || !strings.Contains(err.Error(), "has 20100 tests of rules, more than 20000; ") {
		t.Errorf("Load = %.200v; want an error", err)
	}
}
