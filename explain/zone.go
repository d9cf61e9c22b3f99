package explain

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"dmarcgate/dnscache"
	"dmarcgate/term"
)

// zoneRecords writes the records of an answer.
func zoneRecords(b *strings.Builder, a asked) {
	for i, r := range a.Records {
		data := r
		switch a.Type {
		case "TXT":
			data = term.TXTStrings(r)
		case "MX": // their order is all that is known of their preference
			data = fmt.Sprintf("%d %s", 10*(i+1), term.ZoneName(r))
		case "PTR", "NS":
			data = term.ZoneName(r)
		case "A", "AAAA":
		default:
			continue
		}
		fmt.Fprintf(b, "%s %d %s %s\n", term.ZoneName(a.Name), max(1, int(a.TTL.Round(time.Second)/time.Second)), a.Type, data)
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
