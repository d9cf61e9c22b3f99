package dmarc

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestVerdictTextRoundTrip(t *testing.T) {
	for _, v := range []Verdict{
		{},
		{Status: Fail, Policy: Reject, Pct: 30, Testing: true, Why: "x"},
		{Status: TempError, Policy: Quarantine, Cause: CauseOurs, AlignedSPF: true},
		{Status: PermError, Cause: CauseDomain, AlignedDKIM: true},
		{Status: Pass},
	} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if want := `"status":"` + v.Status.String() + `"`; !strings.Contains(string(text), want) {
			t.Errorf("json of %+v = %s; want %s in it", v, text, want)
		}
		var got Verdict
		if err := json.Unmarshal(text, &got); err != nil || got != v {
			t.Errorf("reading %s again = %+v, %v; want %+v", text, got, err, v)
		}
	}
	var p Policy
	if err := p.UnmarshalText([]byte("discard")); err == nil {
		t.Error("UnmarshalText(discard) has no error")
	}
}
