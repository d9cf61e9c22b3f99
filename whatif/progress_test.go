package whatif

import (
	"strings"
	"testing"
	"time"

	"dmarcgate/internal/resultstest"
	"dmarcgate/results"
	"dmarcgate/term"
)

func TestProgressBar(t *testing.T) {
	now := resultstest.Day.AddDate(0, 0, 1)
	var out strings.Builder
	rows := make(rowList, 1001)
	for i := range rows {
		rows[i].Facts.Time = resultstest.Day.Add(time.Duration(i) * time.Second)
	}
	b := &bar{Scanner: rows, shown: term.Line{Out: &out}, now: func() time.Time { return now }}
	n := 0
	if err := b.Scan(t.Context(), results.Span{To: resultstest.Day.Add(1000 * time.Second)}, func(results.Row) error {
		n++
		now = now.Add(time.Millisecond)
		return nil
	}); err != nil || n != len(rows) {
		t.Fatalf("Scan() = %d rows, %v; want all", n, err)
	}
	shown := strings.Split(out.String(), "\r")
	if len(shown) < 5 || len(shown) > 9 { // at most 5 a second, and then nothing
		t.Errorf("drawn %d times in a second: %q", len(shown)-3, shown)
	}
	if want := "[------------------------]   6%  64 messages  1016/s  1s left"; shown[1] != strings.Replace(want, "[-", "[#", 1) {
		t.Errorf("the first line is %q; want %q", shown[1], want)
	}
	if last := shown[len(shown)-2]; strings.TrimSpace(last) != "" || len(last) == 0 {
		t.Errorf("the line is left as %q; want blanks", last)
	}
	if term.IsTerminal(&out) {
		t.Error("a buffer is a terminal")
	}
}
