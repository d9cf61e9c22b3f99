package reports

import (
	"errors"
	"fmt"
	"time"

	"dmarcgate/message"
	"dmarcgate/report"
	"dmarcgate/report/gate"
	"dmarcgate/report/queue"
	"dmarcgate/term"
)

// Day is a UTC day of a command line: its begin. The zero value is no day.
type Day struct{ time.Time }

// UnmarshalText reads "2026-11-22", "today" or "yesterday".
func (d *Day) UnmarshalText(text []byte) error { return d.read(string(text), time.Now()) }

func (d *Day) read(text string, now time.Time) (err error) {
	switch text {
	case "today":
		d.Time = report.DayOf(now).Begin
	case "yesterday":
		d.Time = yesterday(now)
	default:
		if d.Time, err = time.Parse(time.DateOnly, text); err != nil {
			return fmt.Errorf("%q is neither a day, as 2026-11-22, nor today or yesterday", term.Printable(text))
		}
	}
	return nil
}

// yesterday is the last UTC day that is over.
func yesterday(now time.Time) time.Time { return report.DayOf(now).Begin.AddDate(0, 0, -1) }

// orYesterday is the day, or yesterday when there is none.
func (d Day) orYesterday() time.Time {
	if d.IsZero() {
		return yesterday(time.Now())
	}
	return d.Time
}

// Domain is a domain of a command line, in lower-case A-labels.
type Domain string

// UnmarshalText reads a domain.
func (d *Domain) UnmarshalText(text []byte) error {
	domain, err := message.ParseDomain(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a domain: %w", term.Printable(string(text)), err)
	}
	*d = Domain(domain)
	return nil
}

// Target is an address, a host or a policy domain of a command line: see gate.ParseKey.
type Target struct{ gate.Key }

// UnmarshalText reads "addr:ADDRESS", "host:DOMAIN" or "domain:DOMAIN".
func (t *Target) UnmarshalText(text []byte) (err error) {
	t.Key, err = gate.ParseKey(string(text))
	return err
}

// MaxSuppression is how long a suppression with an end lasts at most: our limit.
const MaxSuppression = 10 * 365 * queue.Day

// Suppression returns the suppression of a target by a person. A span of 0 has no end.
func (t Target) Suppression(span time.Duration, reason string) (queue.Suppression, error) {
	x := queue.Suppression{Kind: string(t.Kind), What: t.What, Reason: reason, Source: queue.FromPerson}
	if span < 0 || span > MaxSuppression {
		return x, errors.New("a suppression lasts at most 3650d, or, without an end, until it is lifted")
	}
	if span > 0 {
		x.Until = time.Now().Add(span)
	}
	return x, nil
}
