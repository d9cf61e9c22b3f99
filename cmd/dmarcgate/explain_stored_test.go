package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/explain"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/miltertest"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/site"
)

// A daemon that has refused one message, and still runs.
func daemonWithARow(t *testing.T) *served {
	t.Helper()
	dns := dnstest.New(t, toolZone)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{})
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Send(miltertest.Mail{
		Client: demoThirdParty, Helo: "mx.stranger.example", From: "x@stranger.example", Rcpts: []string{"u@receiver.example"},
		QueueID: "4XyZ1", Message: []byte("From: x@bank.example\r\n\r\nhi\r\n"),
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestExplainQIDBesideRunningDaemon(t *testing.T) {
	d := daemonWithARow(t)
	cfg := d.path
	code, out, stderr := command("explain", "--qid", "4XyZ1", "-c", cfg)
	if code != 0 {
		t.Fatalf("explain --qid = %d, %s", code, stderr)
	}
	for _, want := range []string{
		"client " + demoThirdParty.String(), "dmarc bank.example: fail", "decision: reject", "state answered",
		"active settings and rules, profile strict: the same",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("explain --qid prints\n%s\nwant %q in it", out, want)
		}
	}
	if strings.Contains(out, "DNS lookups") {
		t.Errorf("explain --qid shows lookups:\n%s", out)
	}
	code, out, _ = command("explain", "--qid", "4XyZ1", "-c", cfg, "--profile", "monitor")
	if code != 0 || !strings.Contains(out, "profile monitor: DIFFERENT, accept") {
		t.Errorf("explain --qid --profile monitor = %d\n%s\nwant that it is accepted now", code, out)
	}
	code, out, _ = command("explain", "--qid", "4XyZ1", "-c", cfg, "--listener", "gone")
	if code != 0 || !strings.Contains(out, "decided again: not possible") {
		t.Errorf("explain --qid --listener gone = %d\n%s\nwant that it cannot be decided again", code, out)
	}
	code, out, _ = command("explain", "--qid", "4XyZ1", "-c", cfg, "--json")
	var x explain.Explanation
	if err := json.Unmarshal([]byte(out), &x); err != nil || code != 0 || x.Again == nil || !x.Again.Same || x.Facts.QueueID != "4XyZ1" {
		t.Errorf("explain --qid --json = %d, %s, %v; want the same decision", code, out, err)
	}
	code, out, _ = command("explain", "--qid", "4XyZ1", "-c", cfg, "--for-sender")
	if code != 0 || !strings.Contains(out, "failed DMARC for bank.example") {
		t.Errorf("explain --qid --for-sender = %d\n%s\nwant the text for the sender", code, out)
	}
}

// A message that is larger than a row may be says in every output what was left
// out of its row.
func TestExplainQIDMarksTrimmedRow(t *testing.T) {
	d := daemonWithARow(t)
	cfg := d.path
	client, err := miltertest.Dial(d.Listeners()[0].Addr(), miltertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var rcpts []string
	for i := range 900 {
		rcpts = append(rcpts, fmt.Sprintf("u@%sr%d.example", strings.Repeat("long.", 40), i))
	}
	if _, err := client.Send(miltertest.Mail{
		Client: demoThirdParty, Helo: "mx.stranger.example", From: "x@stranger.example", Rcpts: rcpts,
		QueueID: "4Xlarge", Message: []byte("From: x@bank.example\r\n\r\nhi\r\n"),
	}); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := command("explain", "--qid", "4Xlarge", "-c", cfg)
	if want := "left out, because a stored row has at most 8192 bytes: some of recipients"; code != 0 || !strings.Contains(out, want) || !strings.Contains(out, "profile strict: the same") {
		t.Errorf("explain --qid = %d %s\n%s\nwant %q in it, and the same decision", code, stderr, out, want)
	}
	if code, out, _ := command("explain", "--qid", "4XyZ1", "-c", cfg); code != 0 || strings.Contains(out, "left out") {
		t.Errorf("explain --qid of a usual message = %d\n%s\nwant nothing of what was left out", code, out)
	}
	if out := export(t, cfg, "--format", "jsonl"); !strings.Contains(out, `"trimmed":["recipients"]`) || strings.Count(out, `"trimmed"`) != 1 {
		t.Errorf("results export has\n%.3000s\nwant the mark in one of the two rows", out)
	}
	if out := strings.ReplaceAll(export(t, cfg, "--format", "csv"), "\r", ""); !strings.Contains(out, ",trimmed,pass_by,") || strings.Count(out, ",recipients,,") != 1 {
		t.Errorf("results export --format csv has\n%.3000s\nwant the mark in one of the two rows", out)
	}
	if code, out, stderr := command("what-if", "--since", "1h", "-c", cfg, "--profile", "monitor"); code > 1 {
		t.Errorf("what-if = %d %s\n%s", code, stderr, out)
	}
}

func TestExplainQIDUnknownExitsWith1(t *testing.T) {
	d := daemonWithARow(t)
	if code, _, stderr := command("explain", "--qid", "nobody", "-c", d.path); code != 1 || !strings.Contains(stderr, `"nobody"`) {
		t.Errorf("explain --qid nobody = %d, %q; want 1 and the id", code, stderr)
	}
	cfg := toolConfig(t, "127.0.0.1:53")
	if code, _, stderr := command("explain", "--qid", "4XyZ1", "-c", cfg); code != 1 || !strings.Contains(stderr, "results.db") {
		t.Errorf("explain --qid without a store = %d, %q; want 1 and its file", code, stderr)
	}
	in, err := site.Load(cfg, site.AllParts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(in.Config.Store.Path); err == nil {
		t.Error("explain --qid made a store")
	}
}

// The rules of a daemon that runs may be broken just then; what is stored does not
// depend on them.
func TestExplainQIDWithBrokenRules(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "10.toml"), []byte("[[rule]]\nid = 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := storeWith(t, "", results.Row{Facts: policy.Facts{Time: time.Now(), QueueID: "4XyZ1", Listener: "mta", Client: demoThirdParty}})
	text, err := os.ReadFile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg, fmt.Appendf(nil, "rules_dir = %q\n%s", dir, text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := command("explain", "--qid", "4XyZ1", "-c", cfg)
	if code != 0 || !strings.Contains(out, "decided again: not possible, the rules cannot be read") || !strings.Contains(out, "client "+demoThirdParty.String()) {
		t.Errorf("explain --qid = %d\n%s\nwant the stored message, and that it cannot be decided again", code, out)
	}
	if !strings.Contains(stderr, "10.toml:1:") || !strings.Contains(stderr, "continuing without the rules") {
		t.Errorf("explain --qid says\n%s\nwant what is wrong with the rules", stderr)
	}
	if code, _, _ := command("explain", "--qid", "4XyZ1", "--rule", "x", "-c", cfg); code != exitUsage {
		t.Errorf("explain --qid --rule = %d; want %d, since the rules are queried for", code, exitUsage)
	}
	if code, out, stderr := command("lookup", "-c", cfg, "--dns", dnstest.New(t, toolZone).Addr(), "bank.example"); code == exitUsage || !strings.Contains(out, "bank.example") {
		t.Errorf("lookup = %d, %s%s; want that it needs no rules", code, out, stderr)
	}
}
