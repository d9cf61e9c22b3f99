package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"dmarcgate/site"
	"dmarcgate/term"
)

// maxLine is how many bytes of a sentence or of a line to put in are printed: our
// limit; a list of milters with all their settings has some hundred.
const maxLine = 4000

// Print prints findings with the lines to put in, and what could not be found
// out.
func Print(out io.Writer, found []Finding, unseen []string) error {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Level, f.ID, term.Bounded(f.Text, maxLine))
		for _, x := range f.Fixes {
			place := x.Place
			if place == "" {
				place = "run"
			}
			lines := strings.Split(x.Line, "\n")
			for n := range lines {
				lines[n] = term.Bounded(lines[n], maxLine)
			}
			fmt.Fprintf(&b, "    %s: %s\n", term.Printable(place), strings.Join(lines, "\n        "))
		}
	}
	for _, text := range unseen {
		fmt.Fprintf(&b, "not examined: %s\n", term.Printable(text))
	}
	if Faults(found) == 0 {
		b.WriteString("no fault found\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// PrintJSON prints the same for programs.
func PrintJSON(out io.Writer, found []Finding, unseen []string) error {
	return json.NewEncoder(out).Encode(struct {
		Findings []Finding `json:"findings"`
		Unseen   []string  `json:"not_examined"`
	}{append([]Finding{}, found...), append([]string{}, unseen...)})
}

// Faults counts the findings that are errors or warnings.
func Faults(found []Finding) int {
	n := 0
	for _, f := range found {
		if f.Level != site.LevelRemark {
			n++
		}
	}
	return n
}
