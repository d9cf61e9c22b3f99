package casefile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"dmarcgate/dnscache"
	"dmarcgate/term"
)

// question is what identifies a lookup: "TXT example.com".
func question(a dnscache.Lookup) string { return a.Type + " " + a.Name }

// zone writes the answers as zone text with directives for the failures.
func zone(answers []dnscache.Lookup) string {
	var b strings.Builder
	b.WriteString("!any\n")
	var list []dnscache.Lookup
	for _, a := range answers {
		if a.Outcome != "" && !errors.Is(a.Err, context.Canceled) && !slices.ContainsFunc(list, func(o dnscache.Lookup) bool { return question(o) == question(a) }) {
			list = append(list, a)
		}
	}
	if len(list) > 0 && !slices.ContainsFunc(list, func(a dnscache.Lookup) bool { return !ours(a.Err) }) {
		b.WriteString("!down\n")
		return b.String()
	}
	slices.SortStableFunc(list, func(a, b dnscache.Lookup) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Type, b.Type))
	})
	for _, a := range list {
		switch {
		case a.Err != nil:
			fmt.Fprintf(&b, "!%s %s %s\n", failureWord(a.Err), term.ZoneName(a.Name), a.Type)
		case a.NXDomain:
		case len(a.Records) == 0:
			if !slices.ContainsFunc(list, func(o dnscache.Lookup) bool { return o.Name == a.Name && len(o.Records) > 0 }) {
				fmt.Fprintf(&b, "%s HINFO \"-\" \"-\"\n", term.ZoneName(a.Name)) // it exists
			}
		default:
			zoneRecords(&b, a)
		}
	}
	return b.String()
}

var withoutAnswer = regexp.MustCompile(`(?m)^!(down|drop|broken)\b`)

// silent reports whether a server leaves queries of the case without an answer.
func silent(answers []dnscache.Lookup) bool {
	return withoutAnswer.MatchString(zone(answers))
}

func ours(err error) bool {
	var blamed interface{ Ours() bool }
	return errors.As(err, &blamed) && blamed.Ours()
}

// zoneRecords writes the records of an answer.
func zoneRecords(b *strings.Builder, a dnscache.Lookup) {
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
