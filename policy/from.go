package policy

import "fmt"

// FromAnswer is what is done with a message whose From field gives nothing to
// evaluate. The zero value leaves it to the profile.
type FromAnswer uint8

// The answers.
const (
	FromProfile    FromAnswer = iota // what the profile does
	FromAccept                       // deliver with the quarantine header field
	FromQuarantine                   // what quarantine means for the listener
	FromReject                       // 5xx
)

var fromAnswers = []string{"profile", "accept", "quarantine", "reject"}

// String returns the word used in the configuration file.
func (a FromAnswer) String() string { return name(fromAnswers, a) }

// MarshalText implements encoding.TextMarshaler.
func (a FromAnswer) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText accepts the words of String.
func (a *FromAnswer) UnmarshalText(text []byte) error { return parse(fromAnswers, text, a) }

// FromAnswers are a site's choices for each way in which From gives nothing to
// evaluate. RFC 9989 leaves them to the receiver (Sections 4.2, 5.3.1 and
// 11.5); an attacker gains from every case that is waved through. The profile
// Monitor enforces none of them.
type FromAnswers struct {
	Missing         FromAnswer
	EmptyGroup      FromAnswer
	Unparsable      FromAnswer // also of a header that is longer than the limits
	SeveralFields   FromAnswer
	TooManyDomains  FromAnswer // more than MaxAuthors
	NullPathMissing FromAnswer // MAIL FROM:<> without From, as bounces of old systems
}

// fromOutcome is one way in which From gives nothing to evaluate.
type fromOutcome struct {
	key                      string // below "from" in the configuration file
	words                    string // for Decision.Why
	site, conformant, strict FromAnswer
}

// fromOutcome says which one it is, and what is to be done with it.
func (s Settings) fromOutcome(f Facts) fromOutcome {
	site := s.From
	switch {
	case f.HeaderTruncated || f.FromField == FromTruncated: // another From field may follow where we did not look
		return fromOutcome{"unparsable", "header longer than the limits", site.Unparsable, FromQuarantine, FromReject}
	case f.FromField == FromMissing && f.NullPath:
		return fromOutcome{"null_path_missing", "no From field, and the null reverse path", site.NullPathMissing, FromAccept, FromAccept}
	case f.FromField == FromMissing:
		return fromOutcome{"missing", "no From field", site.Missing, FromAccept, FromReject}
	case f.FromField == FromEmptyGroup:
		return fromOutcome{"empty_group", "no address in the From field", site.EmptyGroup, FromAccept, FromReject}
	case f.FromField == FromSeveralFields:
		return fromOutcome{"several_fields", "several From fields", site.SeveralFields, FromQuarantine, FromReject}
	case f.FromField == FromSeveralDomains:
		words := fmt.Sprintf("more than %d domains in the From field", MaxAuthors)
		return fromOutcome{"too_many_domains", words, site.TooManyDomains, FromQuarantine, FromReject}
	}
	return fromOutcome{"unparsable", "From field cannot be read", site.Unparsable, FromQuarantine, FromReject}
}

// decideFrom answers a message whose From field gives nothing to evaluate.
func (s Settings) decideFrom(f Facts) Decision {
	o := s.fromOutcome(f)
	d := Decision{Why: o.words}
	if s.Profile == Monitor {
		return d
	}
	answer := o.conformant
	if s.Profile == Strict {
		answer = o.strict
	}
	if o.site != FromProfile {
		answer = o.site
		d.Why += "; from." + o.key + " is " + answer.String()
	}
	d.Reason = LocalPolicy
	switch answer {
	case FromReject:
		d.Action, d.Disposition = Reject, Rejected
	case FromQuarantine:
		return s.quarantine(d)
	default:
		d.Action = Tag
	}
	return d
}
