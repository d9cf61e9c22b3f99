package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/admin"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/policy/sum"
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

// A new version that knows more than the last one must not keep mail from being
// answered, and must not pass over what it knows either.
func TestStatusNamesRulesThatThisVersionRefuses(t *testing.T) {
	open := daemontest.Rule("open", "expires = 2099-01-01\nmode = \"enforce\"\n"+
		"action = \"accept\"\nreason = \"trusted_forwarder\"\n[rule.match]\nspf_pass = [\"gmail.com\"]\n")
	dns := dnstest.New(t, daemontest.Zone)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Rules: open})
	code, out, _ := command("status", "-c", d.path)
	if want := "rule open is NOT ENFORCED (opens_account): "; code != 0 || !strings.Contains(out, want) || !strings.Contains(out, "to enforce the rule: ") {
		t.Errorf("status = %d, %s; want %q and the fix in it", code, out, want)
	}
	_, out, _ = command("status", "-c", d.path, "--json")
	var s admin.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.RulesDemoted != 1 || len(s.DemotedRules) != 1 || s.DemotedRules[0].Rule != "open" {
		t.Errorf("status --json = %s, %v; want the rule", out, err)
	}
	file := filepath.Join(filepath.Dir(d.path), "rules", "case.toml") + ":"
	for _, args := range [][]string{{"reload", "-c", d.path}, {"check-config", "-c", d.path}, {"rules", "lint", "-c", d.path}} {
		if code, out, stderr := command(args...); code == 0 || !strings.Contains(out+stderr, file) {
			t.Errorf("%s = %d, %s%s; want an error in %s", args[0], code, out, stderr, file)
		}
	}
}

func TestExplainAndWhatIfTakeRefusedRuleForOneInShadow(t *testing.T) {
	open := daemontest.Rule("open", "expires = 2099-01-01\nmode = \"enforce\"\n"+
		"action = \"accept\"\nreason = \"trusted_forwarder\"\n[rule.match]\nauthor = [\"bank.example\"]\nmail_from = [\"bank.example\"]\n")
	dns := dnstest.New(t, daemontest.Zone)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Rules: open})
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Send(daemontest.SpoofedMail("4XyZ1")); err != nil {
		t.Fatal(err)
	}
	message := filepath.Join(t.TempDir(), "message.eml")
	if err := os.WriteFile(message, []byte("From: a@bank.example\n\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"explain", "-c", d.path, "--client", "203.0.113.66", "--helo", "x", "--mail-from", "a@bank.example", "--rcpt", "x@receiver.example", message},
		{"explain", "-c", d.path, "--qid", "4XyZ1"},
		{"what-if", "-c", d.path, "--days", "1"},
	} {
		code, out, stderr := command(args...)
		if want := "dmarcgate: rule open is taken for one in shadow"; code != 0 || strings.Count(stderr, want) != 1 || !strings.Contains(stderr, "opens_anybody") {
			t.Errorf("%q = %d, %s, %s; want the decision, and once %q", args, code, out, stderr, want)
		}
	}
	dir := filepath.Join(filepath.Dir(d.path), "rules")
	if code, _, stderr := command("what-if", "-c", d.path, "--rules", dir); code == 0 || !strings.Contains(stderr, "any third party can use the rule") {
		t.Errorf("what-if --rules = %d, %s; want that the rule is refused, as by a reload", code, stderr)
	}
}

// Everybody can write to the files of some pipelines. On the host of the daemon,
// only the owner of the files may.
func TestCheckConfigRefusesRulesThatOthersCanWriteOnThisHost(t *testing.T) {
	cfg, dir := ruledSite(t, daemontest.Rule("a", "mode = \"enforce\"\naction = \"as_published\"\n[rule.match]\nauthor = [\"shop.example\"]\n"))
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command("check-config", "-c", cfg); code == 0 || !strings.Contains(stderr, dir+": can be written by everybody") {
		t.Errorf("check-config = %d, %s; want an error", code, stderr)
	}
	for _, args := range [][]string{{"check-config", "--no-host", "-c", cfg}, {"rules", "lint", "--dir", dir, "-c", "/nowhere"}} {
		if code, out, stderr := command(args...); code != 0 || !strings.Contains(out, "[writable]") {
			t.Errorf("%s = %d, %s%s; want a warning", args[0], code, out, stderr)
		}
	}
}

func TestReloadWithFailingRuleTestKeepsRules(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{Rules: siteRules})
	hash, path := sum.Rules(d.Inputs().Rules), filepath.Join(filepath.Dir(d.path), "rules", "case.toml")
	daemontest.PutFile(t, path, siteRules+failedTest)
	code, _, stderr := command("reload", "-c", d.path)
	if want := path + ":27"; code != 1 || !strings.Contains(stderr, want) || !strings.Contains(log.String(), want) {
		t.Errorf("reload with a failed test = %d, %s; want 1, and %q there and in the log", code, stderr, want)
	}
	if got := sum.Rules(d.Inputs().Rules); got != hash || !metricLine(t, d, "dmarcgate_config_last_reload_successful 0") {
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
