package rules

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/config/rulefile"
	"dmarcgate/policy"
	"dmarcgate/policy/ruletest"
)

// doors are rules with openings of each kind, some of them such as lint refuses.
const doors = `
[[rule]]
id = "forwarder"
owner = "o"
created = 2026-01-01
expires = 2099-01-01T18:00:00Z
mode = "enforce"
action = "accept"
reason = "trusted_forwarder"
[rule.match]
client = ["192.0.2.0/24"]

[[rule]]
id = "mailbox"
owner = "o"
created = 2026-01-01
expires = 2099-01-01
mode = "shadow"
action = "accept"
reason = "other"
[rule.match]
dkim_pass = ["gmail.com"]

[[rule]]
id = "night"
owner = "o"
created = 2026-01-01
expires = 2099-01-01
mode = "enforce"
action = "quarantine"
[rule.match]
helo = ["mx.partner.example"]
time = ["02:00-02:30"]
tz = "Asia/Kathmandu"
result = ["fail", "permerror"]

[[rule]]
id = "silent"
owner = "o"
created = 2026-01-01
mode = "enforce"
action = "skip_report"
[rule.match]
mail_from = ["probe.example"]

[[rule]]
id = "some"
owner = "o"
created = 2026-01-01
mode = "enforce"
priority = 900
sample = 0.5
action = "reject"
text = "DMARC: no mail from there"
[rule.match]
client = ["192.0.2.0/28"]
`

func explainText(t *testing.T, dir, id string) string {
	t.Helper()
	var b strings.Builder
	if err := (Options{Config: filepath.Join(dir, "none.conf"), Dir: dir, Warn: io.Discard}).Explain(&b, id); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestExplainSaysWhoCanUseARule(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.toml"), []byte(doors), 0o600); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string][]string{
		"forwarder": {"delivers the message", "It expires: 2099-01-01 18:00 UTC, in ", "# Who can use it: only the party at client 192.0.2.0/24.\n# - the client is in 192.0.2.0/24\n", "remark: ", "[opens_party]"},
		"mailbox":   {"shadow mode", "# Who can use it: anyone with an account at gmail.com, a mailbox provider", "error: ", "[opens_account]"},
		"night":     {"quarantines the message", "DMARC result fail or permerror", "# Who can use it: anybody.\n", "A message that is answered with reject otherwise is answered with tag (profile strict)"},
		"silent":    {"# Who can use it: anybody.\n", "Failing mail is then left out of reports."},
		"some":      {"refuses the message for good", "It is for 50 % of the messages", "# " + nobody + "\n"},
	} {
		got := explainText(t, dir, id)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("Explain(%s) = %s; want %q in it", id, got, w)
			}
		}
	}
	if err := (Options{Config: filepath.Join(dir, "none.conf"), Dir: dir, Warn: io.Discard}).Explain(io.Discard, "nigh"); err == nil || !strings.Contains(err.Error(), `did you mean "night"?`) {
		t.Errorf("Explain(nigh) = %v; want the rule that is meant", err)
	}
}

// What is printed can be put in the place of the rule, and its tests pass: those are
// the messages that the rule lets in.
func TestExplainPrintsTestsThatPass(t *testing.T) {
	example, err := os.ReadFile("../deploy/rules.d/example.toml")
	if err != nil {
		t.Fatal(err)
	}
	partners, err := os.ReadFile("../deploy/rules.d/maps/partners.txt")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"doors": doors, "example": string(example), "example, enforced": strings.ReplaceAll(string(example), `mode = "off"`, `mode = "enforce"`)} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "maps"), 0o700); err != nil {
			t.Fatal(err)
		}
		for file, content := range map[string]string{"a.toml": text, "maps/partners.txt": string(partners)} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		unchecked := rulefile.Options{SkipLint: true, SkipTests: true}
		set, err := rulefile.Load(dir, unchecked)
		if err != nil {
			t.Fatal(err)
		}
		all := set.Rules.List()
		for i, r := range all {
			printed := explainText(t, dir, r.ID)
			again := filepath.Join(dir, "again")
			if err := os.MkdirAll(filepath.Join(again, "maps"), 0o700); err != nil {
				t.Fatal(err)
			}
			for file, content := range map[string]string{"a.toml": printed, "maps/partners.txt": string(partners)} {
				if err := os.WriteFile(filepath.Join(again, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			one, err := rulefile.Load(again, unchecked)
			if err != nil {
				t.Fatalf("%s: %s is printed as %s, which is read as %v", name, r.ID, printed, err)
			}
			got := one.Rules.List()[0]
			if len(got.Tests) < len(r.Tests) || strings.Contains(printed, "Who can use it") && len(got.Tests) == len(r.Tests) {
				t.Errorf("%s: %s has %d tests; want more than %d", name, r.ID, len(got.Tests), len(r.Tests))
			}
			all[i] = got
		}
		rules, err := policy.NewRules(all)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range ruletest.Run(rules) {
			t.Errorf("%s: a test of %s fails: %s", name, f.Rule, f.Text())
		}
	}
}

func TestLintPrintsRemarksWithTheirFlagAndSpoofsInJSON(t *testing.T) {
	refused, sound := t.TempDir(), t.TempDir()
	forwarder := doors[:strings.Index(doors, "\n[[rule]]\nid = \"mailbox\"")]
	for dir, text := range map[string]string{refused: doors, sound: forwarder} {
		if err := os.WriteFile(filepath.Join(dir, "a.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(dir string, json, remarks bool) string {
		var b strings.Builder
		err := Lint(t.Context(), &b, Options{Config: filepath.Join(dir, "none.conf"), Dir: dir, JSON: json, Warn: io.Discard}, Linting{Remarks: remarks})
		if (err != nil) != (dir == refused) {
			t.Errorf("Lint() = %v; want an error for rules that are refused", err)
		}
		return b.String()
	}
	if got := run(sound, false, false); strings.Contains(got, "opens_party") || !strings.Contains(got, "1 remark") {
		t.Errorf("Lint() = %s; want no remark, and their number", got)
	}
	if got := run(sound, false, true); !strings.Contains(got, "remark: ") || !strings.Contains(got, "[opens_party]") {
		t.Errorf("Lint() with remarks = %s; want the remark", got)
	}
	for dir, want := range map[string][]string{
		sound:   {`"level":"remark"`, `"spoof":"[[rule.test]]\ngiven  = {`},
		refused: {`"level":"error","code":"opens_account"`, `pass:gmail.com`, `rule = \"mailbox\"`},
	} {
		got := run(dir, true, false)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("Lint() in JSON = %s; want %s in it", got, w)
			}
		}
	}
}
