package policy

import (
	"fmt"
	"slices"
)

// Profile is how far a listener follows published policies.
type Profile uint8

// The profiles. The zero value enforces nothing.
const (
	Monitor    Profile = iota // results are written and recorded; nothing is enforced
	Conformant                // RFC 9989, Section 7.4: p=reject alone is not enough to reject
	Strict                    // as published
)

var profiles = []string{"monitor", "conformant", "strict"}

// String returns the name used in the configuration file.
func (p Profile) String() string { return name(profiles, p) }

// MarshalText implements encoding.TextMarshaler.
func (p Profile) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText accepts a name of the configuration file.
func (p *Profile) UnmarshalText(text []byte) error { return parse(profiles, text, p) }

// Disposition is what this host does with a message, in the words of RFC
// 9990, Section 3.1. The zero value changes nothing.
type Disposition uint8

// The dispositions, from mild to severe.
const (
	Delivered   Disposition = iota // deliver as usual
	Quarantined                    // deliver or hold, marked as suspicious
	Rejected                       // refuse at end of data
)

var dispositions = []string{"none", "quarantine", "reject"}

// String returns the word of RFC 9990.
func (d Disposition) String() string { return name(dispositions, d) }

// MarshalText implements encoding.TextMarshaler.
func (d Disposition) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText accepts the words of RFC 9990.
func (d *Disposition) UnmarshalText(text []byte) error { return parse(dispositions, text, d) }

// Action is the answer that the MTA is given. The zero value delivers.
type Action uint8

// The actions, from mild to severe; a message with several author domains
// gets the most severe one.
const (
	Accept   Action = iota // deliver
	Tag                    // deliver with the quarantine header field
	Hold                   // put into the MTA's quarantine
	Tempfail               // 4xx: the sender tries again
	Reject                 // 5xx
)

var actions = []string{"accept", "tag", "hold", "tempfail", "reject"}

// String returns the word used in log lines and in the configuration file.
func (a Action) String() string { return name(actions, a) }

// MarshalText implements encoding.TextMarshaler.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText accepts the words of String.
func (a *Action) UnmarshalText(text []byte) error { return parse(actions, text, a) }

// Reason says why the disposition is not what the domain owner asked for:
// the names of RFC 9990, Section 3.1.6, and sampled_out, which RFC 7489 had
// and which a report of RFC 9990 writes as "other" with a comment.
type Reason string

// The reasons. Empty means that the policy was applied as published.
const (
	AsPublished      Reason = ""
	PolicyTestMode   Reason = "policy_test_mode"
	SampledOut       Reason = "sampled_out"
	LocalPolicy      Reason = "local_policy"
	TrustedForwarder Reason = "trusted_forwarder" // a rule: a forwarder that the site knows
	MailingList      Reason = "mailing_list"      // a rule: a mailing list that the site knows
	Other            Reason = "other"             // a rule
)

// Skip says why a message was not evaluated. Empty means that it was.
type Skip string

// The causes for not evaluating a message.
const (
	Evaluated      Skip = ""
	Authenticated  Skip = "authenticated"   // the client gave SMTP AUTH credentials
	Loopback       Skip = "loopback"        // mail of this host, or after re-injection
	TrustedNetwork Skip = "trusted_network" // a network of the configuration
	NotIP          Skip = "not_ip"          // a local client without an address
	BehindRelay    Skip = "behind_relay"    // only in old rows: our relay's Received field could not be read; now see UnknownClient
)

// UnknownClient says why the client of a message is not known. Empty means that
// it is. SPF is none then, and DMARC never fails.
type UnknownClient string

// The causes for not knowing the client.
const (
	ClientKnown      UnknownClient = ""
	ClientNoAddress  UnknownClient = "no_address" // the MTA gave none (SMFIA_UNKNOWN)
	ClientNoField    UnknownClient = "no_field"   // our relay wrote no Received field
	ClientOtherHost  UnknownClient = "other_host" // the field is by a host that is not named in the configuration
	ClientUnreadable UnknownClient = "unreadable" // the field has a form that is not known, or no address
	ClientTooFar     UnknownClient = "too_far"    // more of our hosts stand behind each other than are looked through
)

func name[T ~uint8](names []string, v T) string {
	if int(v) >= len(names) {
		return "invalid"
	}
	return names[v]
}

func parse[T ~uint8](names []string, text []byte, v *T) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("%q is none of %q", text, names)
	}
	*v = T(i)
	return nil
}
