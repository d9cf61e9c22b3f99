package dashboard

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write deploy/grafana/dmarcgate.json")

const file, page = "../../deploy/grafana/dmarcgate.json", "../../docs/monitoring.md"

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDashboardFileIsDrawnFromTable(t *testing.T) {
	want, err := JSON()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, file) != string(want) {
		t.Errorf("%s differs from panels.go: run go test ./internal/dashboard -update", file)
	}
}

// Every panel can be read: a title of its own that fits above it, and a width.
func TestPanelsAreReadable(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range rows {
		for _, p := range r.panels {
			if seen[p.title] {
				t.Errorf("two panels have the title %q", p.title)
			}
			seen[p.title] = true
			if p.width < 3 || p.width > columns {
				t.Errorf("%s: %d columns; want 3 to %d", p.title, p.width, columns)
			}
			if most := 9 * p.width; len(p.title) > most {
				t.Errorf("%s: the title has %d characters; %d fit", p.title, len(p.title), most)
			}
			if len(p.queries) == 0 || len(p.queries) > 26 || p.unit == "" {
				t.Errorf("%s: %d queries, unit %q; want 1 to 26 and a unit", p.title, len(p.queries), p.unit)
			}
			for _, q := range p.queries {
				if q.legend == "" {
					t.Errorf("%s: %s has no name", p.title, q.expr)
				}
			}
		}
	}
}

// Every metric of docs/monitoring.md is on the dashboard or named as left out, and the
// page names no panel that does not exist.
func TestDashboardShowsEveryMetric(t *testing.T) {
	text := read(t, page)
	board, err := JSON()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(text, "\n## Dashboard\n")
	if !found {
		t.Fatalf("%s has no section Dashboard", page)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	_, leftOut, _ := strings.Cut(section, "Left out:")
	n := 0
	for _, m := range regexp.MustCompile("(?m)^\\| `(dmarcgate_[a-z_]+)` \\|").FindAllStringSubmatch(text, -1) {
		n++
		shown := regexp.MustCompile(m[1] + `(_bucket|_sum|_count)?\b`).Match(board)
		if named := strings.Contains(leftOut, "`"+m[1]+"`"); shown == named {
			t.Errorf("%s: on the dashboard: %v, named as left out: %v; want one of the two", m[1], shown, named)
		}
	}
	if n < 60 {
		t.Errorf("%s lists %d metrics; want all", page, n)
	}
}

// Every question of an operator is answered by a panel that exists.
func TestQuestionsNamePanels(t *testing.T) {
	_, rest, found := strings.Cut(read(t, page), "\n### Questions\n")
	if !found {
		t.Fatalf("%s has no section Questions", page)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	titles := make(map[string]bool)
	for _, r := range rows {
		for _, p := range r.panels {
			titles[r.title+": "+p.title] = true
		}
	}
	n := 0
	for _, m := range regexp.MustCompile(`(?m)^\| ([^|]+\?) \| panel "([^"|]+)" \|$`).FindAllStringSubmatch(section, -1) {
		if n++; !titles[m[2]] {
			t.Errorf("%q: the dashboard has no panel %q", m[1], m[2])
		}
	}
	asked := strings.Count(section, "? |")
	if pages := strings.Count(section, "| page "); n < 20 || n+pages != asked {
		t.Errorf("%d questions, of which a panel answers %d and a page %d; want an answer to each", asked, n, pages)
	}
}
