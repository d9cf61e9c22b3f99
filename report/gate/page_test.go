package gate

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// words returns the first group of each match in a file.
func words(t *testing.T, file, pattern string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
		all = append(all, string(m[1]))
	}
	return all
}

func TestReportsPageHasEveryGateInOrder(t *testing.T) {
	source := words(t, "gate.go", `(?m)Why = "([a-z_]+)"`)
	page := words(t, "../../docs/reports.md", "(?m)^\\| `([a-z_]+)` \\|")
	if len(source) < 20 || !slices.Equal(source, page) {
		t.Errorf("gates of the page = %q; want those of the source, %q", page, source)
	}
}

func TestReportsPageSaysWhatWaits(t *testing.T) {
	var want []string
	for _, w := range words(t, "gate.go", `(?m)Why = "([a-z_]+)"`) {
		if Why(w).Waits() {
			want = append(want, w)
		}
	}
	text := words(t, "../../docs/reports.md", `(?m)^(.*) leave a report waiting`)
	if len(text) != 1 {
		t.Fatalf("docs/reports.md has %d sentences about waiting; want one", len(text))
	}
	var got []string
	for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(text[0], -1) {
		got = append(got, m[1])
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page says that %q wait; want %q", got, want)
	}
}
