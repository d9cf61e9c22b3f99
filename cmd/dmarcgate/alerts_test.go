package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const rulesFile = "../../deploy/prometheus/dmarcgate.rules.yml"

var alertName = regexp.MustCompile(`(?m)^  - alert: (\w+)$`)

// boardJSON is what the test needs of the dashboard.
type boardJSON struct {
	Panels     []boardPanel
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Annotations struct {
		List []struct{ Name, Expr string }
	}
}

type boardPanel struct {
	Type, Title string
	Targets     []struct{ Expr string }
}

func readBoard(t *testing.T) (b boardJSON) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/grafana/dmarcgate.json")
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err != nil || len(b.Panels) < 50 {
		t.Fatalf("the dashboard has %d panels, %v; want at least 50", len(b.Panels), err)
	}
	return b
}

// alertNames returns the alerts of the rules file.
func alertNames(t *testing.T) (names []string) {
	t.Helper()
	for _, m := range alertName.FindAllStringSubmatch(readText(t, rulesFile), -1) {
		names = append(names, m[1])
	}
	if len(names) < 20 {
		t.Fatalf("%s has %d alerts; want all", rulesFile, len(names))
	}
	return names
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each alert has a file of tests in which the alert rests once and fires once, under its
// own name: promtool would accept a rest of an alert that does not exist.
func TestEachAlertHasATestThatItFiresAndRests(t *testing.T) {
	names := alertNames(t)
	for _, name := range names {
		text := readText(t, filepath.Join("../../deploy/prometheus/tests", name+".yml"))
		rests := regexp.MustCompile(`alertname: `+name+`, exp_alerts: \[\]`).FindAllString(text, -1)
		fires := regexp.MustCompile(`alertname: `+name+`\n +exp_alerts:\n +- exp_labels: \{[^}]*severity: (page|ticket|info)\}`).FindAllString(text, -1)
		if len(rests) == 0 || len(fires) == 0 || strings.Count(text, "alertname: ") != len(rests)+len(fires) {
			t.Errorf("tests/%s.yml: the alert rests %d times and fires %d times, of %d; want at least one of each, and no other alert",
				name, len(rests), len(fires), strings.Count(text, "alertname: "))
		}
	}
	files, err := filepath.Glob("../../deploy/prometheus/tests/*.yml")
	if err != nil || len(files) != len(names) {
		t.Errorf("%d files of tests, %v; want one for each of the %d alerts", len(files), err, len(names))
	}
}

// Each alert has a runbook section with a symptom, places to look at and a remedy; the
// panels that the section names exist. TestDocumentsCommandsWork runs the commands.
func TestEachAlertHasARunbook(t *testing.T) {
	names := alertNames(t)
	sections := strings.Split(readText(t, "../../docs/runbooks.md"), "\n### ")[1:]
	panels := readBoard(t)
	var got []string
	for _, s := range sections {
		name, text, _ := strings.Cut(s, "\n")
		got = append(got, name)
		text, _, _ = strings.Cut(text, "\n## ")
		if !regexp.MustCompile("(?s)^\n\\*\\*Symptom\\.\\*\\* .+\n\n\\*\\*Look here\\.\\*\\*.*\n\n```sh\n.+\n```\n\n\\*\\*Do this\\.\\*\\* .+").MatchString(text) {
			t.Errorf("runbook %s: want a symptom, commands to look with, and what to do:\n%s", name, text)
		}
		for _, m := range regexp.MustCompile(`"([A-Z][^"]+)"`).FindAllStringSubmatch(text, -1) {
			if !slices.ContainsFunc(panels.Panels, func(p boardPanel) bool { return p.Title == strings.Join(strings.Fields(m[1]), " ") }) {
				t.Errorf("runbook %s: the dashboard has no panel %q", name, m[1])
			}
		}
		for _, m := range regexp.MustCompile("`dmarcgate ([^`]+)`").FindAllStringSubmatch(text, -1) {
			if err := parses(strings.Fields(m[1])); err != nil && m[1] != "monitor" {
				t.Errorf("runbook %s: dmarcgate %s: %v", name, m[1], err)
			}
		}
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(names))) {
		t.Errorf("docs/runbooks.md has the sections\n%q\nwant the alerts\n%q", got, names)
	}
}

// docs/monitoring.md lists every alert under its severity.
func TestMonitoringPageListsAlerts(t *testing.T) {
	page := readText(t, "../../docs/monitoring.md")
	for _, m := range regexp.MustCompile(`(?s)- alert: (\w+)\n.*?labels: \{severity: (\w+)\}`).FindAllStringSubmatch(readText(t, rulesFile), -1) {
		link := "[" + m[1] + "](runbooks.md#" + strings.ToLower(m[1]) + ")"
		if !regexp.MustCompile("(?m)^\\| `" + m[2] + "` \\|.*" + regexp.QuoteMeta(link)).MatchString(page) {
			t.Errorf("docs/monitoring.md does not list %s with the severity %s", link, m[2])
		}
	}
}
