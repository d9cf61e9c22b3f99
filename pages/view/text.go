package view

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxShown is how many characters of one text from outside a page shows.
const maxShown = 200

// Shown returns text from outside as a page may show it: printable ASCII as it
// is, and each other character as <U+202E>, so that none is invisible, turns the
// direction of writing or looks like another one. Bytes that are no UTF-8 are
// shown as <0xFF>. What is beyond maxShown characters is "...".
func Shown(s string) string {
	var b strings.Builder
	for n := 0; s != ""; n++ {
		if n == maxShown {
			return b.String() + "..."
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, "<0x%02X>", s[0])
		case r < ' ' || r > '~':
			fmt.Fprintf(&b, "<U+%04X>", r)
		default:
			b.WriteRune(r)
		}
		s = s[size:]
	}
	return b.String()
}

// orDash is a text from outside, or a dash for none.
func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return Shown(s)
}

// Number writes a count with a narrow space between thousands.
func Number(n int64) string {
	text := strconv.FormatInt(n, 10)
	head := len(text)
	if n < 0 {
		head--
	}
	for i := len(text) - 3; head > 3; i, head = i-3, head-3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

// Moment writes a time in UTC, to the minute; "never" for none.
func Moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// Ago says in one unit how long before now a time was.
func Ago(now, then time.Time) string {
	switch d := now.Sub(then); {
	case then.IsZero():
		return "never"
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return count(int64(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return count(int64(d/time.Hour), "hour") + " ago"
	default:
		return count(int64(d/(24*time.Hour)), "day") + " ago"
	}
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return Number(n) + " " + what + "s"
}

// percent is a part of all, in whole percent where that says enough.
func percent(n, of int64) string {
	switch p := 100 * float64(n) / float64(max(1, of)); {
	case n > 0 && p < 0.1:
		return "< 0.1 %"
	case p > 0 && p < 10:
		return fmt.Sprintf("%.1f %%", p)
	default:
		return fmt.Sprintf("%.0f %%", p)
	}
}
