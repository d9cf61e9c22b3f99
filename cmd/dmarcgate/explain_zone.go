package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"dmarcgate/dnscache"
)

// zoneTXT writes a TXT record as a zone file has it (RFC 1035, Section 5.1).
func zoneTXT(name, text string) string {
	return zoneName(name) + " TXT " + txtStrings(text)
}

// txtStrings cuts text into strings of at most 255 bytes.
func txtStrings(text string) string {
	var parts []string
	for len(text) > 255 {
		parts, text = append(parts, zoneString(text[:255])), text[255:]
	}
	return strings.Join(append(parts, zoneString(text)), " ")
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

// zoneName writes a name with its final dot. Letters that mean something in a
// zone file are escaped.
func zoneName(name string) string {
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

// zoneRecords writes the records of an answer.
func zoneRecords(b *strings.Builder, a asked) {
	for i, r := range a.Records {
		data := r
		switch a.Type {
		case "TXT":
			data = txtStrings(r)
		case "MX": // their order is all that is known of their preference
			data = fmt.Sprintf("%d %s", 10*(i+1), zoneName(r))
		case "PTR", "NS":
			data = zoneName(r)
		case "A", "AAAA":
		default:
			continue
		}
		fmt.Fprintf(b, "%s %d %s %s\n", zoneName(a.Name), max(1, int(a.TTL.Round(time.Second)/time.Second)), a.Type, data)
	}
}

// failureWord is the directive of zone text for the failure of a lookup.
func failureWord(err error) string {
	var e *dnscache.Error
	if errors.As(err, &e) {
		if e.Pressure() {
			return "pressure"
		}
		switch e.Kind {
		case dnscache.ServFail, dnscache.Bogus:
			return "servfail"
		case dnscache.Refused:
			return "refuse"
		case dnscache.Malformed:
			return "broken"
		}
	}
	return "drop"
}
