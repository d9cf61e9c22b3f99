package rooms

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mostPronouns is the largest share of pronouns in the documents, in percent of
// the words outside code and tables. Documents of comparable programs have 2.3
// to 3.5.
const mostPronouns = 6

var (
	anyWord  = regexp.MustCompile(`[A-Za-z][A-Za-z'-]*`)
	pronoun  = regexp.MustCompile(`(?i)^(it|its|itself|that|those|this|these|ones?|what|whom?|whose|which|they|them)$`)
	codeSpan = regexp.MustCompile("`[^`]*`")
	comment  = regexp.MustCompile(`<!--.*?-->`)
	linkTo   = regexp.MustCompile(`\]\([^)]*\)`)
)

// denied are words and phrases that the documents avoid, each with the term to
// use.
var denied = []struct {
	phrase *regexp.Regexp
	use    string
}{
	{regexp.MustCompile(`(?i)\b(un)?mend(s|ed|ing)?\b`), "fix"},
	{regexp.MustCompile(`(?i)\bin force\b`), "active"},
	{regexp.MustCompile(`(?i)\bdoubtful\b`), "warning"},
	{regexp.MustCompile(`(?i)\b(an old answer|old answers)\b`), "stale answer"},
	{regexp.MustCompile(`(?i)\b(taken|takes?|taking|took) down\b`), "recorded"},
	{regexp.MustCompile(`(?i)\bstrangers?\b`), "unauthenticated third party, unrelated domain"},
	{regexp.MustCompile(`(?i)\bupkeep\b`), "maintenance"},
	{regexp.MustCompile(`(?i)\bjudg(e|es|ed|ing)\b`), "evaluate"},
	{regexp.MustCompile(`(?i)\btouch(es|ed|ing)?\b`), "impact, affect"},
	{regexp.MustCompile(`(?i)\bsights?\b`), "domain report"},
	{regexp.MustCompile(`\b(green|GREEN|red|RED)\b`), "PASS, FAIL"},
	{regexp.MustCompile(`(?i)\bas the profile has it\b`), "default per profile"},
	{regexp.MustCompile(`(?i)\bloops?( does not| no longer)? turns?\b`), "health check"},
	{regexp.MustCompile(`(?i)\bnone is none\b`), `a stale negative answer means "no record"`},
	{regexp.MustCompile(`(?i)\bwhat anchors\b`), "anchor"},
	{regexp.MustCompile(`(?i)\bof all without\b`), "(default: all)"},
}

// documents returns the README and the pages of docs by name.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil || len(paths) < 10 {
		t.Fatalf("docs has %d pages, %v; want at least 10", len(paths), err)
	}
	pages := make(map[string]string)
	for _, path := range append(paths, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = string(text)
	}
	return pages
}

// prose returns a page without code and without the targets of links; tables
// tells whether to keep tables.
func prose(page string, tables bool) string {
	var kept []string
	fence := ""
	for line := range strings.Lines(page) {
		start := strings.TrimLeft(line, " ")
		switch {
		case fence != "":
			if strings.HasPrefix(start, fence) {
				fence = ""
			}
		case strings.HasPrefix(start, "```"), strings.HasPrefix(start, "~~~"):
			fence = start[:3]
		case strings.HasPrefix(start, "|") && !tables, strings.HasPrefix(line, "    "):
		default:
			kept = append(kept, line)
		}
	}
	return linkTo.ReplaceAllString(codeSpan.ReplaceAllString(strings.Join(kept, ""), ""), "]")
}

func TestDocumentsNameThingsInsteadOfUsingPronouns(t *testing.T) {
	words, pronouns := 0, 0
	for name, page := range documents(t) {
		all, some := 0, 0
		for _, w := range anyWord.FindAllString(prose(page, false), -1) {
			all++
			if pronoun.MatchString(w) {
				some++
			}
		}
		t.Logf("%s: %d of %d words are pronouns", name, some, all)
		words, pronouns = words+all, pronouns+some
	}
	if words < 5000 || 100*pronouns > mostPronouns*words {
		t.Errorf("%d of %d words of the documents are pronouns; want at most %d %% of at least 5000", pronouns, words, mostPronouns)
	}
}

func TestDocumentsUseTheTermsOfTheField(t *testing.T) {
	for name, page := range documents(t) {
		text := comment.ReplaceAllString(strings.Join(strings.Fields(prose(page, true)), " "), "")
		for _, d := range denied {
			for _, at := range d.phrase.FindAllStringIndex(text, -1) {
				t.Errorf("%s: %q in %q; write %q", name, text[at[0]:at[1]], text[max(0, at[0]-40):min(len(text), at[1]+40)], d.use)
			}
		}
	}
}
