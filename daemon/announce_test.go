package daemon

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/internal/dnstest"
	"dmarcgate/policy"
)

func TestReloadLogsWhatChanged(t *testing.T) {
	dns := dnstest.New(t, daemontest.Zone)
	rules := t.TempDir()
	rule := func(id, owner string) string {
		return fmt.Sprintf("[[rule]]\nid = %q\nowner = %q\ncreated = 2026-01-01\nmode = \"shadow\"\naction = \"as_published\"\n[rule.match]\nauthor = [\"bank.example\"]\n", id, owner)
	}
	daemontest.PutFile(t, filepath.Join(rules, "a.toml"), rule("stays", "x")+rule("goes", "x")+rule("changes", "x"))
	d, log := startDaemon(t, dns.Addr(), daemontest.Config{
		Extra: fmt.Sprintf("rules_dir = %q\n", rules)})
	daemontest.Change(t, d.state.path, `profile = "strict"`, `profile = "monitor"`)
	daemontest.Change(t, d.state.path, `trusted_networks = ["192.0.2.255"]`, `trusted_networks = ["192.0.2.254"]`)
	daemontest.Change(t, d.state.path, `[dns]`, "[reply]\nhelp = \"https://example.org/\"\n[dns]")
	daemontest.PutFile(t, filepath.Join(rules, "a.toml"), "\n\n"+rule("comes", "x")+rule("changes", "y")+rule("stays", "x"))
	if r := d.Reload(); !r.OK {
		t.Fatal(r.Problem)
	}
	for _, want := range []string{
		`msg="setting changed" key=listener[mta].profile old="\"strict\"" new="\"monitor\""`,
		`key=listener[mta].trusted_networks old="[\"192.0.2.255\"]" new="[\"192.0.2.254\"]"`,
		`key=reply.help old=(default)`,
		`msg="rule added" rule=comes`, `msg="rule removed" rule=goes`, `msg="rule changed" rule=changes`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if strings.Contains(log.String(), "rule=stays") {
		t.Errorf("the log tells of a rule that stands elsewhere as of a change:\n%s", log)
	}
	before := strings.Count(log.String(), "changed")
	if d.Reload(); strings.Count(log.String(), "changed") != before {
		t.Errorf("the log tells of changes when there are none:\n%s", log)
	}
}

func TestReloadComparesRulesByTheirIDs(t *testing.T) {
	a, b := policy.Rule{ID: "a", Owner: "x", Line: 1, File: "f"}, policy.Rule{ID: "b", Owner: "x"}
	moved, other := a, a
	moved.Line, moved.File = 9, "g"
	other.Mode = policy.Enforce
	for _, tt := range []struct {
		before, after []policy.Rule
		want          []rulesDiff
	}{
		{nil, nil, nil},
		{[]policy.Rule{a, b}, []policy.Rule{b, moved}, nil},
		{nil, []policy.Rule{a}, []rulesDiff{{"a", "added"}}},
		{[]policy.Rule{a, b}, nil, []rulesDiff{{"a", "removed"}, {"b", "removed"}}},
		{[]policy.Rule{a}, []policy.Rule{other}, []rulesDiff{{"a", "changed"}}},
	} {
		if got := diffRules(tt.before, tt.after); !slices.Equal(got, tt.want) {
			t.Errorf("diffRules(%v, %v) = %v; want %v", tt.before, tt.after, got, tt.want)
		}
	}
}
