package doctor

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestDoctorPageHasARowForEachFinding(t *testing.T) {
	text, err := os.ReadFile("../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## Findings\n")
	table, versions, _ := strings.Cut(rest, "\n## ")
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		rows = append(rows, m[1])
	}
	if ids := ids(); !slices.Equal(rows, ids) {
		t.Errorf("docs/doctor.md has rows for\n%q; want\n%q", rows, ids)
	}
	for _, q := range quirks {
		if !strings.Contains(versions, "`"+q.id+"` |") {
			t.Errorf("the table of versions in docs/doctor.md has no row for %s", q.id)
		}
	}
	symptoms, _, _ := strings.Cut(string(text), "\n## Findings\n")
	_, symptoms, _ = strings.Cut(symptoms, "\n## Troubleshooting by symptom\n")
	for line := range strings.Lines(symptoms) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[2], -1) {
			if _, ok := levels[m[1]]; !ok {
				t.Errorf("the symptom %q leads to %s, which is no finding", cells[1], m[1])
			}
		}
	}
}

// ids are the ids of findings, sorted.
func ids() []string { return slices.Sorted(maps.Keys(levels)) }
