package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"dmarcgate/site"
)

// TestUsageErrorsNameFlagOrLine runs command lines that must be changed first:
// exit code 2, nothing on standard output, and an error that names the flag or
// the line.
func TestUsageErrorsNameFlagOrLine(t *testing.T) {
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
		{append(explain, "--client", "x", "--mail-from", "a@b.example"), "--client"},
		{append(explain, "--client", "192.0.2.1", "--mail-from", "postmaster"), "--mail-from"},
		{append(explain, "--client", "192.0.2.1", "--mail-from", "<>", "--listener", "nosuch"), "--listener"},
		{[]string{"tail", "--client", "300.1.1.1", "-c", cfg}, "--client"},
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
		{[]string{"results", "purge", "--client", "1.2.3.4.5", "-c", cfg}, "--client"},
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

// TestHelpListsValuesOfEnumerations looks at every flag and argument that takes one
// of a list of words: help and errors name them all.
func TestHelpListsValuesOfEnumerations(t *testing.T) {
	parser, err := kong.New(&cli{}, kong.Vars{"config": site.DefaultConfig})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, cmd := range parser.Model.Leaves(false) {
		values := slices.Clone(cmd.Positional)
		for _, f := range cmd.Flags {
			values = append(values, f.Value)
		}
		for _, v := range values {
			if v.Enum == "" {
				continue
			}
			found++
			for _, word := range v.EnumSlice() {
				if !strings.Contains(v.Help, word) {
					t.Errorf("%s %s: the help %q lacks %q", cmd.FullPath(), v.Name, v.Help, word)
				}
			}
		}
	}
	if found < 6 {
		t.Errorf("%d enumerations; want all of them", found)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"tail", "--result", "x"}, `--result: "x" is not one of pass, fail, none, temperror, permerror` + "\n"},
		{[]string{"tail", "--action", "rejct"}, `--action: "rejct" is not one of accept, tag, hold, reject, tempfail; did you mean reject?`},
		{[]string{"top", "failling"}, `<what>: "failling" is not one of failing, overridden, new-senders, malformed; did you mean failing?`},
		{[]string{"completion", "csh"}, `<shell>: "csh" is not one of bash, zsh, fish`},
		{[]string{"what-if", "--profile", "q\" but got \"r"}, `is not one of monitor, conformant, strict`},
		{[]string{"results", "export", "--format", "\x1b[2J"}, `--format: "\x1b[2J" is not one of jsonl, csv`},
		{[]string{"cache", "dump", "--type", "NS"}, `"NS" is not one of A, AAAA, MX, PTR, SOA, TXT`},
	} {
		if code, _, stderr := command(tt.args...); code != exitUsage || !strings.Contains(stderr, tt.want) {
			t.Errorf("run(%q) = %d, %q; want %d and %q", tt.args, code, stderr, exitUsage, tt.want)
		}
	}
}

func TestDemoShowsNextSteps(t *testing.T) {
	code, out, stderr := command("demo")
	for _, want := range []string{"dmarcgate demo --keep", "dmarcgate lookup DOMAIN", "docs/walkthrough.md", "README.md"} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("demo = %d, %s%s; want %q at its end", code, out, stderr, want)
		}
	}
}
