package policy

import (
	"net/netip"
	"time"

	"dmarcgate/policy/pattern"
)

// Settings are the site's choices for one listener. The zero value enforces
// nothing.
type Settings struct {
	Profile Profile
	// EnforceShare is the share of messages, in percent, for which Profile holds,
	// so that a site can begin with a few. For the others the profile is Monitor.
	EnforceShare uint8
	// Suspended is when an operator's order to enforce nothing ends. It changes
	// no decision, only what is said of it: see Suspend. Zero is no such order.
	Suspended  time.Time `json:",omitzero"`
	Quarantine Action    // Tag, Hold or Refuse: what quarantine means here
	// IgnorePct ignores the pct tag, as RFC 9989, Appendix A.6, has it. The
	// default honours it, because published records still rely on it.
	IgnorePct bool
	// TempOurs answers a message that could not be evaluated because our own
	// resolver answers nobody: Tag (deliver, marked) or Tempfail.
	TempOurs Action
	// TempDomain answers one that could not be evaluated because the DNS of the
	// sender's domain fails: Tempfail, Tag, or the action of Quarantine.
	TempDomain Action
	// TempUnknown answers one that did not pass and whose client is not known:
	// Accept, Tag or Tempfail.
	TempUnknown Action
	// MaxDefer is how long the same author domain and client may be answered
	// with Tempfail for its own DNS; afterwards the message is quarantined. A
	// lame delegation must not be a way past the policy.
	MaxDefer time.Duration
	// From answers messages whose From field gives nothing to evaluate.
	From FromAnswers
	// Known is whom the profile Conformant believes.
	TrustedForwarders TrustedForwarders
	// Rules override what the rest decides. Under the profile Monitor they
	// only record what they would have done.
	Rules Rules
}

// Suspend returns the settings of a listener that an operator has put to
// Monitor until then. One that enforces nothing anyway stays as it is.
func (s Settings) Suspend(until time.Time) Settings {
	if s.Profile != Monitor {
		s.Profile, s.EnforceShare, s.Suspended = Monitor, 100, until.UTC().Truncate(time.Second)
	}
	return s
}

// unenforced is why a message is only watched.
func (s Settings) unenforced() string {
	switch {
	case s.EnforceShare < 100: // see takeShare
		return "outside enforce_share"
	case !s.Suspended.IsZero():
		return "dmarcgate monitor until " + s.Suspended.Format(time.RFC3339)
	}
	return "profile monitor"
}

// TrustedForwarders is whom the site knows by name. The zero value is nobody.
type TrustedForwarders struct {
	Sealers  []string         // d= of ARC seals, lower-case A-labels: they forward what they received, and record it truly
	Networks []netip.Prefix   // clients that are lists or forwarders
	Domains  []pattern.Domain // the same by the domain for which SPF or DKIM passes
}
