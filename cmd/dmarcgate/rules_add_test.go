package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/results"
)

func TestRulesAddPrintsARuleForAStoredMessage(t *testing.T) {
	row := resultstest.Forwarded(resultstest.SignedBy("lists.example"), func(r *results.Row) { r.Facts.IsList = true })
	cfg := storeWith(t, "", row)
	code, out, stderr := command("rules", "add", "--from-qid", "4XyZ1", "--id", "my-list", "--owner", "lists@receiver.example", "-c", cfg)
	if code != 0 {
		t.Fatalf("rules add = %d, %s", code, stderr)
	}
	r := resultstest.Rules(t, out).Rules.List()[0]
	if r.ID != "my-list" || r.Owner != "lists@receiver.example" || r.Reason != policy.MailingList || len(r.Match.DKIMPass) != 1 {
		t.Errorf("rule = %+v; want the id, the owner, mailing_list, and dkim_pass", r)
	}
	code, out, _ = command("rules", "add", "--from-qid", "4XyZ1", "--json", "-c", cfg)
	var a addedRule
	if err := json.Unmarshal([]byte(out), &a); err != nil || code != 0 || a.ID != "dkim-lists-example" || a.Key != "dkim_pass" || a.TOML == "" {
		t.Errorf("rules add --json = %d, %s, %v; want the rule", code, out, err)
	}
	if code, _, stderr := command("rules", "add", "--from-qid", "nobody", "-c", cfg); code != 1 || !strings.Contains(stderr, `"nobody"`) {
		t.Errorf("rules add of an unknown id = %d, %q; want 1", code, stderr)
	}
	if code, _, stderr := command("rules", "add", "--from-qid", "4XyZ1", "--days", "0", "-c", cfg); code != 2 {
		t.Errorf("rules add --days 0 = %d, %q; want 2", code, stderr)
	}
}

func TestRulesAddProposalFitsExistingRules(t *testing.T) {
	const others = `
[[rule]]
id = "dkim-lists-example"
owner = "x"
created = 2026-01-01
mode = "enforce"
priority = 300
action = "reject"
[rule.match]
author = ["bank.example"]
`
	dir := t.TempDir()
	path := filepath.Join(dir, "a.toml")
	if err := os.WriteFile(path, []byte(others), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := storeWith(t, "", resultstest.Forwarded(resultstest.SignedBy("lists.example")))
	code, out, stderr := command("rules", "add", "--from-qid", "4XyZ1", "-c", cfg, "--dir", dir)
	if code != 0 {
		t.Fatalf("rules add = %d, %s", code, stderr)
	}
	set := resultstest.Rules(t, others+out)
	list := set.Rules.List()
	if list[0].ID != "dkim-lists-example-2" || list[0].Priority != 301 {
		t.Errorf("the rules are %s (%d) and %s; want the new one first, with another id", list[0].ID, list[0].Priority, list[1].ID)
	}
	if want := "# Note: the rule dkim-lists-example decides about"; !strings.Contains(out, want) {
		t.Errorf("rules add = %s\nwant %q in it", out, want)
	}
}
