package spf

import (
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/suites"
)

// suiteCase is one test of the suite.
type suiteCase struct {
	name   string
	fields suites.Node
	zone   suiteZone // of its section
}

func (c suiteCase) field(name string) string { return c.fields.Get(name).Text }

// readSuite reads the 203 cases.
func readSuite(t *testing.T) []suiteCase {
	cases := readCases(t, string(suites.Read(t, "spf-rfc7208/rfc7208-tests.yml")))
	if len(cases) != 203 {
		t.Fatalf("%d cases read; want 203", len(cases))
	}
	return cases
}

func TestSuiteOfRFC7208(t *testing.T) {
	for _, c := range readSuite(t) {
		t.Run(c.name, func(t *testing.T) {
			// The first section that it names, without the paragraph.
			section, _, _ := strings.Cut(c.field("spec"), "/")
			suites.Section(t, section)
			got := Check(t.Context(), c.zone, c.query())
			if want := c.fields.Get("result").Texts(); !slices.Contains(want, got.Status.String()) {
				t.Errorf("Check() = %+v; want %v", got, want)
			}
			want := c.field("explanation")
			if c.fields.Has("explanation") && got.Explanation != strings.TrimPrefix(want, "DEFAULT") {
				t.Errorf("explanation = %q; want %q", got.Explanation, want)
			}
			if got.Why == "" || (got.Err != nil) != (got.Status == TempError) {
				t.Errorf("Check() = %+v; want a reason, and an error with temperror only", got)
			}
		})
	}
}
