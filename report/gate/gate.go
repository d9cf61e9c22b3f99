// Package gate decides whether an aggregate report may leave this host, and to
// which mailboxes. Each gate is closed by default and has its own Why.
//
// The decision has two steps. Gate.Report decides about the report of a policy
// domain before the report is written. Gate.Delivery decides about one mail to
// one destination, and is called again directly before each attempt: settings,
// suppressions and the record of the domain may have changed in the meantime.
// Only Gate.Delivery opens the way to the network.
//
// The package does no I/O. The caller reads the facts of a report from the
// rows, suppressions and counts from the queue, and the destinations with their
// consent from package consent. A fact that the caller did not read is the zero
// value, and each zero value closes a gate.
//
// Limits: a report has at most MaxDestinations destinations; the caps of a day
// are in Caps.
package gate

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"dmarcgate/policy/pattern"
	"dmarcgate/scope"
)

// Why names the gate that is closed. Open is no gate. The values are labels of
// metrics and words of the queue: a closed list.
type Why string

// The gates, in the order in which they are tried.
const (
	Open Why = ""

	SendingOff      Why = "sending_off"      // [reports] send is not true
	SettingsMissing Why = "settings_missing" // Identity.Missing names the keys
	Unverified      Why = "unverified"       // the identity check has not succeeded lately
	Paused          Why = "paused"           // by a person, or after refusals that are about us

	OwnDomain     Why = "own_domain"     // the report would be about mail in our own name
	NotListed     Why = "not_listed"     // the site's include or exclude list
	Suppressed    Why = "suppressed"     // a suppression of the policy domain, host or address
	TooNew        Why = "too_new"        // organization known for less than MinAge
	NoRelation    Why = "no_relation"    // no accepted aligned pass in the period
	ReportTraffic Why = "report_traffic" // all messages of the period are reports or null-path mail

	BadAddress     Why = "bad_address"     // no mailbox that mail can be sent to, see Destinations
	OwnAddress     Why = "own_address"     // the destination is an address of ours
	Unauthorized   Why = "unauthorized"    // the host has not consented
	ConsentUnknown Why = "consent_unknown" // DNS did not answer; waits, at most MaxConsentWait
	TooManyTargets Why = "too_many"        // beyond MaxDestinations

	NotCounted  Why = "not_counted"   // counts and suppressions were not read
	NewHostsCap Why = "new_hosts_cap" // Caps.NewHosts
	HostCap     Why = "host_cap"      // Caps.PerHost
	DayCap      Why = "day_cap"       // Caps.PerDay
	RateCap     Why = "rate_cap"      // Caps.PerMinute; waits
	DryRun      Why = "dry_run"       // sending was switched on less than Gate.DryRun ago
)

// Waits reports whether the gate may open for the same delivery without a
// person: the delivery stays due. What another gate closes is final for the
// report of that day.
func (w Why) Waits() bool {
	return w == Unverified || w == Paused || w == ConsentUnknown || w == NotCounted || w == RateCap
}

// Times of the gates.
const (
	// MinMinAge is the smallest Gate.MinAge: a smaller one counts as MinMinAge.
	MinMinAge = 24 * time.Hour
	// KnownRecord is how long the record of a domain must be known before a
	// report goes out about mail of which none passed: our limit. The owner of
	// a parked domain under attack wants exactly this report.
	KnownRecord = 30 * 24 * time.Hour
	// MaxVerifiedAge is how long a successful identity check counts: our limit.
	MaxVerifiedAge = 24 * time.Hour
	// MaxConsentWait is how long a delivery waits for an answer of the DNS
	// about consent (RFC 9990, Section 4, step 4 allows a delay).
	MaxConsentWait = 48 * time.Hour
)

// Identity is who reports, as far as the gates and the identity check need it.
// Two identities with the same values are equal.
type Identity struct {
	Organization string // org_name of reports
	Email        string // From of report mail, and email of reports
	Submitter    string // domain, Submitter of the subject
	BounceDomain string // domain of MAIL FROM of report mail
	Selector     string // of the DKIM key
	Key          string // the key record to publish, Record of report/mail; "" without a key that can be used
	Smarthost    string // where report mail is handed over
}

// Missing returns the keys of [reports] that must be set and are not, in the
// order of the example configuration.
func (id Identity) Missing() []string {
	var keys []string
	for _, k := range []struct{ name, value string }{
		{"organization", id.Organization}, {"email", id.Email}, {"submitter", id.Submitter},
		{"bounce_domain", id.BounceDomain}, {"selector", id.Selector}, {"key_file", id.Key}, {"smarthost", id.Smarthost},
	} {
		if k.value == "" {
			keys = append(keys, k.name)
		}
	}
	return keys
}

// Verified is the last success of the identity check.
type Verified struct {
	Identity Identity // that was checked
	At       time.Time
}

// Gate holds what closes the way for all reports. The zero value is closed.
type Gate struct {
	Send     bool // [reports] send: false wins over everything
	Identity Identity
	Verified Verified
	Paused   bool

	Own              []string         // domains of the site: no report about these, or what is below
	Include, Exclude []pattern.Domain // policy domains; an empty Include is all
	MinAge           time.Duration    // of an organization that is reported to

	Enabled time.Time     // when sending was first switched on; zero: never
	DryRun  time.Duration // after Enabled, in which nothing is sent

	Caps Caps
}

// Report is what is known of one report: a policy domain and a period.
type Report struct {
	PolicyDomain string
	Org          string        // organizational domain of PolicyDomain; "" is not known
	FirstSeen    time.Time     // since when Org is known (results.Queries.KnownSince); zero is not known
	RecordSince  time.Time     // when a record of PolicyDomain was first seen; zero is not known
	Passed       bool          // a message with an aligned pass was accepted in the period
	Ordinary     int64         // messages known not to be report traffic
	Suppressions []Suppression // found under Keys of the policy domain
}

// Closed returns the gate that is closed for every report, or Open.
func (g *Gate) Closed(now time.Time) Why {
	switch {
	case !g.Send:
		return SendingOff
	case len(g.Identity.Missing()) > 0:
		return SettingsMissing
	case g.Verified.Identity != g.Identity || !within(now, g.Verified.At, MaxVerifiedAge):
		return Unverified
	case g.Paused:
		return Paused
	}
	return Open
}

// Report returns the gate that is closed for a report, or Open. Open does not
// mean that a mail may leave: Delivery says so.
func (g *Gate) Report(r Report, now time.Time) Why {
	if why := g.Closed(now); why != Open {
		return why
	}
	switch {
	case g.own(r.PolicyDomain):
		return OwnDomain
	case !g.listed(r.PolicyDomain, r.Org):
		return NotListed
	case anyActive(r.Suppressions, domainKeys(r.PolicyDomain), now):
		return Suppressed
	case known(r.RecordSince, now, KnownRecord):
		// RFC 9990 has no such rule: see KnownRecord. Delivery asks for consent
		// of every destination, so that the report goes to who wants it.
	case !known(r.FirstSeen, now, max(g.MinAge, MinMinAge)):
		return TooNew
	case !r.Passed:
		return NoRelation
	}
	if r.Ordinary <= 0 {
		return ReportTraffic
	}
	return Open
}

// own reports whether a domain is a domain of the site, or the domain of
// report mail, or is below one of them. A domain that is not known is one.
func (g *Gate) own(domain string) bool {
	at := func(top string) bool { return scope.AtOrBelow(domain, top) }
	return domain == "" || slices.ContainsFunc(g.Own, at) || at(g.Identity.Submitter) || at(g.Identity.BounceDomain) || at(hostOf(g.Identity.Email))
}

// listed reports whether the lists of the site let a policy domain through.
func (g *Gate) listed(domain, org string) bool {
	holds := func(p pattern.Domain) bool { return p.Holds(domain, org) }
	return !slices.ContainsFunc(g.Exclude, holds) && (len(g.Include) == 0 || slices.ContainsFunc(g.Include, holds))
}

// known reports whether something is known since at least d.
func known(since, now time.Time, d time.Duration) bool {
	return !since.IsZero() && now.Sub(since) >= d
}

// within reports whether at lies in the last d. A time in the future beyond
// maxSkew does not: the clock was set back, and nothing is known of that time.
func within(now, at time.Time, d time.Duration) bool {
	age := now.Sub(at)
	return !at.IsZero() && age < d && age >= -maxSkew
}

// maxSkew is how far clocks of hosts that share a database may differ.
const maxSkew = 5 * time.Minute

// Compare orders reports for sending: organizations that are known for longer come
// first, so that a flood of new domains takes what the caps leave over. Domains of
// which only the record is known come last.
func (r Report) Compare(o Report) int {
	return cmp.Or(
		boolCompare(r.FirstSeen.IsZero(), o.FirstSeen.IsZero()),
		r.FirstSeen.Compare(o.FirstSeen),
		strings.Compare(r.PolicyDomain, o.PolicyDomain),
	)
}

// boolCompare puts false before true.
func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
