package policy

import (
	"cmp"
	"net/netip"
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

// Test says what the rules shall do with a message: a [[rule.test]] of a rule
// file. Package ruletest runs it.
type Test struct {
	Given  Given
	Expect Expect
	Line   int // of the rule's file
}

// Given is the message. What is not given is as in a message without anything
// special: one recipient, one author domain, nothing that passes.
type Given struct {
	Author         []string   // author domains; none is "author.example"
	FromField      From       // what the From field gave, when that is not From
	Policy         string     // that each of them publishes: none, quarantine, reject; "" is no record
	PolicyDomain   string     // where that record is; "" is at the author domain
	Result         string     // of DMARC, when it is not what SPF and DKIM below conclude: temperror or permerror
	Client         netip.Addr // of the client
	Name           string     // of the client, confirmed
	Helo           string
	MailFrom       string   // domain; "" is that of From
	NullPath       bool     // MAIL FROM:<>, of which SPF checks Helo
	Rcpt           []string // domains; none is "rcpt.example"
	Listener       string
	SPF            string   // its result: "pass", "fail", …; "" is none
	DKIM           []string // "pass:example.org": result and d= of each signature; result "body" is one whose body hash alone differs
	ARC            []string // sealers of a chain that passes, of which the first recorded that DMARC passed for From
	ListID         string
	ListHeaders    bool
	Automatic      bool
	TLS            bool
	EarlierSPFFail bool      // a field of an earlier host says so
	History        int       // messages of the organization that were proved to be its own
	Time           time.Time // zero: noon of the day on which the rule was created, or the time of day of that
	Profile        Profile   // zero: strict, since rules only watch under monitor
}

// Expect is what shall come out. What is absent is not compared.
type Expect struct {
	Rule    *string // id of the rule that decides, "" for none; in a test of a rule that skips reports, of the one that does so
	Applied string  // none, quarantine, reject or tempfail
	Reason  *Reason // "" is as published
}
