package pattern

import (
	"fmt"
	"strings"
	"time"
)

// Zone is a time zone of the IANA database, for the hours and weekdays of a rule.
// The zero value is UTC.
type Zone struct{ loc *time.Location }

// otherZones begin names that are no zones of their own: the same zones with other
// seconds, which not every host has.
var otherZones = []string{"posix/", "right/"}

// UnmarshalText accepts "UTC" and the names of places, such as "Europe/Berlin":
// what a short name such as "EST" or "localtime" means is different on each host,
// or is not what people think. The error is a Fault without a key.
func (z *Zone) UnmarshalText(text []byte) error {
	name := string(text)
	if name == "UTC" {
		*z = Zone{}
		return nil
	}
	other := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	if !strings.Contains(name, "/") || other(otherZones[0]) || other(otherZones[1]) {
		return Fault{Text: fmt.Sprintf("%q is not the name of a time zone", name), Fix: `write area and city, as in "Europe/Berlin", or "UTC"`}
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return Fault{Text: fmt.Sprintf("the time zone %q is not known: neither this host nor this program has it", name), Fix: `write area and city with their capitals, as in "Europe/Berlin"`}
	}
	*z = Zone{loc}
	return nil
}

// String returns the name as a rule file has it.
func (z Zone) String() string { return z.In(time.Time{}).Location().String() }

// MarshalText implements encoding.TextMarshaler.
func (z Zone) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// In returns an instant as clocks in z show it.
func (z Zone) In(at time.Time) time.Time {
	if z.loc == nil {
		return at.UTC()
	}
	return at.In(z.loc)
}
