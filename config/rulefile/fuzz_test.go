package rulefile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/lint"
	"dmarcgate/policy/ruletest"
	"dmarcgate/policy/sum"
)

// checkLoaded wants a set that works, or printable problems with lines that
// files have.
func checkLoaded(t *testing.T, s *Set, err error, files map[string][]byte) {
	t.Helper()
	if err == nil {
		checkSet(t, s)
		return
	}
	var errs *tomlfile.Errors
	if s != nil || !errors.As(err, &errs) || len(errs.Problems) == 0 {
		t.Fatalf("rules = %v, %v; want problems alone", s, err)
	}
	for _, p := range errs.Problems {
		if p.Line < 0 || p.Line > strings.Count(string(files[filepath.Base(p.File)]), "\n")+1 {
			t.Errorf("problem %q: line %d is not in the file", p, p.Line)
		}
		if text := p.String(); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("problem %q has a control character", text)
		}
	}
}

func checkSet(t *testing.T, s *Set) {
	t.Helper()
	if _, err := policy.NewRules(s.Rules.List()); err != nil {
		t.Errorf("NewRules = %v; want a set of what is loaded", err)
	}
	if failed := ruletest.Run(s.Rules); len(failed) > 0 {
		t.Errorf("ruletest.Run = %v; want none of what is loaded", failed)
	}
	again, err := s.Refresh(Options{})
	if err != nil || sum.Rules(again.Rules) != sum.Rules(s.Rules) || again.Tests != s.Tests {
		t.Errorf("Refresh of what has not changed = %v; want the same set", err)
	}
}

// FuzzParse loads a rule file: it is parsed, linted, made a set and tested.
func FuzzParse(f *testing.F) {
	const test = "[[rule.test]]\ngiven = {author = \"a@b.example\", policy = \"none\"}\nexpect = {applied = \"none\"}\n"
	for _, s := range []string{
		"", ruleFile("a"), ruleFile("a") + ruleFile("a"), ruleFile("a") + "[rule.match.x]\n", "rule = [{}, 3]", "[rule]\n[[rule.match]]\n",
		"[[rule]]\nid = \"\\u0000\\n\"\nmatch = {client = [[]], \"\\n\" = 1}\nexpires = 07:32:00\n",
		"[[rule]]\ncreated = 9999-12-31\nexpires = 0001-01-01\n[rule.match]\nauthor = [\"org:\", \".\", \"\\u202e.example\"]\n",
		ruleFile("a") + test, relayRule + test + test, mapRule("a", `author = ["map:maps/a.txt", "map:..", "map:\u0000"]`) + test,
		relayRule + "[[rule.test]]\ngiven = {dkim = [\"pass:\", 1], time = 0000-01-01T00:00:00Z, \"\\n\" = 1}\nexpect = {rule = \"\\n\\u0007\"}\n",
		relayRule + "sample = inf\nidle = \"9999999d\"\n[[rule.test.given]]\n[rule.test.expect]\n",
		relayRule + "iprev = [\"a.example\"]\ntime = [\"22:00-06:00\"]\nweekday = [\"sat\"]\ntls = true\nhistory_min = 3\nfrom_field = [\"one\"]\nnot_helo = [\".a.example\"]\n" + test,
	} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	names := []byte("bank.example\n")
	if err := os.MkdirAll(filepath.Join(dir, "maps"), 0o700); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"a.txt", "partners.txt"} {
		if err := os.WriteFile(filepath.Join(dir, "maps", name), names, 0o600); err != nil {
			f.Fatal(err)
		}
	}
	o := Options{Options: lint.Options{Now: midnight(2026, 11, 2), ReportsOf: "rfc9990", Listeners: []string{"mta"}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := loadOne(dir, data, o)
		checkLoaded(t, s, err, map[string][]byte{"f": data, "a.txt": names, "partners.txt": names})
		if rules, err := Parse("f", data); (rules == nil) != (err != nil) && len(data) > 0 && rules != nil {
			t.Errorf("Parse(%q) = %v, %v; want either", data, rules, err)
		}
	})
}

// FuzzRuleFileWithMap loads a rule that names a map of domains or of networks.
func FuzzRuleFileWithMap(f *testing.F) {
	for _, s := range []string{
		"", "a.example\n", "# none\n\n", ".a.example # below\r\norg:b.example\n", "*\n.com\na..b\n\x00\n", strings.Repeat("x", 400), "\xff\xfe\n\u202e.example\nmüller.example",
		"192.0.2.0/24\n192.0.2.7\n2001:db8::/32\n", "0.0.0.0/0\n::ffff:192.0.2.1\n10.0.0.1/8\nfe80::1%eth0\n", strings.Repeat("!\n", 50),
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	dir := f.TempDir()
	path := filepath.Join(dir, "m.txt")
	f.Fuzz(func(t *testing.T, data []byte, networks bool) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		rule := []byte(mapRule("a", `author = ["map:m.txt"]`))
		if networks {
			rule = []byte(mapRule("a", `client = ["map:m.txt"]`))
		}
		s, err := loadOne(dir, rule, Options{Options: lint.Options{Now: midnight(2026, 11, 2)}})
		checkLoaded(t, s, err, map[string][]byte{"f": rule, "m.txt": data})
		if s != nil && (s.Stale() || len(s.Maps) != 1 || s.Maps[0].Entries > strings.Count(string(data), "\n")+1) {
			t.Errorf("%d maps, stale %v; want one with at most an entry for each line of %q", len(s.Maps), s.Stale(), data)
		}
	})
}

// loadOne loads rules as those of a file "f" in a directory.
func loadOne(dir string, rules []byte, o Options) (*Set, error) {
	l := loading{dir: dir, sources: []source{{"f", rules}}, maps: newMaps(dir, o.Now, nil), mayDemote: func(string) bool { return o.Demote }}
	return l.load(o)
}
