package explain

import (
	"strings"
	"testing"
	"time"

	"dmarcgate/dnscache"
	"dmarcgate/term"
)

// A key record of 4 KB must not hide how old it is.
func TestAnswerOfALongRecordShowsItsAge(t *testing.T) {
	l := dnscache.Lookup{Type: "TXT", Outcome: "hit", Records: []string{strings.Repeat("k", 4000)}, Age: time.Minute, TTL: time.Hour}
	if text := (queried{Lookup: l}).answer(); !strings.Contains(text, "age 1m0s, TTL 1h0m0s)") || len(text) > 2*term.MaxShown {
		t.Errorf("explain shows %q; want it short, with its age and TTL", text)
	}
}

func TestAnswerThatIsStaleIsShownWithWhatIsWrong(t *testing.T) {
	why := &dnscache.StaleError{Age: time.Hour, Err: &dnscache.Error{Name: "a.example", Type: "TXT", Kind: dnscache.Down}}
	l := dnscache.Lookup{Name: "a.example", Type: "TXT", Outcome: "stale", Records: []string{"old"}, Age: time.Hour, AD: true, Err: why}
	want := `["old"] (stale, age 1h0m0s, TTL 0s, AD); no newer answer: dns: TXT "a.example": down; an answer from 1h0m0s ago was used`
	if got := (queried{Lookup: l}).answer(); got != want {
		t.Errorf("explain shows %q; want %q", got, want)
	}
}
