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

var (
	questionLine = regexp.MustCompile(`(?m)^\| ([^|]+\?) \| (.+) \|$`)
	answerWord   = regexp.MustCompile(`^(panel|page) "([^"]+)"$`)
)

// Every question of an operator is answered by panels that exist, or by status pages,
// which package pages compares. Each row of the dashboard answers a question.
func TestQuestionsNamePanelsThatExist(t *testing.T) {
	_, rest, found := strings.Cut(read(t, page), "\n## Questions of a new operator\n")
	if !found {
		t.Fatalf("%s has no section with questions", page)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	unasked, titles := make(map[string]bool), make(map[string]bool)
	for _, r := range rows {
		unasked[r.title] = true
		for _, p := range r.panels {
			titles[r.title+": "+p.title] = true
		}
	}
	questions := questionLine.FindAllStringSubmatch(section, -1)
	if lines := strings.Count(section, "\n| "); len(questions) < 40 || len(questions) != lines-1 {
		t.Errorf("%s has %d questions in %d lines of a table; want at least 40, and a question in each line but the title", page, len(questions), lines)
	}
	for _, q := range questions {
		for answer := range strings.SplitSeq(q[2], "; ") {
			m := answerWord.FindStringSubmatch(answer)
			if m == nil {
				t.Errorf("%q: the answer %s names no panel and no page", q[1], answer)
				continue
			}
			if m[1] == "panel" && !titles[m[2]] {
				t.Errorf("%q: the dashboard has no panel %q", q[1], m[2])
			}
			row, _, _ := strings.Cut(m[2], ": ")
			delete(unasked, row)
		}
	}
	for row := range unasked {
		t.Errorf("the row %q of the dashboard answers no question of %s", row, page)
	}
}
