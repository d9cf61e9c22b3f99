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
	"dmarcgate/site"
)

// broken are ways to break the configuration of a daemon, by name: its text
// before and after.
var broken = map[string][2]string{
	"an unknown key": {`quarantine = "tag"`, `quarantin = "tag"`},
	"a wrong word":   {`profile = "strict"`, `profile = "sternly"`},
	"no TOML":        {`[dns]`, `[[[dns]`},
	"a wrong type":   {`query_timeout = "1s"`, `query_timeout = 1`},
	"a line left":    {`[admin]`, "<<<<<<< HEAD\n[admin]"},
	"no quotes":      {`quarantine = "tag"`, `quarantine = tag`},
}

func TestReloadWithBrokenFileAsksDaemon(t *testing.T) {
	for name, text := range broken {
		t.Run(name, func(t *testing.T) {
			o := newOrders(t)
			daemontest.Change(t, o.d.path, text[0], text[1])
			cfg := o.d.path
			code, out, stderr := command("reload", "-c", cfg)
			if code != exitFailed || !strings.Contains(stderr, "the daemon keeps its settings:\n"+cfg+":") || !strings.Contains(stderr, "read from the broken file") {
				t.Errorf("reload = %d, %s%s; want %d, the daemon's answer with the line, and where it was found", code, out, stderr, exitFailed)
			}
			if !metricLine(t, o.d, "dmarcgate_config_last_reload_successful 0") {
				t.Error("the metric of the last reload is not 0")
			}
			if code, out, stderr := command("status", "-c", cfg); code != exitOK || !strings.Contains(out, "last reload failed") || !strings.Contains(stderr, "asking the daemon at "+o.d.Inputs().Config.Admin.Control) {
				t.Errorf("status = %d, %s%s; want the failure", code, out, stderr)
			}
			if code, out, stderr := command("cache", "show", "bank.example", "-c", cfg); code != exitOK {
				t.Errorf("cache show = %d, %s%s; want what is cached", code, out, stderr)
			}
			for _, args := range [][]string{{"cache", "dump"}, {"cache", "flush", "--all"}, {"monitor", "--end"}, {"results", "adopt"}, {"what-if"}} {
				if code, out, stderr := command(append(args, "-c", cfg)...); code != exitUsage {
					t.Errorf("%q = %d, %s%s; want %d: it changes something, or needs the whole file", args, code, out, stderr, exitUsage)
				}
			}
		})
	}
}

func TestStatusWithoutFileUsesDefaultSocket(t *testing.T) {
	if _, err := os.Stat(site.DefaultConfig); err == nil {
		t.Skip("this host has a dmarcgate")
	}
	for _, args := range [][]string{{"status"}, {"reload"}, {"tail"}, {"tail", "--listener", "mta", "--rule", "r"}, {"cache", "show", "a.example"}} {
		code, out, stderr := command(args...)
		if code != exitFailed || !strings.Contains(stderr, "asking the daemon at /var/lib/dmarcgate/control.sock, the default place") || !strings.Contains(stderr, "is it running?") {
			t.Errorf("%q = %d, %s%s; want %d, and the place that was asked", args, code, out, stderr, exitFailed)
		}
	}
}

func TestLookupTopAndExplainWithBrokenFile(t *testing.T) {
	for name, text := range broken {
		t.Run(name, func(t *testing.T) {
			d := daemonWithARow(t)
			cfg := d.path
			before, err := os.ReadFile(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(before), text[0]) {
				t.Skipf("this daemon's file has no %s", text[0])
			}
			daemontest.Change(t, d.path, text[0], text[1])
			dns := dnstest.New(t, daemontest.Zone).Addr()
			mail := write(t, "m.eml", "From: a@bank.example\n\nhello\n")
			said := "continuing with the readable part of the configuration"
			if code, out, stderr := command("lookup", "bank.example", "-c", cfg, "--dns", dns); code != exitOK || !strings.Contains(out, "p=reject") || !strings.Contains(stderr, said) {
				t.Errorf("lookup = %d, %s%s; want the record", code, out, stderr)
			}
			code, out, stderr := command("explain", mail, "--client", "192.0.2.1", "--helo", "[192.0.2.1]", "--mail-from", "a@bank.example", "-c", cfg, "--dns", dns)
			if code != exitOK || !strings.Contains(out, "bank.example") || !strings.Contains(stderr, said) {
				t.Errorf("explain = %d, %s%s; want the tree", code, out, stderr)
			}
			if name == "no TOML" || name == "a line left" || name == "no quotes" {
				return // where the store is cannot be read
			}
			if code, out, stderr := command("top", "failing", "--since", "30d", "-c", cfg); code != exitOK || !strings.Contains(out, "bank.example") || !strings.Contains(stderr, said) {
				t.Errorf("top = %d, %s%s; want what the store has", code, out, stderr)
			}
			if code, out, stderr := command("results", "status", "-c", cfg); code != exitOK || !strings.Contains(out, "1 rows") {
				t.Errorf("results status = %d, %s%s; want what the file has", code, out, stderr)
			}
		})
	}
}

func TestBrokenRuleStopsOnlyCommandsThatNeedRules(t *testing.T) {
	d := daemonWithARow(t)
	rules := t.TempDir()
	daemontest.PutFile(t, filepath.Join(rules, "a.toml"), "not TOML")
	daemontest.Change(t, d.path, "[[listener]]", fmt.Sprintf("rules_dir = %q\n[[listener]]", rules))
	cfg := d.path
	dns := dnstest.New(t, daemontest.Zone).Addr()
	for _, args := range [][]string{{"lookup", "bank.example", "--dns", dns}, {"top", "failing"}, {"results", "status"}, {"status"}, {"results", "export"}} {
		if code, out, stderr := command(append(args, "-c", cfg)...); code != exitOK {
			t.Errorf("%q = %d, %s%s; want %d: no rule has a say there", args, code, out, stderr, exitOK)
		}
	}
	mail := write(t, "m.eml", "From: a@bank.example\n\nhello\n")
	for _, args := range [][]string{
		{"explain", mail, "--client", "192.0.2.1", "--helo", "[192.0.2.1]", "--mail-from", "a@bank.example"}, {"what-if"}, {"check-config"}, {"rules", "list"},
	} {
		if code, out, stderr := command(append(args, "-c", cfg)...); code != exitUsage || !strings.Contains(stderr, "a.toml:1") {
			t.Errorf("%q = %d, %s%s; want %d, and the line", args, code, out, stderr, exitUsage)
		}
	}
}

func TestResultsStatusReadsTheFileWithoutADaemon(t *testing.T) {
	d := daemonWithARow(t)
	text, err := os.ReadFile(d.path)
	if err != nil {
		t.Fatal(err)
	}
	// The same store, told by a configuration whose daemon does not run.
	here := strings.Replace(string(text), "[admin]", "[admin]\ncontrol = \"/nonexistent/c.sock\"", 1)
	plain := write(t, "plain.toml", here)
	code, out, stderr := command("results", "status", "-c", plain)
	for _, want := range []string{"1 rows", "id " + d.Store().ID(), "free on its file system"} {
		if code != exitOK || !strings.Contains(out, want) || !strings.Contains(stderr, "is it running?") || !strings.Contains(stderr, "showing the data of the file") {
			t.Errorf("results status = %d, %s%s; want %q in it, and why the file was asked", code, out, stderr, want)
		}
	}
	shared := write(t, "shared.toml", here+"\n[store.postgres]\nurl = \"postgres://u@127.0.0.1:1/db\"\n")
	code, out, stderr = command("results", "status", "-c", shared)
	for _, want := range []string{"PostgreSQL: no status from a daemon", "1 rows wait, the oldest for", "hosts: "} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("results status = %d, %s%s; want %q in it", code, out, stderr, want)
		}
	}
	code, out, _ = command("results", "status", "--json", "-c", shared)
	var s admin.ResultsStatus
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != exitOK || s.Rows != 1 || s.Postgres == nil || s.Postgres.Waiting != 1 {
		t.Errorf("results status --json = %d, %s, %v; want a row, which waits", code, out, err)
	}
	for cfg, want := range map[string]string{plain: "[store.postgres] has no url", shared: "127.0.0.1"} {
		if code, out, stderr := command("results", "status", "--all-hosts", "-c", cfg); code != exitFailed || !strings.Contains(stderr, want) || out != "" {
			t.Errorf("results status --all-hosts = %d, %s%s; want %d and %q", code, out, stderr, exitFailed, want)
		}
	}
}
