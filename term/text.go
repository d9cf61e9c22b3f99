package term

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// MaxShown is how many bytes of one text from outside are printed.
const MaxShown = 500

// ASCII returns s with "?" for each character that is not printable ASCII, of
// any length. It is safe in a terminal, a log line, a reply and a header field.
func ASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// Printable returns text from outside as it may go to a terminal: printable
// ASCII, of at most maxShown bytes, with "..." behind what was cut.
func Printable(s string) string { return Bounded(s, MaxShown) }

// Bounded is Printable with another limit, in bytes.
func Bounded(s string, most int) string {
	if len(s) > most {
		return ASCII(s[:most]) + "..."
	}
	return ASCII(s)
}

// OrNone is s, printable, or "none" for an empty text.
func OrNone(s string) string {
	if s == "" {
		return "none"
	}
	return Printable(s)
}

// YesNo is "yes" or "no".
func YesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

// Count is a number with its noun: "1 rule", "2 rules".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// ErrorText is the text of an error, printable, since an error may quote what a
// server said; "" for nil.
func ErrorText(err error) string {
	if err == nil {
		return ""
	}
	return Printable(err.Error())
}

// FoundWords is the answer to a DNS query on one line, printable: its records, or
// that there are none. nxdomain says that the name does not exist at all.
func FoundWords(records []string, nxdomain bool) string {
	switch {
	case nxdomain:
		return "no such name"
	case len(records) == 0:
		return "no record of this type"
	}
	return Printable(fmt.Sprintf("%q", records))
}

// bareWord is a word that a shell takes as it is, except behind a dash.
var bareWord = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// ShellWord makes s printable and quotes it for a shell unless it is a plain
// word, so that a command line with text from outside is safe to copy.
func ShellWord(s string) string {
	if s = Printable(s); bareWord.MatchString(s) && s[0] != '-' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Texts returns the text form of each value of a list.
func Texts[T fmt.Stringer](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

// Seconds rounds a duration to whole seconds.
func Seconds(d time.Duration) int { return int(d.Round(time.Second) / time.Second) }
