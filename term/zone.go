package term

import (
	"fmt"
	"strings"
)

// Lengths of the strings of a TXT record, in bytes.
const (
	maxString  = 255 // RFC 1035, Section 3.3.14
	mailString = 200 // one string on a line of a message, which stays below 998 bytes when quoted
)

// ZoneTXT is a TXT record as a zone file has it (RFC 1035, Section 5.1): name,
// type and data on one line.
func ZoneTXT(name, text string) string {
	return ZoneName(name) + " TXT " + TXTStrings(text)
}

// TXTStrings is the data of a TXT record as a zone file has it: quoted strings of
// at most 255 bytes, with a blank between them.
func TXTStrings(text string) string { return strings.Join(cutStrings(text, maxString), " ") }

// TXTLines is TXTStrings for a message to people: strings short enough for a
// line, in parentheses and a line for each when there are several.
func TXTLines(text string) string {
	parts := cutStrings(text, mailString)
	if len(parts) == 1 {
		return parts[0]
	}
	const indent = "\n      "
	return "(" + indent + strings.Join(parts, indent) + " )"
}

// cutStrings cuts text into quoted strings of at most n bytes; at least one.
func cutStrings(text string, n int) []string {
	var parts []string
	for len(text) > n {
		parts, text = append(parts, zoneString(text[:n])), text[n:]
	}
	return append(parts, zoneString(text))
}

func zoneString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		escape(&b, s[i], `"\`)
	}
	b.WriteByte('"')
	return b.String()
}

// ZoneName is a name as a zone file has it: with its final dot, and with escapes
// for bytes that mean something there.
func ZoneName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		escape(&b, name[i], `"\;()@$ `)
	}
	return strings.TrimSuffix(b.String(), ".") + "."
}

func escape(b *strings.Builder, c byte, special string) {
	switch {
	case c < ' ' || c > '~' || c == ' ' && strings.Contains(special, " "):
		fmt.Fprintf(b, `\%03d`, c)
	case strings.IndexByte(special, c) >= 0:
		b.WriteByte('\\')
		b.WriteByte(c)
	default:
		b.WriteByte(c)
	}
}
