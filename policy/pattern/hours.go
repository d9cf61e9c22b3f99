package pattern

import (
	"fmt"
	"slices"
	"time"
)

// Hours is a part of each day, in minutes after midnight: from Begin to
// before End, over midnight when Begin is not before End.
type Hours struct{ Begin, End int }

// DayMinutes is how many minutes a day has.
const DayMinutes = 24 * 60

// String returns the hours as a rule file has them: "22:00-06:00".
func (h Hours) String() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d", h.Begin/60, h.Begin%60, h.End/60, h.End%60)
}

// MarshalText implements encoding.TextMarshaler.
func (h Hours) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads "22:00-06:00"; the second time may be 24:00. Two equal
// times are refused: nobody knows whether all of the day or nothing is meant.
// The error is a Fault without a key.
func (h *Hours) UnmarshalText(text []byte) error {
	if len(text) != len("22:00-06:00") || text[5] != '-' {
		return notHours(text)
	}
	begin, ok := minutes(text[:5])
	end, okEnd := minutes(text[6:])
	if !ok || !okEnd || begin == DayMinutes || begin == end {
		return notHours(text)
	}
	*h = Hours{begin, end}
	return nil
}

func notHours(text []byte) error {
	return Fault{Text: fmt.Sprintf("%q is not a part of the day", text), Fix: `write it as "22:00-06:00", or "00:00-24:00" for all of it`}
}

// minutes reads "06:30", at most 24:00.
func minutes(text []byte) (int, bool) {
	for i, c := range text {
		if (i == 2) != (c == ':') || i != 2 && (c < '0' || c > '9') {
			return 0, false
		}
	}
	hour, minute := int(text[0]-'0')*10+int(text[1]-'0'), int(text[3]-'0')*10+int(text[4]-'0')
	n := hour*60 + minute
	return n, minute < 60 && n <= DayMinutes
}

// Holds reports whether an instant is in h, by the clocks of its location (Zone.In).
func (h Hours) Holds(at time.Time) bool {
	n := at.Hour()*60 + at.Minute()
	if h.Begin < h.End {
		return h.Begin <= n && n < h.End
	}
	return h.Begin <= n || n < h.End
}

// Weekday is a day of the week, which a rule file writes as "mon".
type Weekday time.Weekday

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Weekdays returns the words of the days as a rule file has them, sunday first.
func Weekdays() []string { return slices.Clone(weekdays) }

// String returns the word of a rule file.
func (d Weekday) String() string {
	if d < 0 || int(d) >= len(weekdays) {
		return "invalid"
	}
	return weekdays[d]
}

// MarshalText implements encoding.TextMarshaler.
func (d Weekday) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText accepts the words of a rule file. The error is a Fault without
// a key.
func (d *Weekday) UnmarshalText(text []byte) error {
	for i, word := range weekdays {
		if string(text) == word {
			*d = Weekday(i)
			return nil
		}
	}
	return Fault{Text: fmt.Sprintf("%q is not a day of the week", text), Fix: `write "mon", "tue", "wed", "thu", "fri", "sat" or "sun"`}
}

// Holds reports whether an instant is on d, by the calendar of its location.
func (d Weekday) Holds(at time.Time) bool { return at.Weekday() == time.Weekday(d) }
