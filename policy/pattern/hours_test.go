package pattern

import (
	"encoding/json"
	"testing"
	"time"
)

func TestHoursTextRoundTrip(t *testing.T) {
	for _, s := range []string{"22:00-06:00", "00:00-24:00", "09:30-17:05", "23:59-00:00", "00:00-00:01"} {
		var h Hours
		if err := h.UnmarshalText([]byte(s)); err != nil || h.String() != s {
			t.Errorf("UnmarshalText(%q) = %v, %v; want it again", s, h, err)
		}
	}
	for _, s := range []string{
		"", "22:00", "22:00-06:0", "22:00-06:000", "22:00 06:00", "24:00-06:00", "22:60-06:00", "25:00-06:00", "22:00-24:01", "2200--0600",
		"06:00-06:00", "-1:00-06:00", "22:00-0a:00", "22.00-06.00", "２２:00-06", "22:00-06:00\n",
	} {
		h := Hours{1, 2}
		if err := h.UnmarshalText([]byte(s)); err == nil || h != (Hours{1, 2}) {
			t.Errorf("UnmarshalText(%q) = %v, %v; want an error, and the hours as they were", s, h, err)
		}
	}
}

func TestHoursHoldFromStartToBeforeEnd(t *testing.T) {
	at := func(hour, minute int) time.Time { return time.Date(2026, 11, 2, hour, minute, 59, 0, time.UTC) }
	tests := []struct {
		hours string
		at    time.Time
		want  bool
	}{
		{"09:00-17:00", at(8, 59), false}, {"09:00-17:00", at(9, 0), true}, {"09:00-17:00", at(16, 59), true}, {"09:00-17:00", at(17, 0), false},
		{"22:00-06:00", at(21, 59), false}, {"22:00-06:00", at(22, 0), true}, {"22:00-06:00", at(0, 0), true}, {"22:00-06:00", at(5, 59), true}, {"22:00-06:00", at(6, 0), false},
		{"00:00-24:00", at(0, 0), true}, {"00:00-24:00", at(23, 59), true},
		{"09:00-10:00", at(9, 0).In(time.FixedZone("", -5*3600)), false}, {"04:00-05:00", at(9, 0).In(time.FixedZone("", -5*3600)), true},
	}
	for _, tt := range tests {
		var h Hours
		if err := h.UnmarshalText([]byte(tt.hours)); err != nil {
			t.Fatal(err)
		}
		if got := h.Holds(tt.at); got != tt.want {
			t.Errorf("%s holds at %v = %v; want %v", tt.hours, tt.at, got, tt.want)
		}
	}
}

func TestWeekdayTextRoundTrip(t *testing.T) {
	text, err := json.Marshal([]Weekday{1, 0, 6})
	if err != nil || string(text) != `["mon","sun","sat"]` {
		t.Errorf("Marshal = %s, %v", text, err)
	}
	for i, word := range weekdays {
		var d Weekday
		if err := d.UnmarshalText([]byte(word)); err != nil || d != Weekday(i) || time.Weekday(d).String()[:3] != string(word[0]-32)+word[1:] {
			t.Errorf("UnmarshalText(%s) = %v, %v; want day %d", word, d, err, i)
		}
	}
	for _, s := range []string{"", "Mon", "monday", "mo", "invalid"} {
		var d Weekday
		if err := d.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("UnmarshalText(%q) = %v; want an error", s, d)
		}
	}
}

func FuzzHours(f *testing.F) {
	for _, s := range []string{"22:00-06:00", "00:00-24:00", "99:99-99:99", "::::::::-::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var h Hours
		if err := h.UnmarshalText([]byte(s)); err != nil {
			return
		}
		if h.String() != s || h.Begin < 0 || h.Begin >= DayMinutes || h.End < 0 || h.End > DayMinutes || h.Begin == h.End {
			t.Errorf("UnmarshalText(%q) = %+v; want hours that are written alike", s, h)
		}
	})
}
