package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
)

var (
	seriesLine = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*\{(.*)\} \S+$`)
	labelPair  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
)

// labelPairs are the labels with their values in the text of /metrics.
func labelPairs(text string) map[[2]string]bool {
	pairs := make(map[[2]string]bool)
	for line := range strings.Lines(text) {
		if s := seriesLine.FindStringSubmatch(strings.TrimSpace(line)); s != nil {
			for _, p := range labelPair.FindAllStringSubmatch(s[1], -1) {
				pairs[[2]string{p[1], p[2]}] = true
			}
		}
	}
	return pairs
}

// ruleLabels are those of the metrics of rules, which have no series before the first
// match, with the values that exist without any message.
var ruleLabels = map[string][]string{
	"action": {"accept", "tag", "hold", "tempfail", "reject"}, "from": {"accept", "tag", "hold", "tempfail", "reject"},
	"to": {"accept", "tag", "hold", "tempfail", "reject"}, "mode": {"enforce", "shadow"},
}

// newLabels lists the labels of after that before does not have and that nothing
// but mail can have brought: rules are the ids of the rules that are loaded, and
// servers the addresses of the name servers.
func newLabels(before, after string, rules, servers []string) (list []string) {
	known := labelPairs(before)
	for p := range labelPairs(after) {
		switch name, value := p[0], p[1]; {
		case known[p], value == "other":
		case name == "rule" && slices.Contains(rules, value), name == "server" && slices.Contains(servers, value):
		case slices.Contains(ruleLabels[name], value):
		default:
			list = append(list, name+"="+value)
		}
	}
	slices.Sort(list)
	return list
}

// metricsText scrapes a daemon.
func metricsText(t *testing.T, d *served) string {
	t.Helper()
	code, text := daemontest.Get(t, "http://"+d.Web().String()+"/metrics")
	if code != 200 || !strings.Contains(text, "dmarcgate_milter_messages_total{") {
		t.Fatalf("GET /metrics = %d, %d bytes; want 200 and the metrics", code, len(text))
	}
	return text
}

// checkLabels fails for each label value that a message has brought into the
// metrics of a daemon. Every case of testdata/cases is checked.
func checkLabels(t *testing.T, d *served, before string, servers ...string) {
	t.Helper()
	var rules []string
	for _, r := range d.Inputs().Rules.List() {
		rules = append(rules, r.ID)
	}
	for _, label := range newLabels(before, metricsText(t, d), rules, servers) {
		t.Errorf("after the message, /metrics has the label %s; want values of closed lists and of the configuration only", label)
	}
}

func TestNewLabelsFindsValuesOfMail(t *testing.T) {
	const before = `# HELP dmarcgate_x_total A counter.
dmarcgate_x_total{listener="mta",result="pass"} 0
`
	for _, tt := range []struct{ name, line, want string }{
		{"the same series", `dmarcgate_x_total{listener="mta",result="pass"} 4`, ""},
		{"a value beyond the list, counted as other", `dmarcgate_x_total{listener="mta",result="other"} 1`, ""},
		{"a loaded rule", `dmarcgate_rule_matches_total{action="tag",mode="shadow",rule="partner"} 1`, ""},
		{"a rule that is not loaded", `dmarcgate_rule_matches_total{action="tag",mode="shadow",rule="bank"} 1`, "rule=bank"},
		{"a name server", `dmarcgate_dns_window{server="192.0.2.53:53"} 9`, ""},
		{"another address", `dmarcgate_dns_window{server="203.0.113.1:53"} 9`, "server=203.0.113.1:53"},
		{"a new label", `dmarcgate_x_total{domain="bank.example",listener="mta",result="pass"} 1`, "domain=bank.example"},
		{"a new value of an old label", `dmarcgate_x_total{listener="mta",result="pass\" x"} 1`, `result=pass\" x`},
		{"a known word under another label", `dmarcgate_x_total{listener="pass",result="pass"} 1`, "listener=pass"},
	} {
		got := strings.Join(newLabels(before, before+tt.line+"\n", []string{"partner"}, []string{"192.0.2.53:53"}), " ")
		if got != tt.want {
			t.Errorf("%s: newLabels = %q; want %q", tt.name, got, tt.want)
		}
	}
}
