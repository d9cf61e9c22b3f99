package dmarc

// EligibleForBIMI reports whether a message may have an indicator of its author
// domain shown, as far as DMARC has to say: it passed, and the owner asks for
// more than reports for all of its mail. The record that applies and the one of
// the Organizational Domain, if it was seen, have p=quarantine or p=reject, no
// sp=none, no pct below 100 and no t=y, which is how RFC 9989 says pct=0
// (draft-brand-indicators-for-message-identification-14). Nothing is looked up.
func EligibleForBIMI(d Discovery, v Verdict) bool {
	if v.Status != Pass || v.Policy == None {
		return false
	}
	for i := range d.Walk {
		s := &d.Walk[i]
		if s.found() && (s.Domain == d.PolicyDomain || s.Domain == d.Org) && !s.record.enforced() {
			return false
		}
	}
	return true
}

// enforced reports whether a record asks for all mail to be treated.
func (r Record) enforced() bool {
	exempt := r.SP.Presence == Valid && r.SP.Policy == None
	return r.P.Policy != None && !exempt && r.Pct >= defaultPct && !r.T
}
