package scale

import "testing"

func TestOfIsAWholeNumberFromOneUp(t *testing.T) {
	for text, want := range map[string]int{"": 1, "1": 1, "50": 50, "0": 0, "-2": 0, "2.5": 0, "many": 0} {
		got, err := parse(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("parse(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
}
