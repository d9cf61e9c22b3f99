package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/site"
)

// whatIfRows are some messages of a site that monitors.
func whatIfRows(t *testing.T) []results.Row {
	s := profileSettings(t, "monitor")
	var rows []results.Row
	add := func(count int, change ...func(*policy.Facts)) {
		for range count {
			r := resultstest.Decided(s, resultstest.Facts(len(rows), change...))
			r.Settings = "monitoring"
			rows = append(rows, r)
		}
	}
	listed := func(f *policy.Facts) {
		f.DKIM = []policy.DKIM{
			{Result: "pass", Domain: "lists.example.org", Selector: "s"},
			{Result: "fail", Domain: f.Authors[0].Org, HeaderOK: true},
		}
		f.Authors[0].Signers, f.IsList = []string{f.Authors[0].Org}, true
		f.Recipients = []string{"receiver.example", "other.example"}
	}
	add(25, resultstest.Verdict(dmarc.Pass, dmarc.Reject))
	add(3, resultstest.Author("one.example", "one.example"), listed)
	add(2, resultstest.Author("mail.two.example", "two.example"), listed)
	add(2, resultstest.Author("three.example", "three.example"), listed)
	add(4, resultstest.Author("shop.example", "shop.example"), resultstest.Verdict(dmarc.Fail, dmarc.Quarantine), func(f *policy.Facts) { f.SPF.Domain = "esp.example" })
	add(2, func(f *policy.Facts) {
		f.SPF, f.Authors[0].SendsMail = policy.SPF{Result: "fail"}, policy.SendsMail{Queried: true, NoMail: policy.NoMailSPF}
	})
	add(1, resultstest.Verdict(dmarc.TempError, 0))
	add(1, func(f *policy.Facts) { f.FromField, f.Authors = policy.FromMissing, nil })
	return rows
}

// profileSettings are the settings of the test configuration with a profile.
func profileSettings(t *testing.T, profile string) policy.Settings {
	t.Helper()
	in, err := site.Load(toolConfig(t, "127.0.0.1:53"), site.AllParts)
	if err != nil {
		t.Fatal(err)
	}
	l := in.Config.Listeners[0]
	if err := l.Profile.UnmarshalText([]byte(profile)); err != nil {
		t.Fatal(err)
	}
	return in.Policy(l)
}

// whatIfCommand runs what-if over these rows.
func whatIfCommand(t *testing.T, args ...string) (code int, stdout, stderr, cfg string) {
	t.Helper()
	cfg = storeWith(t, "", whatIfRows(t)...)
	args = append([]string{"what-if", "-c", cfg, "--since", "2026-11-21", "--until", "2026-11-22"}, args...)
	code, stdout, stderr = command(args...)
	return code, stdout, stderr, cfg
}

func TestWhatIfReportMatchesGolden(t *testing.T) {
	for _, tt := range []struct{ file, flag string }{{"whatif.txt", "--limit=10"}, {"whatif.json", "--json"}} {
		code, out, stderr, cfg := whatIfCommand(t, "--profile", "strict", "--fail-if", "relaxed>0", tt.flag)
		if code != 0 || stderr != "" {
			t.Fatalf("what-if = %d, %s", code, stderr)
		}
		out = strings.ReplaceAll(out, cfg, "dmarcgate.toml")
		if tt.flag == "--json" {
			var v any
			if err := json.Unmarshal([]byte(out), &v); err != nil {
				t.Fatal(err)
			}
			text, err := json.MarshalIndent(v, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			out = string(text) + "\n"
		}
		path := filepath.Join("testdata", tt.file)
		want, err := os.ReadFile(path)
		if os.Getenv("WRITE_WANTED") != "" {
			if err = os.WriteFile(path, []byte(out), 0o644); err == nil {
				want = []byte(out)
			}
		}
		if err != nil || out != string(want) {
			t.Errorf("what-if prints\n%s\nwant what is in %s (%v); WRITE_WANTED=1 writes it anew", out, path, err)
		}
	}
}

func TestWhatIfFailIf(t *testing.T) {
	code, out, stderr, _ := whatIfCommand(t, "--profile", "conformant", "--fail-if", "tightened>5%", "--fail-if", "rejected>=1", "--fail-if", "relaxed>0")
	if code != 1 || !strings.Contains(stderr, `--fail-if "tightened>5%" holds: 15 of 40 messages, 37.50%`) || !strings.Contains(stderr, `"rejected>=1" holds: 2 of`) {
		t.Errorf("what-if = %d, %s; want 1 and what holds", code, stderr)
	}
	if strings.Contains(stderr, "relaxed") || !strings.Contains(out, "relaxed>0  does not hold") || !strings.Contains(out, "READINESS") {
		t.Errorf("what-if prints\n%s%s\nwant the report, and no error for what does not hold", out, stderr)
	}
}

func TestWhatIfReproducesDecisions(t *testing.T) {
	rows := resultstest.Kinds(profileSettings(t, "strict"))
	for i := range rows {
		rows[i].Facts.Time = resultstest.Day.Add(time.Duration(i) * time.Second)
	}
	last := rows[len(rows)-1]
	last.Facts.Authors, last.Facts.QueueID, last.Facts.Skip = rows[8].Facts.Authors, "tampered", policy.Evaluated
	cfg := storeWith(t, "", append(rows, last)...)
	code, out, stderr := command("what-if", "-c", cfg, "--since", "2026-11-21", "--until", "2026-11-22", "--json")
	var got struct {
		Reproduced int `json:"reproduced"`
		Different  int `json:"not_reproduced"`
		Changed    int
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if got.Reproduced != len(rows) || got.Different != 1 || got.Changed != 0 {
		t.Errorf("what-if: %d of %d reproduced, %d not, %d changed; want all, 1, 0", got.Reproduced, len(rows), got.Different, got.Changed)
	}
	if code != 1 || !strings.Contains(stderr, "a fault of this program, please report it; queue ids: tampered") {
		t.Errorf("what-if = %d, %s; want 1 and the queue id", code, stderr)
	}
}

func TestWhatIfTriesRulesOfAnotherDirectory(t *testing.T) {
	dir := t.TempDir()
	rule := daemontest.Rule("lists", "expires = 2027-01-01\nmode = \"enforce\"\naction = \"accept\"\nreason = \"mailing_list\"\n"+
		"[rule.match]\ndkim_pass = [\"lists.example.org\"]\n")
	if err := os.WriteFile(filepath.Join(dir, "lists.toml"), []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr, cfg := whatIfCommand(t, "--rules", dir, "--json") // the profile strict of the configuration
	var got struct {
		Changed int64
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Changed != 8 {
		t.Fatalf("what-if --rules = %d, %s, %v, %s; want 8 changes: all but those of the list", code, out, err, stderr)
	}
	code, out, _ = command("what-if", "--profile", "strict", "-c", cfg, "--rules", dir, "--since", "2026-11-21", "--until", "2026-11-22")
	if code != 0 || strings.Contains(out, "lists.example.org") {
		t.Errorf("what-if --rules = %d\n%s\nwant no list among the forwarders: it has its rule", code, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "lists.toml"), []byte(rule+"oops = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr = command("what-if", "-c", cfg, "--rules", dir); code != 2 || !strings.Contains(stderr, "lists.toml:") {
		t.Errorf("what-if with a wrong rule = %d, %s; want 2 and the place", code, stderr)
	}
}

func TestWhatIfRejectsInvalidFlags(t *testing.T) {
	cfg := storeWith(t, "")
	for _, args := range [][]string{
		{"--days", "0"}, {"--days", "x"}, {"--days", "3", "--since", "24h"}, {"--since", "yesterday"}, {"--until", "2020-01-01"}, {"--limit", "0"},
		{"--profile", "lax"}, {"--listener", "mta"}, {"--fail-if", "relaxed"}, {"--fail-if", "relaxed>1,5"},
	} {
		if code, _, stderr := command(append([]string{"what-if", "-c", cfg}, args...)...); code != 2 || stderr == "" {
			t.Errorf("what-if %q = %d, %q; want 2 and why", args, code, stderr)
		}
	}
	if code, _, stderr := command("what-if", "-c", cfg, "--profile", "strict", "--listener", "gone"); code != 1 || !strings.Contains(stderr, "there is mta") {
		t.Errorf("what-if with an unknown listener = %d, %q; want 1 and those there are", code, stderr)
	}
	two := storeWith(t, "[[listener]]\nname = \"second\"\naddress = \"unix:/run/y.sock\"\nprofile = \"monitor\"\n", whatIfRows(t)...)
	code, out, stderr := command("what-if", "-c", two, "--since", "2026-11-21", "--until", "2026-11-22", "--profile", "monitor", "--listener", "second")
	if code != 0 || !strings.Contains(out, "tightened           15") {
		t.Errorf("what-if for the other listener = %d, %s\n%s\nwant that mta is strict as its configuration says", code, stderr, out)
	}
	code, out, _ = command("what-if", "-c", cfg, "--profile", "strict", "--listener", "mta")
	if code != 0 || !strings.Contains(out, " 0 messages") || !strings.Contains(out, "no message would be answered more severely") {
		t.Errorf("what-if over nothing = %d\n%s\nwant that there is nothing", code, out)
	}
}

func TestWhatIfReportFitsTerminal(t *testing.T) {
	code, out, stderr, _ := whatIfCommand(t, "--profile", "conformant")
	if code != 0 {
		t.Fatal(stderr)
	}
	for line := range strings.Lines(out) {
		if len(line) > 101 && !strings.HasPrefix(line, "what if: ") {
			t.Errorf("line of %d columns: %s", len(line)-1, line)
		}
	}
}

// The commands of the page run, over the store of a daemon that monitors.
func TestWhatIfPageCommandsWork(t *testing.T) {
	cfg := storeWith(t, "", whatIfRows(t)...)
	dir := t.TempDir()
	n := 0
	for _, block := range blocks(t, "docs/whatif.md", "sh") {
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(line, " #")
			args := strings.Fields(strings.ReplaceAll(line, "'", ""))
			if len(args) == 0 {
				continue
			}
			for i, a := range args {
				switch a {
				case "candidate.toml":
					args[i] = cfg
				case "rules.new":
					args[i] = dir
				}
			}
			if !slices.Contains(args, "--config") {
				args = append(args, "-c", cfg)
			}
			n++
			if code, _, stderr := command(args[1:]...); args[0] != "dmarcgate" || args[1] != "what-if" || code != 0 {
				t.Errorf("%q = %d, %s; want a what-if that works", line, code, stderr)
			}
		}
	}
	if n < 5 {
		t.Errorf("the page has %d commands; want some", n)
	}
}
