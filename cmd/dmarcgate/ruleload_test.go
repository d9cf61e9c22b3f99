package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/admin"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/term"
)

func TestRuleWarningsAreInLogStatusAndMetric(t *testing.T) {
	expired := strings.Replace(siteRules, "2099-01-01", "2026-02-01", 1)
	dns := dnstest.New(t, daemontest.Zone)
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{Rules: expired})
	n := len(d.Inputs().Findings())
	if n == 0 {
		t.Fatal("an expired rule has no warning")
	}
	if got := strings.Count(log.String(), "rule warning"); got != n {
		t.Errorf("the log has %d findings; want %d", got, n)
	}
	if !metricLine(t, d, fmt.Sprintf("dmarcgate_rules_warnings %d", n)) {
		t.Errorf("the metric is not %d", n)
	}
	code, out, _ := command("status", "-c", d.path)
	if want := fmt.Sprintf(", %s: see dmarcgate rules lint", term.Count(n, "warning")); code != 0 || !strings.Contains(out, want) {
		t.Errorf("status = %d, %s; want %q in it", code, out, want)
	}
	_, out, _ = command("status", "-c", d.path, "--json")
	var s admin.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.RuleWarnings != n || len(s.RuleFindings) != n || s.RuleFindings[0].Line == 0 || s.RuleFindings[0].Fix == "" {
		t.Errorf("status --json = %s, %v; want %d findings with line and fix", out, err, n)
	}
	if !metricLine(t, d, `dmarcgate_rule_expiry_timestamp_seconds{rule="alumni"} 1.769904e+09`) {
		t.Error("the expiry of the rule is not among the metrics")
	}
}

func TestReloadWithFailingRuleTestKeepsRules(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{Rules: siteRules})
	hash, path := d.Inputs().Rules.Hash(), filepath.Join(filepath.Dir(d.path), "rules", "case.toml")
	daemontest.PutFile(t, path, siteRules+failedTest)
	code, _, stderr := command("reload", "-c", d.path)
	if want := path + ":27"; code != 1 || !strings.Contains(stderr, want) || !strings.Contains(log.String(), want) {
		t.Errorf("reload with a failed test = %d, %s; want 1, and %q there and in the log", code, stderr, want)
	}
	if got := d.Inputs().Rules.Hash(); got != hash || !metricLine(t, d, "dmarcgate_config_last_reload_successful 0") {
		t.Errorf("hash = %s; want %s as before, and the metric at 0", got, hash)
	}
	if s := d.Status(t.Context()); !strings.Contains(s.Failure, path+":27") {
		t.Errorf("status = %+v; want the failure", s)
	}
}

func TestCheckConfigStrict(t *testing.T) {
	cfg, dir := ruledSite(t, strings.Replace(siteRules, "2099-01-01", "2026-02-01", 1))
	code, out, stderr := command("check-config", "-c", cfg)
	for _, want := range []string{"warning: " + dir, "rules in " + dir + ": 2, hash", "; 1 test, 0 maps, ", " is good"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("check-config = %d, %s%s; want %q in it", code, out, stderr, want)
		}
	}
	if code, _, stderr := command("check-config", "--strict", "-c", cfg); code != 1 || !strings.Contains(stderr, "warning") {
		t.Errorf("check-config --strict = %d, %s; want 1", code, stderr)
	}
	code, out, _ = command("check-config", "--json", "-c", cfg)
	var got checked
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || !got.OK || got.Rules != 2 || got.Tests != 1 || len(got.Warnings) == 0 {
		t.Errorf("check-config --json = %d, %s, %v; want the counts and the warnings", code, out, err)
	}
}
