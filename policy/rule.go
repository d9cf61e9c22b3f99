package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Rule is one override rule of the site: mail that matches it is handled as
// Action says, whatever the domain owner asked for. The zero value is off.
type Rule struct {
	ID       string     `json:"id"` // MaxRuleID characters of a-z, 0-9 and "-"; a metric label
	Owner    string     `json:"owner"`
	Comment  string     `json:"comment,omitempty"`
	Created  time.Time  `json:"created,omitzero"` // the beginning of the day, UTC
	Expires  time.Time  `json:"expires,omitzero"` // from then on the rule matches nothing; zero means never
	Mode     Mode       `json:"mode"`
	Priority int        `json:"priority"` // 0 to MaxPriority, higher first
	Action   RuleAction `json:"action"`
	// Reason is reported when the rule does less than the owner asked for.
	// Empty means LocalPolicy, which is also what doing more is reported as.
	Reason Override `json:"reason,omitempty"`
	Match  Match    `json:"match"`

	File string `json:"file,omitempty"` // where it is written, for messages to the operator
	Line int    `json:"line,omitempty"`
}

// Expired reports whether r has ceased to match at that time.
func (r Rule) Expired(at time.Time) bool { return !r.Expires.IsZero() && !at.Before(r.Expires) }

// reason is what doing less than asked is reported as.
func (r Rule) reason() Override { return cmp.Or(r.Reason, LocalPolicy) }

// Match says which messages a rule is about: every key that is set must hold,
// and a key holds when one item of its list does. Which of several author
// domains and recipients must hold depends on what the rule does, see
// Settings.Decide.
type Match struct {
	ClientIP   []netip.Prefix  `json:"client_ip,omitempty"`
	HeaderFrom []DomainPattern `json:"header_from,omitempty"` // author domains
	SPFPass    []DomainPattern `json:"spf_pass,omitempty"`    // the domain of MAIL FROM, if SPF passed for it
	DKIMPass   []DomainPattern `json:"dkim_pass,omitempty"`   // the d= of a signature that passed with a key not in test mode
	RcptDomain []DomainPattern `json:"rcpt_domain,omitempty"`
	Listener   []string        `json:"listener,omitempty"`
	// Result lists the DMARC results of an author domain that the rule is
	// about: fail, none, permerror, temperror. None means fail alone. A From
	// field that gives nothing to evaluate counts as permerror.
	Result []string `json:"result,omitempty"`
}

// clone returns a copy that shares no list with m.
func (m Match) clone() Match {
	return Match{
		ClientIP: slices.Clone(m.ClientIP), HeaderFrom: slices.Clone(m.HeaderFrom), SPFPass: slices.Clone(m.SPFPass),
		DKIMPass: slices.Clone(m.DKIMPass), RcptDomain: slices.Clone(m.RcptDomain),
		Listener: slices.Clone(m.Listener), Result: slices.Clone(m.Result),
	}
}

// Mode says how much a rule counts.
type Mode uint8

// The modes. The zero value does nothing.
const (
	Off     Mode = iota // never tried
	Shadow              // never decides; what it would have done is recorded
	Enforce             // decides
)

var modes = []string{"off", "shadow", "enforce"}

// String returns the word of a rule file.
func (m Mode) String() string { return name(modes, m) }

// MarshalText implements encoding.TextMarshaler.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText accepts the words of a rule file.
func (m *Mode) UnmarshalText(text []byte) error { return parse(modes, text, m) }

// RuleAction is what a rule does with a message that it matches.
type RuleAction uint8

// The actions. The zero value does what the domain owner asks for.
const (
	RuleAsPublished RuleAction = iota // the published policy after t and pct, as in the profile strict
	RuleAccept                        // deliver
	RuleQuarantine                    // what quarantine means for the listener
	RuleTempfail                      // 4xx, each time
	RuleReject                        // 5xx
)

var ruleActions = []string{"as_published", "accept", "quarantine", "tempfail", "reject"}

// String returns the word of a rule file.
func (a RuleAction) String() string { return name(ruleActions, a) }

// MarshalText implements encoding.TextMarshaler.
func (a RuleAction) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText accepts the words of a rule file.
func (a *RuleAction) UnmarshalText(text []byte) error { return parse(ruleActions, text, a) }
