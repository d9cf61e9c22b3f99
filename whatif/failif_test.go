package whatif

import (
	"strings"
	"testing"
)

func TestFailIfParses(t *testing.T) {
	tally := &tally{Messages: 1000, CannotTell: 7, effect: effect{Changed: 30, Relaxed: 1, Tightened: 29, Rejected: 20, Quarantined: 9, Deferred: 3}}
	tests := []struct {
		in    string
		holds bool
		err   string // part of the error
	}{
		{"relaxed>0.1%", false, ""},
		{"relaxed>=0.1%", true, ""},
		{"relaxed>0", true, ""},
		{" changed > 29 ", true, ""},
		{"changed>30", false, ""},
		{"changed >= 30", true, ""},
		{"tightened>2.9%", false, ""},
		{"tightened>2.89999%", true, ""},
		{"rejected>=20", true, ""},
		{"quarantined>=10", false, ""},
		{"deferred>2", true, ""},
		{"cannot_tell>=0.7%", true, ""},
		{"changed>=100%", false, ""},

		{"", false, "at character 1: write one of changed"},
		{"relaxes>1", false, "at character 1: write one of"},
		{"relaxed", false, "at character 8: write > or >="},
		{"relaxed=1", false, "at character 8: write > or >="},
		{"relaxed<1", false, "at character 8"},
		{"relaxed>", false, "at character 9: write a number"},
		{"relaxed>-1", false, "at character 9"},
		{"relaxed>1.5", false, "at character 9: 1.5 messages cannot be"},
		{"relaxed>1..5%", false, "at character 9: 1..5 is not a number"},
		{"relaxed>.5%", false, "is not a number"},
		{"relaxed>1e3", false, "at character 10: nothing may follow"},
		{"relaxed>1 %%", false, "at character 12: nothing may follow"},
		{"relaxed>100%", false, "never holds"},
		{"relaxed>=101%", false, "never holds"},
		{"relaxed>=0", false, "always holds"},
		{"relaxed>1111111111111111111", false, "write a number"},
	}
	for _, tt := range tests {
		c, err := ParseCondition(tt.in)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("ParseCondition(%q) = %v; want an error with %q", tt.in, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("ParseCondition(%q) = %v; want none", tt.in, err)
		} else if got := c.holds(tally); got != tt.holds {
			t.Errorf("%q holds = %v; want %v", tt.in, got, tt.holds)
		}
	}
	c, err := ParseCondition("relaxed>0%")
	if err != nil || c.holds(newTally(&Candidate{}, 10)) {
		t.Errorf("a share of no messages is more than 0%%, or %v", err)
	}
}
