package gate

import "time"

// Delivery is one mail that may leave: a report to one of its destinations.
type Delivery struct {
	PolicyDomain string
	Org          string // organizational domain of PolicyDomain; "" is not known
	Destination  Destination
	Waiting      time.Time // since when the delivery is due, for MaxConsentWait
	Held         Held
}

// Held is what the queue holds about a delivery. The zero value was not read,
// and closes the gate. The queue reads Held and notes the attempt in one
// transaction, so that two hosts cannot both take the last place of a cap. It
// counts hosts under Destination.Counted.
type Held struct {
	Read         bool          // the other fields were read from the queue
	Suppressions []Suppression // found under Destination.Keys
	HostKnown    bool          // mail was sent to the host before, today or earlier
	NewHosts     int64         // hosts that mail was sent to today (UTC) for the first time
	ToHost       int64         // mails to the host today
	Today        int64         // mails to all hosts today
	LastMinute   int64         // mails to all hosts in the last 60 s
}

// Caps limit mail to others. A mail counts with its first attempt, whatever
// becomes of it. The zero value lets nothing through.
type Caps struct {
	NewHosts  int64 // a day: hosts that never had mail of ours
	PerHost   int64 // a day, for each host
	PerDay    int64 // a day, to all hosts
	PerMinute int64 // to all hosts

	Hosts map[string]int64 // PerHost of single hosts, by CountedAs
}

// Delivery returns the gate that is closed for a delivery, or Open: then the
// mail may be sent now, and never otherwise. DryRun is the last gate: with
// DryRun the mail would have been sent.
func (g *Gate) Delivery(d Delivery, now time.Time) Why {
	if why := g.Closed(now); why != Open {
		return why
	}
	if why := g.target(d, now); why != Open {
		return why
	}
	if why := g.Caps.closed(d.Destination.Counted, d.Held); why != Open {
		return why
	}
	if g.Dry(now) {
		return DryRun
	}
	return Open
}

// target returns the gate that is closed for a destination whatever the caps
// are.
func (g *Gate) target(d Delivery, now time.Time) Why {
	to := d.Destination
	switch {
	case g.own(d.PolicyDomain):
		return OwnDomain
	case !g.listed(d.PolicyDomain, d.Org):
		return NotListed
	case to.Why == ConsentUnknown && !within(now, d.Waiting, MaxConsentWait):
		return Unauthorized
	case to.Why != Open:
		return to.Why
	case to.Key == "" || to.Host == "" || to.Counted == "" || !allows(to.Consent):
		return Unauthorized
	case g.ours(to):
		return OwnAddress
	case !d.Held.Read:
		return NotCounted
	case anyActive(d.Held.Suppressions, to.Keys(d.PolicyDomain), now):
		return Suppressed
	}
	return Open
}

// Dry reports whether nothing may be sent because sending was switched on a
// short time ago, or never.
func (g *Gate) Dry(now time.Time) bool { return !known(g.Enabled, now, g.DryRun) }

// MaySend reports whether a connection for report mail may be opened at all.
// The caller makes no sender while it is false.
func (g *Gate) MaySend(now time.Time) bool { return g.Closed(now) == Open && !g.Dry(now) }

// closed returns the cap that a mail to a host would exceed, or Open.
func (c Caps) closed(host string, h Held) Why {
	perHost, single := c.Hosts[host]
	if !single {
		perHost = c.PerHost
	}
	switch {
	case !h.HostKnown && h.NewHosts >= c.NewHosts:
		return NewHostsCap
	case h.ToHost >= perHost:
		return HostCap
	case h.Today >= c.PerDay:
		return DayCap
	case h.LastMinute >= c.PerMinute:
		return RateCap
	}
	return Open
}
