package rulefile

import (
	"cmp"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
)

const redteam = "testdata/redteam"

// attacker is a client that no rule names.
var attacker = netip.MustParseAddr("198.51.100.77")

// lintDay is when red-team rules are looked at.
var lintDay = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

func lintOptions() Options {
	return Options{Options: lint.Options{
		Now: lintDay, ReportsOf: "rfc9990", Listeners: []string{"mta"}, LastMatch: map[string]time.Time{},
	}}
}

// Every file is a rule that would let spoofs in or hide them. Its first line
// says what becomes of it, its second why it is dangerous: adding one needs no
// Go.
func TestRulesThatWouldLetSpoofsInAreRefusedOrFlagged(t *testing.T) {
	paths, err := filepath.Glob(redteam + "/*.toml")
	if err != nil || len(paths) < 40 {
		t.Fatalf("%d files in %s: %v; want at least 40", len(paths), redteam, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".toml"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitN(string(data), "\n", 3)
			if !strings.HasPrefix(lines[1], "# ") || !strings.HasSuffix(lines[1], ".") {
				t.Errorf("second line %q; want a sentence that says why", lines[1])
			}
			dir := redteamDir(t, string(data))
			set, err := Load(dir, lintOptions())
			want := strings.TrimPrefix(lines[0], "# ")
			if text, ok := strings.CutPrefix(want, "problem: "); ok {
				wantProblem(t, err, text)
				return
			}
			wantFindings(t, set, err, redteamLint(dir, data), want)
		})
	}
}

// redteamDir makes a directory with the rules and the maps of the red team.
func redteamDir(t *testing.T, rules string) string {
	t.Helper()
	dir := ruleDir(t, map[string]string{"f.toml": rules})
	if err := os.CopyFS(filepath.Join(dir, "maps"), os.DirFS(redteam+"/maps")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// redteamLint lints rules as they are read, for the codes of errors: a problem
// has none.
func redteamLint(dir string, data []byte) []policy.Finding {
	return lintedRules(redteamRules(dir, data))
}

func lintedRules(rules []policy.Rule) []policy.Finding {
	return lint.Rules(rules, lintOptions().Options)
}

// redteamRules returns rules as they are read, without lint.
func redteamRules(dir string, data []byte) []policy.Rule {
	all := ruleTexts{maps: newMaps(dir, lintDay, nil)}
	r := tomlfile.NewReader(filepath.Join(dir, "f.toml"), Keys, explainMatch)
	var texts []*ruleText
	r.Tables("", r.Decode(data), "rule", func(at string, sub map[string]any) []tomlfile.Field {
		rule := newRuleText(at, all.maps)
		texts = append(texts, rule)
		rule.readTests(r, sub)
		return rule.fields
	})
	for _, rule := range texts {
		rule.finish(r)
		all.rules = append(all.rules, rule.rule)
	}
	return all.rules
}

// one returns the only problem of an error.
func one(t *testing.T, err error) tomlfile.Problem {
	t.Helper()
	var errs *tomlfile.Errors
	if !errors.As(err, &errs) || len(errs.Problems) != 1 {
		t.Fatalf("Load = %v; want one problem", err)
	}
	p := errs.Problems[0]
	if p.File == "" || p.Line == 0 || p.Fix == "" {
		t.Errorf("problem %+v; want file, line and fix", p)
	}
	return p
}

func wantProblem(t *testing.T, err error, text string) {
	t.Helper()
	if p := one(t, err); !strings.Contains(p.String(), text) {
		t.Errorf("problem %v; want %q in it", p, text)
	}
}

// wantFindings compares findings with "warning untested, remark opens_party". Where
// there is an error, errors alone count.
func wantFindings(t *testing.T, set *Set, err error, linted []policy.Finding, want string) {
	t.Helper()
	if err != nil {
		p := one(t, err)
		linted = slices.DeleteFunc(linted, func(f policy.Finding) bool { return f.Level != policy.Error })
		if len(linted) != 1 || linted[0].Text != p.Text || linted[0].Fix != p.Fix {
			t.Errorf("findings %+v; want the one of %v", linted, p)
		}
	} else {
		linted = set.Findings
	}
	if got := foundWords(linted); got != want {
		t.Errorf("findings %q; want %q", got, want)
	}
	for _, f := range linted {
		if f.File == "" || f.Line == 0 || f.Text == "" || f.Fix == "" {
			t.Errorf("finding %+v; want file, line, text and fix", f)
		}
	}
}

// foundWords writes levels and codes of findings.
func foundWords(found []policy.Finding) string {
	var words []string
	for _, f := range found {
		words = append(words, levelWords[f.Level]+" "+f.Code)
	}
	return cmp.Or(strings.Join(words, ", "), "holds nothing")
}

var levelWords = map[policy.Level]string{policy.Remark: "remark", policy.Warning: "warning", policy.Error: "error"}

// A chain of trusted sealers of which none says that the message passed is no
// proof: the rule that trusts them lets nothing in by it.
func TestASealerThatRecordsNothingLetsNothingIn(t *testing.T) {
	paths, _ := filepath.Glob(redteam + "/*-sealer-that-records-nothing.toml")
	if len(paths) != 1 {
		t.Fatal("the red team has no sealer that records nothing")
	}
	data, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	set, err := Load(redteamDir(t, string(data)), lintOptions())
	if err != nil {
		t.Fatal(err)
	}
	recorded := func(result string) []policy.Recorded {
		return []policy.Recorded{{Method: "dmarc", Result: result, Domain: "bank.example"}}
	}
	for name, tt := range map[string]struct {
		recorded []policy.Recorded
		want     policy.Action
	}{
		"nothing": {nil, policy.Reject}, "a fail": {recorded("fail"), policy.Reject}, "a pass": {recorded("pass"), policy.Accept},
		"a pass of another": {[]policy.Recorded{{Method: "dmarc", Result: "pass", Domain: "other.example"}}, policy.Reject},
	} {
		spoof := policy.Facts{
			Time: lintDay, Client: netip.MustParseAddr("198.51.100.1"), Recipients: []string{"us.example"}, FromField: policy.FromOneMailbox,
			Authors: []policy.Author{{
				Domain: "bank.example", Org: "bank.example", PolicyDomain: "bank.example",
				Verdict: dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100},
			}},
			ARC:     policy.ARC{Result: "pass", Sealers: []policy.Sealer{{Domain: "relay.example", Recorded: tt.recorded}}},
			Version: policy.FactsVersion, Seed: 1,
		}
		d := policy.Settings{Profile: policy.Strict, EnforceShare: 100, Rules: set.Rules}.Decide(spoof)
		if d.Action != tt.want {
			t.Errorf("Decide of a chain whose sealer recorded %s = %v; want %v", name, d.Action, tt.want)
		}
	}
}

// What is shown as good has to be good.
func TestLintSaysNothingOfTheExamples(t *testing.T) {
	o := lintOptions()
	o.Now, o.LastMatch = midnight(2026, 11, 3), nil // when they are written
	if set, err := Load(filepath.Dir(exampleRules), o); err != nil || slices.ContainsFunc(set.Findings, func(f policy.Finding) bool { return f.Level != policy.Remark }) {
		t.Errorf("Load of the examples = %+v, %v; want no finding", set, err)
	}
	text := rulesPage(t)
	var all strings.Builder
	for _, s := range regexp.MustCompile("(?ms)^```toml\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		all.WriteString(s[1])
	}
	dir := ruleDir(t, map[string]string{"rules.toml": all.String()})
	if err := os.CopyFS(filepath.Join(dir, "maps"), os.DirFS(filepath.Dir(exampleRules)+"/maps")); err != nil {
		t.Fatal(err)
	}
	set, err := Load(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range set.Findings {
		if f.Level == policy.Remark { // every door is for somebody
			continue
		}
		t.Errorf("docs/rules.md: rule %s: %s: %v", f.Rule, f.Code, f.Fault)
	}
}

func rulesPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEachCodeOfAFindingIsExplained(t *testing.T) {
	page := rulesPage(t)
	for _, code := range policy.Codes() {
		if !strings.Contains(page, "`"+code+"`") {
			t.Errorf("docs/rules.md does not explain %s", code)
		}
	}
}
