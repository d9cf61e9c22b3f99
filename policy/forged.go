package policy

// refuseForged is the decision about a message with more forged header fields
// than are removed. Whatever the profile, the rules and the client are, it is
// not delivered with them (RFC 8601, Section 5). What the owners of its author
// domains ask for is told, and not weighed.
func (s Settings) refuseForged(f *Facts) Decision {
	d := Decision{Action: Refuse, Disposition: Reject, Override: LocalPolicy, Reason: "too many forged header fields"}
	for _, a := range f.Authors {
		d.Effective = append(d.Effective, s.lower(a))
	}
	return d
}
