package pages

import (
	"html"
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	answerPage  = regexp.MustCompile(`page "([^":]+): ([^"]+)"`)
	sectionName = regexp.MustCompile(`<(?:h2|figcaption|th scope="col"|section|form)[^>]*?(?: aria-label="([^"]*)"[^>]*)?>([^<]*)`)
)

// sectionsOf are the names of the sections and columns of a page.
func sectionsOf(text string) map[string]bool {
	names := make(map[string]bool)
	for _, m := range sectionName.FindAllStringSubmatch(text, -1) {
		names[html.UnescapeString(m[1])], names[html.UnescapeString(strings.TrimSpace(m[2]))] = true, true
	}
	delete(names, "")
	return names
}

// Every status page answers a question of operators, and every answer of
// docs/monitoring.md names a page and a section that exist. Package dashboard compares
// the panels.
func TestQuestionsNamePagesAndSectionsThatExist(t *testing.T) {
	f := newFixture(t)
	keepReport(t, f)
	h := free(f.Source)
	list := paths(h)
	at := map[string]string{"Decision": list[len(list)-1]}
	for _, e := range menu {
		at[e.Name] = e.Path
	}
	text, err := os.ReadFile("../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	asked, sections := make(map[string]bool), make(map[string]map[string]bool)
	for name, path := range at {
		sections[name] = sectionsOf(ask(h, "GET", path).Body.String())
	}
	for _, m := range answerPage.FindAllStringSubmatch(string(text), -1) {
		asked[m[1]] = true
		switch {
		case at[m[1]] == "":
			t.Errorf("docs/monitoring.md names the page %q, which does not exist", m[1])
		case !sections[m[1]][m[2]]:
			t.Errorf("docs/monitoring.md names the section %q, which the page %s does not have; it has %v", m[2], m[1], sections[m[1]])
		}
	}
	for name := range at {
		if !asked[name] {
			t.Errorf("the page %s answers no question of docs/monitoring.md", name)
		}
	}
}
