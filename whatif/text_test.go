package whatif

import (
	"fmt"
	"strings"
	"testing"

	"dmarcgate/internal/resultstest"
	"dmarcgate/results"
)

func TestWhatIfReportIsPrintable(t *testing.T) {
	nasty := "\x1b[31m" + strings.Repeat("é", 150) + "\n.example"
	var rows []results.Row
	for n := range 5 {
		f := resultstest.Facts(n, resultstest.Author(nasty+fmt.Sprint(n), nasty))
		f.Recipients, f.SPF.Domain, f.QueueID, f.Listener = []string{nasty, "", "c"}, nasty, nasty, "mta"
		r := resultstest.Decided(profileSettings(t, "monitor"), f)
		r.Settings, r.Decision.Rule = "others", "old"
		rows = append(rows, r)
	}
	gone := rows[0]
	gone.Facts.Listener = nasty
	c := trying(profileSettings(t, "strict"))
	c.readiness = true
	var text strings.Builder
	if err := (&report{tally: tallied(t, c, append(rows, gone)...), tried: c, limit: 10}).text(&text); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		line = strings.TrimSuffix(line, "\n")
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("line %q; want printable ASCII", line)
		}
	}
}
