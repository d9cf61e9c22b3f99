package dmarc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/internal/dnstest"
)

// A case is a file in testdata: a sentence on what it proves and the section it
// comes from, then
//
//	-- zone --         zone text of internal/dnstest
//	-- author --       the author domain
//	-- method --       psl; the tree walk without this section
//	-- identifiers --  "spf|dkim DOMAIN pass|fail|temperror|temperror-ours"
//	-- want --         one fact in a line, see fact
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d case files, %v; want them all", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			newCase(t, string(text)).check(t)
		})
	}
}

// testCase is a case file, run.
type testCase struct {
	zone      *dnstest.Zone
	finder    *Finder
	discovery Discovery
	verdict   Verdict
	want      []string
}

func newCase(t *testing.T, text string) *testCase {
	t.Helper()
	sections := sectionsOf(text)
	c := &testCase{want: lines(sections["want"])}
	c.zone = dnstest.NewZone(t, sections["zone"]+"\n!any\n")
	c.finder = &Finder{Resolver: c.zone, Walks: new(Walks)}
	if strings.TrimSpace(sections["method"]) == "psl" {
		c.finder.Method = PSL
	}
	c.discovery = c.finder.Find(t.Context(), strings.TrimSpace(sections["author"]))
	var ids []Identifier
	for _, line := range lines(sections["identifiers"]) {
		ids = append(ids, c.finder.Identify(t.Context(), identifierOf(t, line), c.discovery))
	}
	c.verdict = Evaluate(c.discovery, ids)
	return c
}

func sectionsOf(text string) map[string]string {
	sections, name := map[string]string{}, ""
	for line := range strings.Lines(text) {
		if mark, ok := strings.CutPrefix(line, "-- "); ok {
			name = strings.TrimSuffix(strings.TrimSpace(mark), " --")
			continue
		}
		sections[name] += line
	}
	return sections
}

func lines(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '\n' })
}

func identifierOf(t *testing.T, line string) Identifier {
	t.Helper()
	words := strings.Fields(line)
	if len(words) != 3 {
		t.Fatalf("identifier %q: want a mechanism, a domain and a result", line)
	}
	id := Identifier{Mechanism: SPF, Domain: words[1]}
	if words[0] == "dkim" {
		id.Mechanism = DKIM
	}
	switch words[2] {
	case "pass":
		id.Passed = true
	case "temperror":
		id.Err = theirs
	case "temperror-ours":
		id.Err = ours
	}
	return id
}

func (c *testCase) check(t *testing.T) {
	t.Helper()
	if len(c.want) == 0 {
		t.Fatal("nothing is wanted")
	}
	for _, line := range c.want {
		name, value, _ := strings.Cut(line, " ")
		switch name {
		case "aligned", "unaligned":
			for _, domain := range strings.Fields(value) {
				id := c.finder.Identify(t.Context(), dkim(domain, true), c.discovery)
				if got, want := id.AlignedWith(c.discovery), name == "aligned"; got != want || id.OrgErr != nil {
					t.Errorf("%s aligned with %s = %t, %v; want %t", domain, c.discovery.Author, got, id.OrgErr, want)
				}
			}
		default:
			if got := c.fact(t, name); got != value {
				t.Errorf("%s = %s; want %s", name, got, value)
			}
		}
	}
	queried := map[string]bool{}
	for _, q := range c.zone.Queries() {
		if queried[q] {
			t.Errorf("%s was queried twice for one message", q)
		}
		queried[q] = true
	}
}

// fact returns what came of one of the things a case can want.
func (c *testCase) fact(t *testing.T, name string) string {
	t.Helper()
	d, v := c.discovery, c.verdict
	switch name {
	case "org":
		if d.Org == "" {
			return "unknown"
		}
		return d.Org
	case "record":
		switch {
		case d.Err != nil:
			return "unknown"
		case d.Source == SourceNone:
			return "none"
		}
		return d.PolicyDomain + " " + d.Source.String()
	case "queries":
		return fmt.Sprint(len(d.Walk))
	case "policy":
		return v.Policy.String()
	case "pct":
		return fmt.Sprint(v.Pct)
	case "testing":
		if v.Testing {
			return ""
		}
		return "no"
	case "verdict":
		return v.Status.String()
	case "cause":
		return v.Cause.String()
	case "existence":
		return d.Existence.String()
	case "prints":
		return d.Record.String()
	case "defects":
		return c.names(Harmful)
	case "remarks":
		return c.names(Remark)
	}
	t.Fatalf("%q: nothing that can be wanted", name)
	return ""
}

// names returns the defects of a severity at the names queried.
func (c *testCase) names(s Severity) string {
	var list []string
	for _, step := range c.discovery.Walk {
		for _, d := range step.Defects {
			if d.Severity == s {
				list = append(list, d.Kind.String())
			}
		}
	}
	return strings.Join(list, " ")
}
