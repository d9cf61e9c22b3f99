package rulefile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/policy"
)

// openRule accepts, or what action says, all mail of an address that anybody can
// rent.
func openRule(id string, priority int, action, match string) string {
	return fmt.Sprintf("[[rule]]\nid = %q\nowner = \"o\"\ncreated = 2026-11-02\nexpires = 2027-05-01\nmode = \"enforce\"\npriority = %d\n"+
		"action = %q\nreason = \"trusted_forwarder\"\n[rule.match]\n%s\n", id, priority, action, match)
}

// modes are the modes of the rules of a set, by id.
func modes(s *Set) map[string]string {
	out := make(map[string]string)
	for _, r := range s.Rules.List() {
		out[r.ID] = r.Mode.String()
	}
	return out
}

func demotedIDs(s *Set) []string {
	var ids []string
	for _, f := range s.Demoted {
		ids = append(ids, f.Rule)
	}
	slices.Sort(ids)
	return ids
}

func starting() Options {
	o := lintOptions()
	o.Demote = true
	return o
}

const (
	anybody = `helo = ["mx.bank.example"]`
	safe    = "client = [\"192.0.2.3\"]\nauthor = [\"bank.example\"]"
)

func TestLoadDemotesRulesThatTheAttackRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		files   map[string]string
		demoted []string
		modes   map[string]string
	}{
		"one of two": {
			map[string]string{"a.toml": openRule("open", 100, "accept", anybody) + openRule("safe", 90, "accept", safe)},
			[]string{"open"}, map[string]string{"open": "shadow", "safe": "enforce"},
		},
		"all": {
			map[string]string{"a.toml": openRule("open", 100, "accept", anybody), "b.toml": openRule("open-too", 90, "quarantine", `mail_from = ["bank.example"]`)},
			[]string{"open", "open-too"}, map[string]string{"open": "shadow", "open-too": "shadow"},
		},
		"a shared holder": {
			map[string]string{"a.toml": openRule("open", 100, "accept", `spf_pass = ["gmail.com"]`)},
			[]string{"open"}, map[string]string{"open": "shadow"},
		},
		"no reports": {
			map[string]string{"a.toml": strings.Replace(openRule("open", 100, "skip_report", anybody), "reason = \"trusted_forwarder\"\n", "", 1)},
			[]string{"open"}, map[string]string{"open": "shadow"},
		},
		"one that another one hides": {
			map[string]string{"a.toml": openRule("open", 100, "quarantine", anybody) + openRule("under", 90, "accept", anybody+"\n"+`listener = ["mta"]`)},
			[]string{"open", "under"}, map[string]string{"open": "shadow", "under": "shadow"},
		},
		"one that is off, and one in shadow": {
			map[string]string{"a.toml": strings.Replace(openRule("off", 100, "accept", anybody), `"enforce"`, `"off"`, 1) +
				strings.Replace(openRule("watch", 100, "accept", `helo = ["mx.shop.example"]`), `"enforce"`, `"shadow"`, 1)},
			[]string{"off", "watch"}, map[string]string{"off": "off", "watch": "shadow"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := ruleDir(t, tt.files)
			if _, err := Load(dir, lintOptions()); err == nil {
				t.Fatal("Load without Demote gave rules; want an error")
			}
			s, err := Load(dir, starting())
			if err != nil {
				t.Fatal(err)
			}
			if got := demotedIDs(s); !slices.Equal(got, tt.demoted) {
				t.Errorf("Demoted = %q; want %q", got, tt.demoted)
			}
			if got := modes(s); fmt.Sprint(got) != fmt.Sprint(tt.modes) {
				t.Errorf("modes = %v; want %v", got, tt.modes)
			}
			for _, f := range s.Demoted {
				if f.Level != policy.Error || f.Code == "" || f.File == "" || f.Line == 0 || f.Fix == "" {
					t.Errorf("Demoted has %+v; want the error with code, file, line and fix", f)
				}
			}
		})
	}
}

// What is wrong in a rule itself was so yesterday, too.
func TestLoadRefusesOtherErrorsThoughItMayDemote(t *testing.T) {
	open := openRule("open", 100, "accept", anybody)
	for name, tt := range map[string]struct{ text, want string }{
		"no TOML":               {"[rule\n", "expected"},
		"an unknown listener":   {openRule("bad", 90, "accept", safe+"\nlistener = [\"nowhere\"]"), "unknown word"},
		"created in the future": {strings.Replace(openRule("bad", 90, "accept", safe), "2026-11-02", "2026-12-02", 1), "is in the future"},
		"a failed test":         {openRule("bad", 90, "accept", safe) + "[[rule.test]]\ngiven = { author = \"a.example\", policy = \"reject\" }\nexpect = { rule = \"bad\" }\n", "expected rule"},
		"a conflict":            {openRule("bad", 90, "accept", safe) + openRule("bae", 90, "quarantine", safe), "has the same match"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(ruleDir(t, map[string]string{"a.toml": open, "b.toml": tt.text}), starting())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load = %v; want an error with %q", err, tt.want)
			}
		})
	}
}

// Tests are about what is written, and what is written has not changed.
func TestLoadRunsTheTestsOfDemotedRulesAsWritten(t *testing.T) {
	dir := ruleDir(t, map[string]string{"a.toml": openRule("open", 100, "accept", anybody) +
		"[[rule.test]]\ngiven = { author = \"a.example\", helo = \"mx.bank.example\", policy = \"reject\" }\nexpect = { rule = \"open\", applied = \"none\" }\n"})
	if s, err := Load(dir, starting()); err != nil || len(s.Demoted) != 1 {
		t.Errorf("Load = %v; want a set with a demoted rule", err)
	}
}

// A rule that was demoted keeps no map of another one from being read, and a map
// that opens a rule that is enforced is refused as ever.
func TestRefreshKeepsRulesDemotedAndDemotesNoOther(t *testing.T) {
	dir := ruleDir(t, map[string]string{"a.toml": openRule("open", 100, "accept", `spf_pass = ["map:a.txt"]`) +
		openRule("safe", 90, "accept", `spf_pass = ["map:b.txt"]`+"\n"+`author = ["bank.example"]`)})
	write(t, dir, "a.txt", "gmail.com\n")
	write(t, dir, "b.txt", "relay.example\n")
	s, err := Load(dir, starting())
	if err != nil || !slices.Equal(demotedIDs(s), []string{"open"}) {
		t.Fatalf("Load = %v; want a set with one demoted rule", err)
	}
	write(t, dir, "b.txt", "relay.example\nother.example\n")
	next, err := s.Refresh(lintOptions())
	if err != nil || !slices.Equal(demotedIDs(next), []string{"open"}) || modes(next)["open"] != "shadow" || modes(next)["safe"] != "enforce" {
		t.Fatalf("Refresh = %v; want the same rule demoted", err)
	}
	write(t, dir, "b.txt", "gmail.com\n")
	if _, err := next.Refresh(lintOptions()); err == nil || !strings.Contains(err.Error(), "rule.match") {
		t.Errorf("Refresh = %v; want that the other rule is refused", err)
	}
	write(t, dir, "b.txt", "relay.example\n")
	write(t, dir, "a.txt", "relay.example\n")
	next, err = s.Refresh(lintOptions())
	if err != nil || len(next.Demoted) > 0 || modes(next)["open"] != "enforce" {
		t.Errorf("Refresh = %v; want the rule enforced once its map is fixed", err)
	}
}

// Rules that hide each other are not attacked for ever, and none is left open.
func TestLoadDemotesTheRestAfterSomeRounds(t *testing.T) {
	var text strings.Builder
	for i := range 2 * maxDemotions {
		fmt.Fprint(&text, openRule(fmt.Sprintf("r-%d", i), 900-i, "accept", anybody))
	}
	begin := time.Now()
	s, err := Load(ruleDir(t, map[string]string{"a.toml": text.String()}), starting())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rules demoted in %v", len(s.Demoted), time.Since(begin))
	for id, mode := range modes(s) {
		if mode != "shadow" {
			t.Errorf("rule %s has the mode %s; want shadow", id, mode)
		}
	}
	last := s.Demoted[len(s.Demoted)-1]
	if len(s.Demoted) != 2*maxDemotions || last.Code != policy.CodeNotAttacked {
		t.Errorf("Demoted = %q; want every rule once", demotedIDs(s))
	}
}

// What blocks a load is the same on every host, whatever its store has seen.
func TestLoadErrorsDependOnNoStore(t *testing.T) {
	dir := ruleDir(t, map[string]string{"a.toml": openRule("open", 100, "accept", anybody) + strings.Replace(openRule("idle", 90, "accept", safe), "priority", "idle = \"1d\"\npriority", 1)})
	var errs []string
	for _, last := range []map[string]time.Time{nil, {}, {"open": lintDay, "idle": lintDay.AddDate(0, 0, -9)}} {
		o := lintOptions()
		o.LastMatch = last
		_, err := Load(dir, o)
		errs = append(errs, fmt.Sprint(err))
	}
	if errs[0] == "<nil>" || errs[1] != errs[0] || errs[2] != errs[0] {
		t.Errorf("errors = %q; want the same", errs)
	}
}
