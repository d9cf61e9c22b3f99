package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/config/rulefile"
	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/site"
)

// siteRules are the rules of a site: one is enforced, one watches, one has a failed test.
const siteRules = `
[[rule]]
id = "alumni"
owner = "postmaster@receiver.example"
created = 2026-01-01
expires = 2099-01-01
mode = "shadow"
priority = 200
action = "accept"
reason = "trusted_forwarder"
[rule.match]
dkim_pass = ["alumni.example"]
[[rule.test]]
given  = { author = "bank.example", policy = "reject", dkim = "pass:alumni.example" }
expect = { rule = "alumni", applied = "none", reason = "trusted_forwarder" }

[[rule]]
id = "strangers"
owner = "abuse@receiver.example"
created = 2026-01-01
mode = "enforce"
action = "quarantine"
[rule.match]
client = ["192.0.2.0/28"]
author = ["org:bank.example"]
`

// failedTest is a test that does not come out.
const failedTest = `
[[rule.test]]
given  = { author = "news.bank.example", policy = "reject", client = "192.0.2.3" }
expect = { rule = "", applied = "none" }
`

// What the JSON of the subcommands of rules has, as far as the tests look at it.
type (
	addedRule struct {
		ID             string
		Key            string `json:"anchor"`
		TOML           string
		Covers, Failed int64
	}
	listedRule struct {
		Use *struct {
			Matches int64
			Day     int64 `json:"hits_24h"`
		}
	}
	shownRule struct {
		TOML  string
		Tests []struct{ Passed bool }
	}
	testedRules struct {
		Rules []struct {
			Impact *struct {
				Matched int64
				Alone   []any
				InSet   []any `json:"in_set"`
				Unsure  int64 `json:"cannot_tell"`
			}
		}
		Messages int64
	}
	ruleHits struct {
		Rule, Mode string
		Hits       map[string]int64
		Changed    int64
		Last       time.Time
		Active     bool `json:"active"`
	}
)

// ruledSite makes a configuration with rules and a store.
func ruledSite(t *testing.T, rules string, rows ...results.Row) (cfg, dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "site.toml"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg = storeWith(t, "", rows...)
	text, err := os.ReadFile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg, append(fmt.Appendf(nil, "rules_dir = %q\n", dir), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	return cfg, dir
}

// decidedBy is rows with the decisions that the rules of the site make.
func decidedBy(t *testing.T, rules string, rows ...results.Row) []results.Row {
	t.Helper()
	set := resultstest.Rules(t, rules)
	for i := range rows {
		s := policy.Settings{Profile: policy.Strict, EnforceShare: 100, Quarantine: policy.Tag, Rules: set.Rules}
		rows[i].Decision = s.Decide(rows[i].Facts)
		rows[i].Facts.QueueID = fmt.Sprint("q", i+1)
		rows[i].Facts.Time = rows[i].Facts.Time.Add(time.Duration(i) * time.Second)
	}
	return rows
}

func TestRulesListShowsUseAndExpiry(t *testing.T) {
	cfg, _ := ruledSite(t, siteRules, decidedBy(t, siteRules, resultstest.Forwarded(resultstest.SignedBy("alumni.example")), resultstest.Forwarded())...)
	code, out, stderr := command("rules", "list", "-c", cfg)
	lines := strings.Split(out, "\n")
	if code != 0 || len(lines) < 3 {
		t.Fatalf("rules list = %d, %s%s; want a table", code, out, stderr)
	}
	for i, want := range [][]string{{"alumni", "shadow", "accept", "200", "dkim_pass=alumni.example", "2099-01-01,"}, {"strangers", "enforce", "quarantine", "100", "client=192.0.2.0/28", "never"}} {
		if got := strings.Fields(lines[i+1]); !slices.Equal(got[:len(want)], want) || got[len(got)-1] != fmt.Sprint(i+1) {
			t.Errorf("line %q; want it to begin with %q and to end with %d hits", lines[i+1], want, i+1)
		}
	}
	code, out, _ = command("rules", "list", "-c", cfg, "--json")
	var list []listedRule
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 2 || list[1].Use == nil || list[1].Use.Matches != 2 || list[1].Use.Day != 2 {
		t.Errorf("rules list --json = %d, %s, %v; want two rules with their use", code, out, err)
	}
}

func TestRulesListPrintsIDsForAShell(t *testing.T) {
	cfg, _ := ruledSite(t, siteRules)
	if code, out, _ := command("rules", "list", "--ids", "-c", cfg); code != 0 || out != "alumni\nstrangers\n" {
		t.Errorf("rules list --ids = %d, %q; want the ids", code, out)
	}
}

func TestRulesListWithoutStore(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "site.toml"), []byte(siteRules), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := toolConfig(t, "127.0.0.1:53")
	if code, out, stderr := command("rules", "list", "-c", cfg, "--dir", dir); code != 0 || !strings.Contains(out, "strangers") || !strings.Contains(stderr, "without the store") {
		t.Errorf("rules list without a store = %d, %s%s; want the rules, and that there is no store", code, out, stderr)
	}
	if code, out, _ := command("rules", "list", "-c", "/nonexistent.toml", "--dir", dir); code != 0 || !strings.Contains(out, "strangers") {
		t.Errorf("rules list without a configuration = %d, %s; want the rules", code, out)
	}
	if code, _, stderr := command("rules", "list", "-c", cfg); code != 1 || !strings.Contains(stderr, "rules_dir") {
		t.Errorf("rules list without rules = %d, %s; want 1 and what is missing", code, stderr)
	}
	if code, _, stderr := command("rules", "show", "nobody", "-c", cfg, "--dir", dir); code != exitUsage || !strings.Contains(stderr, `"nobody"`) {
		t.Errorf("rules show nobody = %d, %s; want 2 and the id", code, stderr)
	}
}

func TestRulesShowPrintsARuleThatLoadsAgain(t *testing.T) {
	cfg, dir := ruledSite(t, siteRules+failedTest, decidedBy(t, siteRules, resultstest.Forwarded())...)
	code, out, stderr := command("rules", "show", "strangers", "-c", cfg)
	if code != 0 {
		t.Fatalf("rules show = %d, %s", code, stderr)
	}
	for _, want := range []string{"# " + filepath.Join(dir, "site.toml") + ":17\n", "FAIL", "expected rule none, applied none", "got rule strangers, applied quarantine", "use: 1 message since"} {
		if !strings.Contains(out, want) {
			t.Errorf("rules show prints\n%s\nwant %q in it", out, want)
		}
	}
	_, out, _ = command("rules", "show", "alumni", "-c", cfg, "--json")
	var shown shownRule
	if err := json.Unmarshal([]byte(out), &shown); err != nil || len(shown.Tests) != 1 || !shown.Tests[0].Passed {
		t.Fatalf("rules show --json = %s, %v; want a test that passes", out, err)
	}
	if again := resultstest.Rules(t, shown.TOML).Rules.List(); len(again[0].Tests) != 1 || again[0].Expires.Year() != 2099 {
		t.Errorf("the text is read as %+v; want the rule with its test", again)
	}
}

func TestRulesLintFailsForErrorsAndStrictlyForWarnings(t *testing.T) {
	expired := strings.Replace(siteRules, "2099-01-01", "2026-02-01", 1)
	tests := []struct {
		name  string
		rules string
		args  []string
		code  int
		want  string
	}{
		{"good", siteRules, nil, 0, "2 rules"},
		{"good, strictly", strings.Replace(siteRules, "quarantine", "tempfail", 1), nil, 0, "1 test"},
		{"expired", expired, nil, 0, "warning: "},
		{"expired, strictly", expired, []string{"--strict"}, 1, "expire"},
		{"anybody", strings.Replace(siteRules, "dkim_pass", "helo", 1), nil, 1, "error: "},
		{"not TOML", "[[rule]\n", nil, 1, "site.toml:1"},
		{"a failed test", siteRules + failedTest, nil, 1, "error: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, _ := ruledSite(t, siteRules)
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "site.toml"), []byte(tt.rules), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, stderr := command(append([]string{"rules", "lint", "-c", cfg, "--dir", dir}, tt.args...)...)
			if code != tt.code || !strings.Contains(out, tt.want) {
				t.Errorf("rules lint %q = %d, %s%s; want %d and %q", tt.args, code, out, stderr, tt.code, tt.want)
			}
			code, out, _ = command(append([]string{"rules", "lint", "--json", "-c", cfg, "--dir", dir}, tt.args...)...)
			var list []site.Remark
			if err := json.Unmarshal([]byte(out), &list); err != nil || code != tt.code || code == 1 && len(list) == 0 {
				t.Errorf("rules lint --json = %d, %s, %v; want a list", code, out, err)
			}
		})
	}
}

func TestRulesLintLooksUpAnchors(t *testing.T) {
	dns := dnstest.New(t, "!any\n. NS ns.example.\nreceiver.example. A 192.0.2.1")
	down := dnstest.New(t, "!any\n!servfail alumni.example")
	tests := []struct {
		name   string
		server *dnstest.Server
		args   []string
		code   int
		want   string // code of a finding
	}{
		{"not asked for", dns, nil, 0, ""},
		{"a domain that lapsed", dns, []string{"--dns"}, 0, policy.CodeDNSNoDomain},
		{"strictly", dns, []string{"--dns", "--strict"}, 1, policy.CodeDNSNoDomain},
		{"no answer", down, []string{"--dns"}, 0, policy.CodeDNSFailed},
		{"no answer, strictly", down, []string{"--dns", "--strict"}, 1, policy.CodeDNSFailed},
	}
	rules, _, _ := strings.Cut(siteRules, "\n[[rule]]\nid = \"strangers\"")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, dir := toolConfig(t, tt.server.Addr()), t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "site.toml"), []byte(rules), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"rules", "lint", "-c", cfg, "--dir", dir}, tt.args...)
			code, out, stderr := command(args...)
			if code != tt.code || strings.Contains(out, "[dns_") != (tt.want != "") || !strings.Contains(out, tt.want) {
				t.Errorf("%q = %d, %s%s; want %d and %q", args, code, out, stderr, tt.code, tt.want)
			}
			var list []site.Remark
			code, out, _ = command(append(args, "--json")...)
			if err := json.Unmarshal([]byte(out), &list); err != nil || code != tt.code || slices.ContainsFunc(list, func(r site.Remark) bool {
				return r.Code == tt.want && r.Rule == "alumni" && r.Line == 12 && r.Key == "match.dkim_pass"
			}) != (tt.want != "") {
				t.Errorf("%q --json = %d, %s, %v; want %d and %q", args, code, out, err, tt.code, tt.want)
			}
		})
	}
}

func TestRulesTestShowsFailuresAndImpact(t *testing.T) {
	rows := decidedBy(t, siteRules, resultstest.Forwarded(resultstest.SignedBy("alumni.example")), resultstest.Forwarded(resultstest.SignedBy("alumni.example")), resultstest.Forwarded(), resultstest.Forwarded(resultstest.SealedBy("lists.example", false)))
	cfg, _ := ruledSite(t, siteRules+failedTest, rows...)
	code, out, stderr := command("rules", "test", "-c", cfg)
	if code != 1 || !strings.Contains(stderr, "1 failed test") {
		t.Errorf("rules test = %d, %s; want 1 for a failed test", code, stderr)
	}
	for _, want := range []string{
		"PASS: rule alumni", "FAIL", "got rule strangers, applied quarantine", "why: ", "4 messages of 7 days tried", "2 tests, 1 failed",
		"in 7 days it would match 2 messages", "reject to accept: 2, such as [q1 q2]", "tag to accept: 2", "reject to tag: 4, such as [q1 q2 q3]",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("rules test prints\n%s\nwant %q in it", out, want)
		}
	}
	code, out, _ = command("rules", "test", "alumni", "-c", cfg, "--json")
	var got testedRules
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || len(got.Rules) != 1 || got.Rules[0].Impact.Matched != 2 || got.Messages != 4 {
		t.Errorf("rules test alumni --json = %d, %s, %v; want one rule with two messages", code, out, err)
	}
	if code, out, _ := command("rules", "test", "alumni", "-c", cfg, "--no-store"); code != 0 || strings.Contains(out, "match") {
		t.Errorf("rules test --no-store = %d, %s; want the tests alone", code, out)
	}
	if code, _, _ := command("rules", "test", "--days", "0", "-c", cfg); code != 2 {
		t.Errorf("rules test --days 0 = %d; want 2", code)
	}
}

func TestRulesTestNamesSealersThatRecordNothing(t *testing.T) {
	const rules = `
[[rule]]
id = "arc"
owner = "x"
created = 2026-01-01
expires = 2099-01-01
mode = "shadow"
action = "accept"
reason = "mailing_list"
[rule.match]
arc_pass = ["mute.example", ".lists.example", "unused.example"]
author = ["bank.example"]
`
	rows := decidedBy(t, rules, resultstest.Forwarded(resultstest.SealedBy("mute.example", false)), resultstest.Forwarded(resultstest.SealedBy("a.lists.example", true)), resultstest.Forwarded(resultstest.SealedBy("stranger.example", true)))
	cfg, _ := ruledSite(t, rules, rows...)
	code, out, stderr := command("rules", "test", "-c", cfg)
	for _, want := range []string{
		"sealer mute.example: sealed 1 message, and recorded a pass in 0: RECORDS NOTHING", "sealer a.lists.example: sealed 1 message, and recorded a pass in 1\n",
		"sealer unused.example: sealed 0 messages, and recorded a pass in 0\n", "it would match 1 message\n",
	} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("rules test = %d, %s%s; want %q in it", code, out, stderr, want)
		}
	}
	if strings.Contains(out, "stranger.example") {
		t.Errorf("rules test = %s; want nothing about a sealer that no rule names", out)
	}
}

func TestRulesTestSkipsMessagesWithMissingFacts(t *testing.T) {
	const rules = `
[[rule]]
id = "robots"
owner = "x"
created = 2026-01-01
mode = "shadow"
action = "quarantine"
[rule.match]
client = ["192.0.2.0/28"]
auto_submitted = true
`
	old := resultstest.Forwarded(func(r *results.Row) { r.Facts.Version, r.Facts.Seed = 0, 0 })
	cfg, _ := ruledSite(t, rules, decidedBy(t, rules, old, resultstest.Forwarded(func(r *results.Row) { r.Facts.Automatic = true }))...)
	code, out, stderr := command("rules", "test", "-c", cfg)
	for _, want := range []string{"it would match 1 message\n", "cannot tell for 1 message"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("rules test = %d, %s%s; want %q in it", code, out, stderr, want)
		}
	}
}

func TestRulesHitsCountsByWindowAndMode(t *testing.T) {
	rows := decidedBy(t, siteRules, resultstest.Forwarded(resultstest.SignedBy("alumni.example")), resultstest.Forwarded(), resultstest.Forwarded())
	rows[2].Facts.Time = time.Now().Add(-100 * time.Hour)
	unused := strings.ReplaceAll(siteRules, `"alumni"`, `"unused"`)
	cfg, _ := ruledSite(t, unused, rows...)
	code, out, stderr := command("rules", "hits", "-c", cfg, "--json")
	var list []ruleHits
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 3 {
		t.Fatalf("rules hits --json = %d, %s%s, %v; want three lines", code, out, stderr, err)
	}
	got := make([]string, len(list))
	for i, h := range list {
		got[i] = fmt.Sprint(h.Rule, h.Mode, h.Hits["24h"], h.Hits["7d"], h.Hits["30d"], h.Changed, h.Active, h.Last.IsZero())
	}
	want := []string{fmt.Sprint("strangers", "enforce", 2, 3, 3, 0, true, false), fmt.Sprint("unused", "shadow", 0, 0, 0, 0, true, true), fmt.Sprint("alumni", "shadow", 1, 1, 1, 1, false, false)}
	if !slices.Equal(got, want) {
		t.Errorf("rules hits = %q; want %q", got, want)
	}
	if code, out, _ := command("rules", "hits", "-c", cfg, "--since", "50h"); code != 0 || !strings.Contains(words(out), "RULE MODE 50h WOULD CHANGE LAST MATCH strangers enforce 2 -") {
		t.Errorf("rules hits --since = %d, %s; want one window", code, out)
	}
	if code, _, _ := command("rules", "hits", "-c", cfg, "--since", "yesterday"); code != 2 {
		t.Errorf("rules hits --since yesterday = %d; want 2", code)
	}
}

// A decision names a bounded number of rules; those that it does not name are
// tried by themselves.
func TestRulesTestTriesMoreRulesThanADecisionNames(t *testing.T) {
	var b strings.Builder
	for i := range policy.MaxNamed + 2 {
		b.WriteString(daemontest.Rule(fmt.Sprintf("r%02d", i), "mode = \"shadow\"\naction = \"tempfail\"\n[rule.match]\nclient = [\"192.0.2.0/28\"]\nauthor = [\"bank.example\"]\n"))
	}
	cfg, _ := ruledSite(t, b.String(), decidedBy(t, b.String(), resultstest.Forwarded())...)
	code, out, stderr := command("rules", "test", "r00", "r33", "-c", cfg, "--json")
	var got testedRules
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || len(got.Rules) != 2 {
		t.Fatalf("rules test --json = %d, %s%s, %v; want two rules", code, out, stderr, err)
	}
	for i, id := range []string{"r00", "r33"} {
		if n := got.Rules[i].Impact; n.Matched != 1 || len(n.Alone) != 1 || len(n.InSet) != 1 || n.Unsure != 0 {
			t.Errorf("%s = %+v; want it to match, and to change one answer by itself and in the set", id, n)
		}
	}
}

func TestRulesHitsLeavesOutListenersUnderMonitor(t *testing.T) {
	rule := daemontest.Rule("trial", "mode = \"shadow\"\naction = \"reject\"\n[rule.match]\nauthor = [\"bank.example\"]\n")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.toml"), []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	row := func(n int, listener string) results.Row {
		r := failure(n, "bank.example")
		r.Facts.Time, r.Facts.Listener = time.Now().Add(-time.Hour), listener
		r.Decision = policy.Decision{Shadow: []policy.ShadowDecision{{Rule: "trial", Action: policy.Reject, Disposition: policy.Rejected}}}
		return r
	}
	second := "[[listener]]\nname = \"watching\"\naddress = \"unix:/run/y.sock\"\nprofile = \"monitor\"\n"
	tests := []struct {
		name      string
		extra     string
		listeners []string
		want      int64
	}{
		{"enforced", second, []string{"mta", "mta"}, 2},
		{"under monitor", second, []string{"watching", "watching"}, 0},
		{"both", second, []string{"mta", "watching", "watching"}, 1},
		{"of a listener that is gone", second, []string{"old"}, 1},
		{"of none", "", nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var rows []results.Row
			for i, l := range tt.listeners {
				rows = append(rows, row(i, l))
			}
			code, out, stderr := command("rules", "hits", "--dir", dir, "--json", "-c", storeWith(t, tt.extra, rows...))
			var got []ruleHits
			if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || len(got) != 1 {
				t.Fatalf("rules hits = %d, %v, %s; want one line", code, err, stderr)
			}
			if got[0].Changed != tt.want || got[0].Hits["30d"] != int64(len(tt.listeners)) {
				t.Errorf("rules hits: %d of %d messages would change; want %d of %d", got[0].Changed, got[0].Hits["30d"], tt.want, len(tt.listeners))
			}
		})
	}
}

func TestRulesLintNamesCodeAndRuleOfEveryError(t *testing.T) {
	head := daemontest.Rule("first", "mode = \"enforce\"\naction = \"reject\"\n[rule.match]\nauthor = [\"a.example\"]\n\n")
	second := func(lines string) string {
		return head + daemontest.Rule("second", "mode = \"enforce\"\naction = \"quarantine\"\n") + lines
	}
	tests := []struct{ name, text, code, rule string }{
		{"a key that there is not", second("colour = 1\n[rule.match]\nauthor = [\"b.example\"]\n"), rulefile.CodeUnreadable, "second"},
		{"a value that cannot be read", second("priority = \"high\"\n[rule.match]\nauthor = [\"b.example\"]\n"), rulefile.CodeUnreadable, "second"},
		{"a domain that is none", second("[rule.match]\nauthor = [\"b..example\"]\n"), rulefile.CodeUnreadable, "second"},
		{"no TOML", second("[rule.match\n"), rulefile.CodeUnreadable, ""},
		{"an id that is taken", strings.Replace(second("[rule.match]\nauthor = [\"b.example\"]\n"), `"second"`, `"first"`, 1), rulefile.CodeUnreadable, "first"},
		{"a failed test", second("[rule.match]\nclient = [\"192.0.2.1\"]\nauthor = [\"b.example\"]\n[[rule.test]]\ngiven = { author = [\"c.example\"], policy = \"reject\" }\nexpect = { rule = \"second\" }\n"), rulefile.CodeFailedTest, "second"},
		{"no match", second("[rule.match]\n"), policy.CodeNoMatch, "second"},
		{"policy_domain with temperror", second("[rule.match]\npolicy_domain = [\"b.example\"]\nresult = [\"temperror\"]\n"), policy.CodeNoRecord, "second"},
		{"policy_domain with none", second("[rule.match]\npolicy_domain = [\"b.example\"]\nresult = [\"none\"]\n"), policy.CodeNoRecord, "second"},
		{"policy_domain with both", second("[rule.match]\npolicy_domain = [\"b.example\"]\nresult = [\"none\", \"temperror\"]\n"), policy.CodeNoRecord, "second"},
		{"policy_domain with fail, too", second("[rule.match]\nclient = [\"192.0.2.1\"]\npolicy_domain = [\"b.example\"]\nresult = [\"fail\", \"temperror\"]\n"), "", ""},
		{"not_policy_domain with temperror", second("[rule.match]\nauthor = [\"b.example\"]\nnot_policy_domain = [\"c.example\"]\nresult = [\"temperror\"]\n"), "", ""},
		{"author with temperror", second("[rule.match]\nauthor = [\"b.example\"]\nresult = [\"temperror\"]\n"), "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "a.toml"), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, out, stderr := command("rules", "lint", "--json", "--dir", dir, "-c", storeWith(t, ""))
			var found []site.Remark
			if err := json.Unmarshal([]byte(out), &found); err != nil {
				t.Fatalf("rules lint: %v, %s", err, stderr)
			}
			found = slices.DeleteFunc(found, func(r site.Remark) bool { return r.Level != "error" })
			if tt.code == "" {
				if len(found) != 0 {
					t.Errorf("rules lint: %+v; want no error", found)
				}
				return
			}
			if len(found) != 1 || found[0].Code != tt.code || found[0].Rule != tt.rule {
				t.Errorf("rules lint: %+v; want one error %s of rule %q", found, tt.code, tt.rule)
			}
			if _, out, _ := command("rules", "lint", "--dir", dir, "-c", storeWith(t, "")); !strings.Contains(out, "["+tt.code+"]") {
				t.Errorf("rules lint prints %q; want the code", out)
			}
		})
	}
}
