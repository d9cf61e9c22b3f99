package blob

import (
	"testing"

	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
)

var (
	today  = resultstest.Today
	mixRow = resultstest.MixRow
	row    = resultstest.Spoof
	filled = resultstest.Filled
)

func TestNamesRuleMarksRows(t *testing.T) {
	var e Encoder
	for name, change := range map[string]func(*policy.Decision){
		"no rule":          nil,
		"one that decides": func(d *policy.Decision) { d.Rule = "a" },
		"one that matched": func(d *policy.Decision) { d.Also = []string{"a"} },
		"one in shadow":    func(d *policy.Decision) { d.Shadow = []policy.ShadowDecision{{Rule: "a"}} },
		"one of reports":   func(d *policy.Decision) { d.Unreported = "a" },
	} {
		r := mixRow(10)
		if change != nil {
			change(&r.Decision)
		}
		c, err := e.Columns(&r)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := new(Reader).NamesRule(c.Blob), change != nil; got != want || c.Flags&flagRuled != 0 != want {
			t.Errorf("%s: namesRule() = %v, flags = %d; want %v", name, got, c.Flags, want)
		}
		for n := range c.Blob {
			new(Reader).NamesRule(c.Blob[:n]) // whatever is left of it
		}
	}
}
