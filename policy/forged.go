package policy

import "fmt"

// MaxForged is how many header fields are removed from one message. A message
// with more is refused, whatever the profile, the rules and the client are: to
// leave one would be to show it to a mail reader (RFC 8601, Section 5), and an
// MTA pays for each removal with a search of the header from its top.
//
// TODO
const MaxForged = 1000

// refuseForged is the decision about a message with more than MaxForged. What
// the owners of its author domains ask for is told, and not weighed.
func (s Settings) refuseForged(f *Facts) Decision {
	d := Decision{
		Action: Refuse, Disposition: Reject, Override: LocalPolicy,
		Reason: fmt.Sprintf("more than %d forged header fields", MaxForged),
	}
	for _, a := range f.Authors {
		d.Effective = append(d.Effective, s.lower(a))
	}
	return d
}
