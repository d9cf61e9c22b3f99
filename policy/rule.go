package policy

import (
	"cmp"
	"time"
)

// Rule is one override rule of the site: mail that matches it is handled as
// Action says, whatever the domain owner asked for. The zero value is off.
type Rule struct {
	ID       string     `json:"id"` // MaxRuleID characters of a-z, 0-9 and "-"; a metric label
	Owner    string     `json:"owner"`
	Comment  string     `json:"comment,omitempty"`
	Created  time.Time  `json:"created,omitzero"` // UTC; mostly the beginning of a day
	Expires  time.Time  `json:"expires,omitzero"` // from then on the rule matches nothing; zero means never
	Mode     Mode       `json:"mode"`
	Priority int        `json:"priority"` // 0 to MaxPriority, higher first
	Action   RuleAction `json:"action"`
	// Text is the SMTP reply of a rule that rejects or defers, with the placeholders
	// of the configured texts; "" is those. Package config says what it may be.
	Text string `json:"text,omitempty"`
	// Reason is reported when the rule does less than the owner asked for.
	// Empty means LocalPolicy, which is also what doing more is reported as.
	Reason Reason `json:"reason,omitempty"`
	// ReportComment goes to domain owners with Reason, at most MaxReportComment
	// printable ASCII characters. Comment never does.
	ReportComment string `json:"report_comment,omitempty"`
	// Sample is the share of the messages for which the rule holds, 1 to 100
	// percent; zero means all.
	Sample uint8 `json:"sample,omitempty"`
	// Idle is after how long without a match the rule is worth a warning; zero
	// means never.
	Idle  time.Duration `json:"idle,omitempty"`
	Match Match         `json:"match"`
	Tests []Test        `json:"-"` // of what the rule shall do; they change nothing

	File string `json:"file,omitempty"` // where it is written, for messages to the operator
	Line int    `json:"line,omitempty"`
}

// Expired reports whether r has ceased to match at that time.
func (r Rule) Expired(at time.Time) bool { return !r.Expires.IsZero() && !at.Before(r.Expires) }

// Moment writes a time of a rule: the day alone where it is the beginning of one.
func Moment(t time.Time) string {
	switch t = t.UTC(); {
	case t.Equal(t.Truncate(24 * time.Hour)):
		return t.Format(time.DateOnly)
	case t.Equal(t.Truncate(time.Minute)):
		return t.Format("2006-01-02 15:04 UTC")
	}
	return t.Format("2006-01-02 15:04:05 UTC")
}

// reason is what doing less than asked is reported as.
func (r Rule) reason() Reason { return cmp.Or(r.Reason, LocalPolicy) }

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
	RuleTag                           // deliver with the quarantine header field, whatever quarantine means
	RuleTempfail                      // 4xx, each time
	RuleReject                        // 5xx
	RuleSkipReport                    // handled as without the rule, and left out of reports to the domain owner
)

var ruleActions = []string{"as_published", "accept", "quarantine", "tag", "tempfail", "reject", "skip_report"}

// String returns the word of a rule file.
func (a RuleAction) String() string { return name(ruleActions, a) }

// MarshalText implements encoding.TextMarshaler.
func (a RuleAction) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText accepts the words of a rule file.
func (a *RuleAction) UnmarshalText(text []byte) error { return parse(ruleActions, text, a) }
