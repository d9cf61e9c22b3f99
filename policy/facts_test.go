package policy

import "testing"

func TestOrdinaryNeedsAFactThatWasRecorded(t *testing.T) {
	tests := []struct {
		name  string
		facts Facts
		want  bool
	}{
		{"recorded", Facts{Version: FactsVersion}, true},
		{"recorded, a report", Facts{Version: FactsVersion, ReportTraffic: TrafficReport}, false},
		{"before the fact was recorded", Facts{Version: 1}, false},
		{"of another program", Facts{}, false},
		{"the null path", Facts{Version: FactsVersion, NullPath: true}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.facts.Ordinary(); got != tt.want {
				t.Errorf("Ordinary() = %v; want %v", got, tt.want)
			}
		})
	}
}
