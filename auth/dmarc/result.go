package dmarc

// Policy is what a Domain Owner asks for mail that fails (RFC 9989, Section
// 4.7). The zero value asks for nothing.
type Policy uint8

// The policies, from the mildest to the strictest.
const (
	None Policy = iota
	Quarantine
	Reject
)

// String returns the policy as it is published.
func (p Policy) String() string {
	switch p {
	case Quarantine:
		return "quarantine"
	case Reject:
		return "reject"
	default:
		return "none"
	}
}

// Lower returns the policy one step below p: what an owner who publishes t=y
// expects instead of p (RFC 9989, Section 4.7), and what remains of p for
// messages that pct does not select (RFC 7489, Section 6.6.4).
func Lower(p Policy) Policy {
	if p == Reject {
		return Quarantine
	}
	return None
}

// ParsePolicy reads a policy as it is published, in any letter case.
func ParsePolicy(s string) (Policy, bool) {
	switch lower(s) {
	case "none":
		return None, true
	case "quarantine":
		return Quarantine, true
	case "reject":
		return Reject, true
	default:
		return None, false
	}
}

// Status is the result of the evaluation (RFC 9989, Section 9.2).
type Status uint8

// The results.
const (
	StatusNone Status = iota // no record applies
	Pass                     // an aligned identifier passed
	Fail                     // a record applies and no aligned identifier passed
	TempError                // a temporary failure left it open
	PermError                // the record that should apply cannot be used
)

// String returns the result as Authentication-Results spells it.
func (s Status) String() string {
	switch s {
	case Pass:
		return "pass"
	case Fail:
		return "fail"
	case TempError:
		return "temperror"
	case PermError:
		return "permerror"
	default:
		return "none"
	}
}

// Cause tells who is to blame for a TempError.
type Cause uint8

// The causes.
const (
	CauseNone     Cause = iota // no temporary failure
	CauseOurs                  // our resolver answers nobody
	CauseDomain                // the domain's servers fail while others answer
	CauseClient                // SPF could not be checked: the client is not known
	CausePressure              // says nothing of the domain: a lookup gave way to others, or our servers fail and may be made to
)

// String returns none, ours, domain, client or pressure.
func (c Cause) String() string {
	switch c {
	case CauseOurs:
		return "ours"
	case CauseDomain:
		return "domain"
	case CauseClient:
		return "client"
	case CausePressure:
		return "pressure"
	default:
		return "none"
	}
}

// Method is how records and Organizational Domains are found.
type Method uint8

// The methods.
const (
	TreeWalk Method = iota // RFC 9989, Section 4.10
	PSL                    // RFC 7489, Section 6.6.3, with a public suffix list
)

// String returns treewalk or psl.
func (m Method) String() string {
	if m == PSL {
		return "psl"
	}
	return "treewalk"
}

// Mechanism is what authenticated an identifier.
type Mechanism uint8

// The mechanisms.
const (
	SPF  Mechanism = iota // the MAIL FROM identity (RFC 9989, Section 4.4.2)
	DKIM                  // the d= of a signature (RFC 9989, Section 4.4.1)
)

// String returns SPF or DKIM.
func (m Mechanism) String() string {
	if m == DKIM {
		return "DKIM"
	}
	return "SPF"
}

// Source tells where the applied record stands.
type Source uint8

// The places of a record.
const (
	SourceNone   Source = iota // no record applies
	SourceAuthor               // at the author domain itself
	SourceOrg                  // at its Organizational Domain
	SourcePSD                  // at its Public Suffix Domain (RFC 9989 only)
)

// String returns none, author, org or psd.
func (s Source) String() string {
	switch s {
	case SourceAuthor:
		return "author"
	case SourceOrg:
		return "org"
	case SourcePSD:
		return "psd"
	default:
		return "none"
	}
}

// Existence tells whether the author domain is in the DNS.
type Existence uint8

// What is known of it.
const (
	ExistenceUnknown Existence = iota // not queried, or not answered; treated as existing
	Existing
	Missing // NXDOMAIN for the name itself (RFC 9989, Section 3.2.13)
)

// String returns unknown, existing or missing.
func (e Existence) String() string {
	switch e {
	case Existing:
		return "existing"
	case Missing:
		return "missing"
	default:
		return "unknown"
	}
}
