package queue

import "time"

// What a suppression is about.
const (
	SuppressAddr   = "addr"   // canonical address
	SuppressHost   = "host"   // domain of the address
	SuppressDomain = "domain" // policy domain
)

// Where a suppression comes from.
const (
	FromBounce = "bounce"
	FromPerson = "manual"
	FromPolicy = "policy"
	FromDNSBL  = "dnsbl"
)

// Suppression says to whom no reports are sent.
type Suppression struct {
	Kind, What string
	Reason     string
	Source     string
	Since      time.Time
	Until      time.Time // zero: until somebody lifts it
	Strikes    int
}

// Active reports whether reports are suppressed at a time.
func (s Suppression) Active(now time.Time) bool {
	return s.Kind != "" && (s.Until.IsZero() || now.Before(s.Until))
}

// Strike is one failure that counts against a destination.
type Strike struct {
	Kind, What, Reason, Source string
}

// The times that a destination is suppressed after its first, second and third
// strike. The fourth one suppresses until somebody lifts it.
var strikeTimes = [...]time.Duration{7 * Day, 30 * Day, 90 * Day}

// Day is 24 hours: the days of reports are UTC days.
const Day = 24 * time.Hour

// Struck returns the suppression after one more strike.
func (s Suppression) Struck(by Strike, now time.Time) Suppression {
	next := Suppression{Kind: by.Kind, What: by.What, Reason: by.Reason, Source: by.Source, Since: now, Strikes: s.Strikes + 1}
	if next.Strikes <= len(strikeTimes) {
		next.Until = now.Add(strikeTimes[next.Strikes-1])
	}
	if s.Active(now) && (s.Until.IsZero() || !next.Until.IsZero() && s.Until.After(next.Until)) {
		next.Until = s.Until // a strike never shortens what a person has set
	}
	return next
}
