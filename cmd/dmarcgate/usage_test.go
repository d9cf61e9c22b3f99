package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUsageErrorsNameThePlace runs command lines that must be changed first:
// exit code 2, nothing on standard output, and an error that names the flag or
// the line.
func TestUsageErrorsNameThePlace(t *testing.T) {
	dir := t.TempDir()
	cfg := filepath.Join(dir, "dmarcgate.toml")
	rules := filepath.Join(dir, "rules")
	text := fmt.Sprintf("state_dir = %q\nrules_dir = %q\n[[listener]]\nname = \"mta\"\naddress = \"unix:%s/m.sock\"\nprofile = \"monitor\"\n", dir, rules, dir)
	noRules := filepath.Join(dir, "norules.toml")
	for path, text := range map[string]string{
		cfg:                           text,
		noRules:                       strings.Replace(text, rules, rules+"x", 1),
		filepath.Join(dir, "m.eml"):   "From: a@b.example\n\nx\n",
		filepath.Join(rules, "a.txt"): "not a rule file\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	explain := []string{"explain", filepath.Join(dir, "m.eml"), "--helo", "h.example", "-c", cfg}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{append(explain, "--ip", "x", "--mail-from", "a@b.example"), "--ip"},
		{append(explain, "--ip", "192.0.2.1", "--mail-from", "postmaster"), "--mail-from"},
		{append(explain, "--ip", "192.0.2.1", "--mail-from", "<>", "--listener", "nosuch"), "--listener"},
		{[]string{"tail", "--ip", "300.1.1.1", "-c", cfg}, "--ip"},
		{[]string{"tail", "--listener", "nosuch", "-c", cfg}, "it has mta"},
		{[]string{"tail", "--rule", "nosuch", "-c", cfg}, "--rule"},
		{[]string{"tail", "--rule", "nosuch", "-c", noRules}, "norules.toml:2: rules_dir"},
		{[]string{"rules", "show", "nosuch", "-c", cfg}, "nosuch"},
		{[]string{"rules", "list", "--dir", rules + "x", "-c", cfg}, "--dir"},
		{[]string{"rules", "list", "-c", noRules}, "norules.toml:2: rules_dir"},
		{[]string{"check-config", "-c", noRules}, "norules.toml:2: rules_dir"},
		{[]string{"check-config", "-c", cfg + "x"}, "--config"},
		{[]string{"serve", "-c", cfg + "x"}, "--config"},
		{[]string{"lookup", "b.example", "-c", cfg + "x"}, "--config"},
		{[]string{"status", "-c", cfg + "x"}, "--config"},
		{[]string{"reload", "-c", cfg + "x"}, "--config"},
		{[]string{"top", "failing", "-c", cfg + "x"}, "--config"},
		{[]string{"what-if", "--days", "0", "-c", cfg}, "--days"},
		{[]string{"cache", "show", "", "-c", cfg}, "<name>"},
		{[]string{"top", "failing", "--limit", "0", "-c", cfg}, "--limit"},
		{[]string{"results", "purge", "--ip", "1.2.3.4.5", "-c", cfg}, "--ip"},
	} {
		t.Run(strings.Join(tt.args[:2], " ")+" "+tt.want, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := run(tt.args, &stdout, &stderr)
			if code != exitUsage || stdout.String() != "" || !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("run(%q) = %d, stdout %q, stderr %q; want %d and an error with %q", tt.args, code, stdout.String(), stderr.String(), exitUsage, tt.want)
			}
		})
	}
}
