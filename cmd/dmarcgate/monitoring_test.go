package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/metrics"
)

var (
	metricRow = regexp.MustCompile("(?m)^\\| `(dmarcgate_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*)\\|")
	attrRow   = regexp.MustCompile("(?m)^\\| `([a-z]+)=` \\|")
)

func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, []string{"mta"})
	m.RuleMatched("a-rule", "accept", "enforce") // rules have no series before
	m.RuleShadowChanged("a-rule", "accept", "reject")
	m.RuleLastMatch("a-rule", time.Now())
	m.RuleExpiry(map[string]time.Time{"a-rule": time.Now()})
	m.Ruleset("0123456789ab", 1)
	m.NameServer("192.0.2.53:53", 50, 1, false, false) // nor have name servers
	m.ListenerSettings("mta", "strict", 100)           // nor settings of listeners, and checks
	m.Ready("resolver", true)
	metrics.RegisterBuildInfo(reg, version, revision())
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		want = append(want, f.GetName()+" "+strings.ToLower(f.GetType().String())+" "+strings.Join(labels, ", "))
	}
	var got []string
	for _, m := range metricRow.FindAllStringSubmatch(string(text), -1) {
		got = append(got, m[1]+" "+m[2]+" "+strings.TrimSpace(m[3]))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("docs/monitoring.md lists\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLogKeysAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for _, m := range attrRow.FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = true
	}
	_, _, log := command("demo", "--log")
	n := 0
	for line := range strings.Lines(log) {
		if !strings.Contains(line, " qid=") {
			continue
		}
		n++
		if !regexp.MustCompile(`^time=\S+ qid=`).MatchString(line) {
			t.Errorf("log line %q; want the queue id first", line)
		}
		for _, m := range regexp.MustCompile(` ([a-z]+)=`).FindAllStringSubmatch(line, -1) {
			if key := m[1]; !documented[key] && key != "np" && key != "sp" && key != "p" && key != "pct" {
				t.Errorf("the key %q of the log line is not in docs/monitoring.md", key)
			}
		}
	}
	if n < 12 {
		t.Errorf("the demo logs %d messages; want at least 12", n)
	}
}
