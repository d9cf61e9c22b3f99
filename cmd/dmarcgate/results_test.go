package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/sqlite"
	"dmarcgate/site"
	siteshape "dmarcgate/site/shape"
)

// failure is a message of an hour ago that failed.
var failure = resultstest.Failure

// storeWith makes a configuration whose store has the rows, without a daemon.
// extra are tables of the configuration.
func storeWith(t *testing.T, extra string, rows ...results.Row) (cfg string) {
	t.Helper()
	cfg = toolConfig(t, "127.0.0.1:53")
	text, err := os.ReadFile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg, append(text, extra...), 0o600); err != nil {
		t.Fatal(err)
	}
	fillStore(t, cfg, rows...)
	return cfg
}

// fillStore puts rows into the store of a configuration.
func fillStore(t *testing.T, cfg string, rows ...results.Row) {
	t.Helper()
	in, err := site.Load(cfg, site.AllParts)
	if err != nil {
		t.Fatal(err)
	}
	key, err := site.QueueIDKey(in.Config.Privacy)
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), site.StoreOptions(in.Config, key, nil, slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		r.Shape = cmp.Or(r.Shape, siteshape.Of(in.Config, nil))
		if out := store.Add(r).Outcome; out != results.Written {
			t.Fatalf("Add() = %v; want written", out)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func someRows() []results.Row {
	rows := []results.Row{failure(1, "bank.example"), failure(2, "news.bank.example"), failure(3, "bank.example"), failure(4, "shop.example")}
	rows[3].Facts.Authors[0].Org, rows[3].Facts.Authors[0].PolicyDomain = "shop.example", "shop.example"
	rows[3].Facts.Authors[0].Defects = []string{"bad_p"}
	return rows
}

func TestTopRankings(t *testing.T) {
	cfg := storeWith(t, "", someRows()...)
	tests := []struct {
		what string
		want []string // words of the first line after the head
	}{
		{"failing", []string{"bank.example", "2", "2", "0", "2"}},
		{"overridden", []string{"bank.example", "local_policy", "2", "2", "0"}},
		{"malformed", []string{"shop.example", "1"}},
		{"new-senders", []string{"shop.example", "203.0.113.0/24"}},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			code, out, stderr := command("top", tt.what, "-c", cfg)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if code != 0 || len(lines) < 2 {
				t.Fatalf("top %s = %d, %s%s; want a table", tt.what, code, out, stderr)
			}
			if got := strings.Fields(lines[1]); len(got) < len(tt.want) || !slices.Equal(got[:len(tt.want)], tt.want) {
				t.Errorf("top %s: first line %q; want it to begin with %q", tt.what, lines[1], tt.want)
			}
			code, out, _ = command("top", tt.what, "-c", cfg, "--json", "--limit", "1")
			var list []map[string]any
			if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 1 {
				t.Errorf("top %s --json --limit 1 = %d, %s, %v; want a list of one", tt.what, code, out, err)
			}
			if code, out, _ := command("top", tt.what, "-c", cfg, "--json", "--since", "1m"); code != 0 || out != "[]\n" {
				t.Errorf("top %s --since 1m = %d, %s; want an empty list", tt.what, code, out)
			}
		})
	}
}

func TestTopRejectsInvalidFlags(t *testing.T) {
	cfg := storeWith(t, "")
	for _, args := range [][]string{
		{"top"}, {"top", "passing"}, {"top", "failing", "--since", "yesterday"}, {"top", "failing", "--limit", "0"}, {"top", "failing", "--since", "-1h"},
	} {
		if code, _, stderr := command(append(args, "-c", cfg)...); code != 2 || stderr == "" {
			t.Errorf("%q = %d, %q; want 2 and why", args, code, stderr)
		}
	}
	if code, _, stderr := command("top", "failing", "--all-hosts", "-c", cfg); code != 1 || !strings.Contains(stderr, "[store.postgres]") {
		t.Errorf("top --all-hosts without PostgreSQL = %d, %q; want 1 and what is missing", code, stderr)
	}
	if code, _, stderr := command("top", "failing", "-c", toolConfig(t, "127.0.0.1:53")); code != 1 || !strings.Contains(stderr, "results.db") {
		t.Errorf("top without a store = %d, %q; want 1 and the file", code, stderr)
	}
}

func TestParseWhenForms(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	tests := []struct {
		in   string
		want time.Time
	}{
		{"", time.Time{}},
		{"24h", now.Add(-24 * time.Hour)},
		{"7d", now.AddDate(0, 0, -7)},
		{"0s", now},
		{"2026-11-01", time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)},
		{"2026-11-01T10:00:00+01:00", time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)},
	}
	for _, tt := range tests {
		if got, err := parseWhen("since", tt.in, now); err != nil || !got.Equal(tt.want) {
			t.Errorf("parseWhen(%q) = %v, %v; want %v", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{"24", "yesterday", "-1h", "2026-13-01", "01.11.2026"} {
		if got, err := parseWhen("since", in, now); err == nil || !strings.Contains(err.Error(), "--since") {
			t.Errorf("parseWhen(%q) = %v, %v; want an error that names the flag", in, got, err)
		}
	}
}

func export(t *testing.T, cfg string, args ...string) string {
	t.Helper()
	code, out, stderr := command(append([]string{"results", "export", "-c", cfg}, args...)...)
	if code != 0 {
		t.Fatalf("results export %q = %d, %s", args, code, stderr)
	}
	return out
}

func TestResultsExportSelectsRows(t *testing.T) {
	cfg := storeWith(t, "", someRows()...)
	tests := []struct {
		args []string
		want []string // queue ids
	}{
		{nil, []string{"q1", "q2", "q3", "q4"}},
		{[]string{"--domain", "news.bank.example"}, []string{"q2"}},
		{[]string{"--domain", "Bank.Example."}, []string{"q1", "q2", "q3"}},
		{[]string{"--domain", "ank.example"}, nil},
		{[]string{"--client", "203.0.113.4"}, []string{"q4"}},
		{[]string{"--domain", "bank.example", "--client", "203.0.113.2/31"}, []string{"q2", "q3"}},
		{[]string{"--since", "1m"}, nil},
		{[]string{"--until", "1m"}, []string{"q1", "q2", "q3", "q4"}},
		{[]string{"--until", "2020-01-01"}, nil},
	}
	for _, tt := range tests {
		var got []string
		for line := range strings.Lines(export(t, cfg, tt.args...)) {
			var r struct {
				State    string
				Facts    policy.Facts
				Decision policy.Decision
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("line %q: %v", line, err)
			}
			if r.State != "answered" || r.Decision.Why == "" {
				t.Errorf("line %s; want its state and decision", line)
			}
			got = append(got, r.Facts.QueueID)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("results export %q = %q; want %q", tt.args, got, tt.want)
		}
	}
}

// What a third party chooses must be text in a spreadsheet, on one line.
func TestResultsExportCSVEscapesText(t *testing.T) {
	hostile := failure(1, "bank.example")
	hostile.Facts.Helo = "=HYPERLINK(\"http://evil.example\",\"click\")"
	hostile.Facts.ClientName = "=SUM(1)\r\nsecond line,\x1b[31m"
	hostile.Facts.QueueID = "+1"
	hostile.Facts.MailFrom = "-2"
	hostile.Facts.SPF.Domain = "+3"
	hostile.Facts.Recipients = slices.Repeat([]string{"receiver.example"}, 200)
	cfg := storeWith(t, "", hostile)
	out := export(t, cfg, "--format", "csv")
	lines, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(lines) != 2 || strings.Count(out, "\n") != 2 {
		t.Fatalf("results export = %q, %v; want a head and one line", out, err)
	}
	want := map[string]string{
		"qid": "'+1", "helo": "'=HYPERLINK(\"http://evil.example\",\"click\")", "client_name": "'=SUM(1)??second line,?[31m", "mail_from": "'-2",
		"recipients": strings.TrimSpace(strings.Repeat("receiver.example ", 50)), "trimmed": "recipients", "spf_domain": "'+3", "result": "fail", "requested": "reject", "disposition": "quarantine",
		"action": "tag", "reason": "local_policy", "client": "203.0.113.1", "state": "answered", "stale": "no",
	}
	for i, name := range lines[0] {
		if w, ok := want[name]; ok && lines[1][i] != w {
			t.Errorf("column %s = %q; want %q", name, lines[1][i], w)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("columns %q are missing in %q", want, lines[0])
	}
}

func TestResultsPurgeAsksAndCounts(t *testing.T) {
	cfg := storeWith(t, "", someRows()...)
	if code, _, stderr := command("results", "purge", "--domain", "bank.example", "-c", cfg); code != 1 || !strings.Contains(stderr, "--yes") {
		t.Errorf("results purge without a terminal = %d, %q; want 1 and --yes", code, stderr)
	}
	if code, out, stderr := command("results", "purge", "--domain", "bank.example", "--dry-run", "-c", cfg); code != 0 || out != "3 results would be deleted\n" {
		t.Errorf("results purge --dry-run = %d, %q, %q; want three", code, out, stderr)
	}
	var out bytes.Buffer
	e := &env{stdout: &out, stderr: io.Discard}
	c := purgeCmd{controlFlags: controlFlags{Config: cfg}, meantFlags: meantFlags{Domain: "news.bank.example", Client: "203.0.113.2"}, Before: "1m"}
	e.ask = func(question string) (bool, error) {
		for _, want := range []string{"news.bank.example", "203.0.113.2/32", "this host", "before 20"} {
			if !strings.Contains(question, want) {
				t.Errorf("question = %q; want %q in it", question, want)
			}
		}
		return false, nil
	}
	if err := c.Run(e); err == nil || out.Len() > 0 {
		t.Errorf("purge after a no = %v, %q; want an error and nothing done", err, out.String())
	}
	e.ask = func(string) (bool, error) { return true, nil }
	if err := c.Run(e); err != nil || out.String() != "1 results deleted\n" {
		t.Errorf("purge after a yes = %v, %q; want one deleted", err, out.String())
	}
	code, stdout, stderr := command("results", "purge", "--domain", "bank.example", "--yes", "--json", "-c", cfg)
	if code != 0 || stdout != `{"deleted":2}`+"\n" {
		t.Errorf("results purge --yes --json = %d, %s%s; want the two that are left", code, stdout, stderr)
	}
	if left := strings.Count(export(t, cfg), "\n"); left != 1 {
		t.Errorf("%d results are left; want one", left)
	}
}

func TestResultsPurgeNeedsSelection(t *testing.T) {
	cfg := storeWith(t, "")
	for _, args := range [][]string{nil, {"--domain", "not a name"}, {"--client", "x"}, {"--before", "yesterday"}} {
		if code, _, stderr := command(append([]string{"results", "purge", "--yes", "-c", cfg}, args...)...); code != 2 || stderr == "" {
			t.Errorf("results purge %q = %d, %q; want 2 and why", args, code, stderr)
		}
	}
}

// The store belongs to the daemon while it runs: it purges, imports and tells.
func TestResultsCommandsUseRunningDaemon(t *testing.T) {
	d := daemonWithARow(t)
	cfg := d.path
	if code, out, stderr := command("results", "purge", "--domain", "shop.example", "--yes", "-c", cfg); code != 0 || out != "0 results deleted\n" || stderr != "" {
		t.Errorf("results purge of what is not there = %d, %q, %q; want 0, by the daemon", code, out, stderr)
	}
	history := write(t, "opendmarc.dat", historyText(3))
	if code, out, stderr := command("import", "opendmarc", history, "-c", cfg); code != 0 || !strings.Contains(out, "3 imported, 0 already present") || stderr != "" {
		t.Errorf("import = %d, %q, %q; want three taken, by the daemon", code, out, stderr)
	}
	code, out, stderr := command("results", "status", "-c", cfg)
	for _, want := range []string{"4 rows", "durability ack", "id " + d.Store().ID(), "free on its file system"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("results status = %d, %s%s; want %q in it", code, out, stderr, want)
		}
	}
	if code, out, _ = command("status", "-c", cfg); code != 0 || !strings.Contains(out, "4 rows") {
		t.Errorf("status = %d, %s; want the rows in it", code, out)
	}
	if code, out, stderr = command("results", "purge", "--domain", "bank.example", "--yes", "-c", cfg); code != 0 || out != "4 results deleted\n" {
		t.Errorf("results purge = %d, %q, %q; want all four deleted", code, out, stderr)
	}
	if code, _, stderr = command("results", "adopt", "-c", cfg); code != 1 || !strings.Contains(stderr, "[store.postgres] has no url") {
		t.Errorf("results adopt without PostgreSQL = %d, %q; want 1 and why", code, stderr)
	}
	code, out, _ = command("results", "status", "-c", cfg, "--json")
	var s admin.ResultsStatus
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 || s.Rows != 0 || s.Deleted["purge"] != 4 || s.Postgres != nil {
		t.Errorf("results status --json = %d, %s, %v; want no rows, and four purged", code, out, err)
	}
}

func TestResultsCommandsWithoutStore(t *testing.T) {
	dns := dnstest.New(t, toolZone)
	d, _ := startDaemon(t, dns.Addr(), daemontest.Config{Extra: "[store]\ndurability = \"off\"\n"})
	for _, args := range [][]string{
		{"results", "status"}, {"results", "adopt"}, {"results", "purge", "--before", "1d", "--yes"}, {"import", "opendmarc", write(t, "h", historyText(1))},
	} {
		if code, _, stderr := command(append(args, "-c", d.path)...); code != 1 || !strings.Contains(stderr, "durability is") {
			t.Errorf("%q = %d, %q; want 1 and that nothing is recorded", args, code, stderr)
		}
	}
}

// historyText is a history file with n messages of today.
func historyText(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "job 4Xyz%d\nreporter mx1.receiver.example\nreceived %d\nipaddr 203.0.113.66\nfrom bank.example\nmfrom forwarder.example\nspf 0\npdomain bank.example\npolicy 16\np 114\nsp 0\nalign_dkim 5\nalign_spf 5\naction 2\n",
			i, time.Now().Add(time.Duration(i)*time.Second-2*time.Hour).Unix()) // sp 0 is not set
	}
	return b.String()
}

func TestImportAddsEachMessageOnce(t *testing.T) {
	cfg := storeWith(t, "", failure(1, "bank.example"))
	old := "job old\nreporter mx1.receiver.example\nreceived 1400000000\nfrom bank.example\n"
	broken := "job broken\nreporter mx1.receiver.example\nreceived never\n"
	text := historyText(5)
	history := write(t, "opendmarc.dat", broken+old+text+text)
	code, out, stderr := command("import", "opendmarc", history, "--dry-run", "-c", cfg)
	if code != 0 || out != "12 messages read: 11 importable, 1 refused\n" || !strings.Contains(stderr, history+":1: refused: received is not") {
		t.Errorf("import --dry-run = %d, %q, %q; want the counts and the line", code, out, stderr)
	}
	for _, want := range []string{
		"12 messages read: 5 imported, 5 already present, 1 older than the retention, 1 refused\n",
		"12 messages read: 0 imported, 10 already present, 1 older than the retention, 1 refused\n",
	} {
		if code, out, stderr := command("import", "opendmarc", history, "-c", cfg); code != 0 || out != want {
			t.Errorf("import = %d, %q, %q; want %q", code, out, stderr, want)
		}
	}
	code, out, _ = command("import", "opendmarc", history, history, "-c", cfg, "--json")
	var r struct {
		Messages, Present int64
		Refused           map[string]int64
		Lines             []any
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || r.Messages != 24 || r.Present != 20 || len(r.Lines) != 2 || r.Refused["received is not a time that can be"] != 2 {
		t.Errorf("import --json = %d, %s, %v; want both files", code, out, err)
	}
	code, out, _ = command("top", "failing", "-c", cfg, "--json")
	var list []results.Failing
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 || list[0].Messages != 1 {
		t.Errorf("top failing = %d, %s, %v; want the one message that is not imported", code, out, err)
	}
	if code, out, stderr := command("explain", "--qid", "4Xyz0", "-c", cfg); code != 0 || !strings.Contains(out, "imported: another program decided") {
		t.Errorf("explain of an imported message = %d, %s%s; want that it is one", code, out, stderr)
	}
}

func TestImportReadsStandardInput(t *testing.T) {
	cfg := storeWith(t, "")
	f, err := os.Open(write(t, "h", historyText(2)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stdin := os.Stdin
	defer func() { os.Stdin = stdin }()
	os.Stdin = f
	if code, out, stderr := command("import", "opendmarc", "-", "-c", cfg); code != 0 || !strings.Contains(out, "2 imported") {
		t.Errorf("import - = %d, %q, %q; want two taken", code, out, stderr)
	}
	if code, _, stderr := command("import", "opendmarc", "/nonexistent", "-c", cfg); code != 1 || !strings.Contains(stderr, "/nonexistent") {
		t.Errorf("import of no file = %d, %q; want 1 and its name", code, stderr)
	}
}

// A queue id that is kept as a hash is found by the id, and one of before is
// found, too.
func TestExplainQIDFindsHashedQueueID(t *testing.T) {
	cfg := storeWith(t, "[privacy]\nhash_queue_ids = true\n", failure(1, "bank.example"))
	if out := export(t, cfg); strings.Contains(out, `"q1"`) {
		t.Errorf("results export = %s; want no queue id as it was", out)
	}
	for _, args := range [][]string{{"explain", "--qid", "q1", "-c", cfg}} {
		if code, out, stderr := command(args...); code != 0 || !strings.Contains(out, "bank.example: fail") {
			t.Errorf("%q = %d, %s%s; want the message", args, code, out, stderr)
		}
	}
	text, err := os.ReadFile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	plain := write(t, "plain.toml", strings.Replace(string(text), "hash_queue_ids = true", "hash_queue_ids = false", 1))
	if code, out, stderr := command("explain", "--qid", "q1", "-c", plain); code != 0 || !strings.Contains(out, "bank.example: fail") {
		t.Errorf("explain after hashing was switched off = %d, %s%s; want the message", code, out, stderr)
	}
	c, err := config.Load(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(c.Privacy.KeyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key of queue ids = %v, %v; want a file of mode 0600", info, err)
	}
	if err := os.WriteFile(c.Privacy.KeyFile, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command("explain", "--qid", "q1", "-c", cfg); code != 1 || !strings.Contains(stderr, "queue id key") {
		t.Errorf("explain with a broken key = %d, %q; want 1 and the key", code, stderr)
	}
}

func TestPrivacySettingsReachStore(t *testing.T) {
	old := failure(1, "bank.example")
	old.Facts.Time = old.Facts.Time.AddDate(0, 0, -2)
	cfg := storeWith(t, "[privacy]\nkeep_recipients = false\nshorten_ip_after = \"1d\"\n", old, failure(2, "bank.example"))
	out := export(t, cfg)
	if strings.Contains(out, "receiver.example") {
		t.Errorf("results export = %s; want no recipients", out)
	}
	for _, want := range []string{`"client":"203.0.113.0"`, `"client":"203.0.113.2"`} {
		if !strings.Contains(out, want) {
			t.Errorf("results export = %s; want %s: the old address shortened, the new one whole", out, want)
		}
	}
}

func TestStoreLimitsFollowConfiguration(t *testing.T) {
	tests := []struct {
		toml string
		want results.Retention
	}{
		{"", results.Retention{Days: 30, MaxBytes: 20 << 30, FreeBytes: 0}}, // the store's own default, which fits small file systems
		{"retention = \"0s\"\nmax_size = \"0B\"\nmin_free = \"0B\"\n", results.Retention{FreeBytes: -1}},
		{"retention = \"7d\"\nmax_size = \"1GiB\"\nmin_free = \"1MiB\"\n", results.Retention{Days: 7, MaxBytes: 1 << 30, FreeBytes: 1 << 20}},
	}
	for _, tt := range tests {
		in, err := site.Load(storeWith(t, "[store]\n"+tt.toml), site.AllParts)
		if err != nil {
			t.Fatal(err)
		}
		if got := site.StoreOptions(in.Config, nil, nil, nil).Retention; got != tt.want {
			t.Errorf("retention of %q = %+v; want %+v", tt.toml, got, tt.want)
		}
	}
}
