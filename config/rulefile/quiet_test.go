package rulefile

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dmarcgate/policy/lint"
)

var tomlBlock = regexp.MustCompile("(?ms)^```toml\n(.*?)^```")

// shownRules are the sets of rules that documents, examples and the tests of what-if
// have, by name: every door in them is for one named party.
func shownRules(t *testing.T) map[string]map[string]string {
	t.Helper()
	sets := map[string]map[string]string{}
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../../README.md") {
		set := map[string]string{}
		for i, s := range tomlBlock.FindAllStringSubmatch(read(page), -1) {
			if strings.Contains(s[1], "[[rule]]") {
				set[string(rune('a'+i))+".toml"] = s[1]
			}
		}
		if len(set) > 0 {
			sets[filepath.Base(page)] = set
		}
	}
	sets["deploy"] = map[string]string{"example.toml": strings.ReplaceAll(read(exampleRules), `mode = "off"`, `mode = "enforce"`)}
	whatif, err := filepath.Glob("../../cmd/dmarcgate/testdata/whatif/*.toml")
	if err != nil || len(whatif) < 4 {
		t.Fatalf("%d files of what-if: %v; want 4", len(whatif), err)
	}
	sets["what-if"] = map[string]string{}
	for _, path := range whatif {
		sets["what-if"][filepath.Base(path)] = read(path)
	}
	return sets
}

func TestLintRefusesNoneOfTheRulesThatAreShown(t *testing.T) {
	sets := shownRules(t)
	if len(sets) < 3 {
		t.Fatalf("%d sets of rules; want those of documents, examples and what-if", len(sets))
	}
	for name, files := range sets {
		t.Run(name, func(t *testing.T) {
			dir := ruleDir(t, files)
			for _, maps := range []string{filepath.Join(filepath.Dir(exampleRules), "maps"), "../../cmd/dmarcgate/testdata/whatif/maps"} {
				if err := os.CopyFS(filepath.Join(dir, "maps"), os.DirFS(maps)); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Load(dir, Options{Options: lint.Options{Now: midnight(2026, 11, 3), ReportsOf: "rfc9990"}})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d rules: %s", s.Rules.Len(), foundWords(s.Findings))
			for _, f := range s.Findings {
				t.Logf("%s %s %s: %v", levelWords[f.Level], f.Code, f.Rule, f)
			}
		})
	}
}
