package rulefile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dmarcgate/policy"
	"dmarcgate/policy/ruletest"
)

// Every file is a set of rules that a spoof opens. Its first line says what is found,
// its second why the set is dangerous, and its third has the spoof as it is given in a
// [[rule.test]]: without lint, the spoof is answered with less than the same message
// by plain means, or is missing in reports. Adding one needs no Go.
func TestRulesThatASpoofOpensAreRefusedOrFlagged(t *testing.T) {
	paths, err := filepath.Glob(redteam + "/opened/*.toml")
	if err != nil || len(paths) < 60 {
		t.Fatalf("%d files: %v; want at least 60", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".toml"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitN(string(data), "\n", 4)
			if !strings.HasPrefix(lines[1], "# ") || !strings.HasSuffix(lines[1], ".") {
				t.Errorf("second line %q; want a sentence that says why", lines[1])
			}
			texts := redteamRules(redteamDir(t, string(data)), data)
			opened := openedBy(t, texts, givenOf(t, strings.TrimPrefix(lines[2], "# spoof: ")))
			if opened == "" {
				t.Fatal("the spoof is answered as the plain message is; want less")
			}
			found := slices.DeleteFunc(lintedRules(texts), func(f policy.Finding) bool { return f.Code == policy.CodeUntested })
			if got, want := foundWords(found), strings.TrimPrefix(lines[0], "# "); got != want {
				t.Errorf("findings %q; want %q", got, want)
			}
			if !slices.ContainsFunc(found, func(f policy.Finding) bool { return f.Rule == opened && f.Level != policy.Remark && opensDoor(f.Code) }) {
				t.Errorf("findings %+v; want one about what rule %q opens", found, opened)
			}
		})
	}
}

// opensDoor reports whether a code says what third parties gain.
func opensDoor(code string) bool {
	return slices.Contains([]string{policy.CodeOpensAnybody, policy.CodeOpensAccount, policy.CodeOpensCustomer, policy.CodeHidesReports, policy.CodeAvoided}, code)
}

// givenOf reads the message of a test.
func givenOf(t *testing.T, given string) policy.Given {
	t.Helper()
	rules, err := Parse("spoof", []byte(relayRule+"[[rule.test]]\ngiven = "+given+"\nexpect = { rule = \"\" }\n"))
	if err != nil {
		t.Fatal(err)
	}
	return rules[0].Tests[0].Given
}

// openedBy returns the rule by which a spoof is answered with less than the same
// message by plain means, or is kept out of reports; or which it avoids. "" is none.
func openedBy(t *testing.T, list []policy.Rule, spoof policy.Given) string {
	t.Helper()
	decide := func(g policy.Given, p policy.Profile, rules []policy.Rule) policy.Decision {
		set, err := policy.NewRules(rules)
		if err != nil {
			t.Fatal(err)
		}
		g.Profile = p
		return ruletest.Settings(g, set).Decide(ruletest.Facts(g, lintDay))
	}
	plain := policy.Given{
		Author: spoof.Author, FromField: spoof.FromField, Policy: spoof.Policy, PolicyDomain: spoof.PolicyDomain, Result: spoof.Result,
		Rcpt: spoof.Rcpt, Time: spoof.Time, History: spoof.History, Client: attacker, Helo: "host.stranger.example", MailFrom: "stranger.example",
	}
	for i := range list {
		list[i].Sample = 0 // the sender tries until the draw falls his way
	}
	for _, p := range []policy.Profile{policy.Strict, policy.Conformant} {
		got := decide(spoof, p, list)
		before := decide(plain, p, list)
		base := max(decide(plain, p, nil).Action, decide(plain, p, without(list, before.Rule)).Action, before.Action)
		switch {
		case got.Unreported != "":
			return got.Unreported
		case got.Action < base && got.Rule != "":
			return got.Rule
		case got.Action < base:
			return before.Rule
		}
	}
	return ""
}

func without(list []policy.Rule, id string) []policy.Rule {
	return slices.DeleteFunc(slices.Clone(list), func(r policy.Rule) bool { return r.ID == id })
}
