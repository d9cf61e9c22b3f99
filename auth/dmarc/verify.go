package dmarc

import (
	"context"
	"dmarcgate/scope"
	"errors"
)

// Identifier is a domain that SPF or DKIM checked. The zero value is aligned
// with nothing.
type Identifier struct {
	Mechanism Mechanism
	// Domain is the SPF MAIL FROM domain (that of HELO only for a null reverse
	// path; RFC 9989, Section 3.2.4) or the d= of a signature, never its i=.
	Domain   string
	Selector string // s= of the signature
	Passed   bool
	Err      error // temporary: the check did not come to an end

	Org    string // Organizational Domain, if Identify found that it matters
	OrgErr error  // temporary: Org is not known
	Stale  bool   // Org comes from a stale answer, because no newer one could be had
}

// AlignedWith reports whether id is aligned with the author domain of d (RFC
// 9989, Section 4.4), whether or not it passed. Organizational Domains that are
// not known are aligned with nothing, not even with each other.
func (id Identifier) AlignedWith(d Discovery) bool {
	if id.Domain == "" || id.Domain == d.Author {
		return id.Domain != ""
	}
	return d.Record.mode(id.Mechanism) == Relaxed && id.Org != "" && id.Org == d.Org
}

// mayAlign reports whether id is aligned, or could turn out to be if the
// lookups that failed had succeeded.
func (id Identifier) mayAlign(d Discovery) bool {
	switch {
	case id.Domain == "" || id.Domain == d.Author:
		return id.Domain != ""
	case d.Record.mode(id.Mechanism) == Strict || !d.within(id.Domain):
		return false
	case id.Org != "" && d.Org != "":
		return id.Org == d.Org
	case id.Org != "" && !scope.AtOrBelow(d.Author, id.Org):
		return false // the author's is the author domain or above it, too
	default:
		// Identify leaves out nothing that passed, so Org is missing because
		// a lookup failed, or because the check itself did.
		return id.OrgErr != nil || d.OrgErr != nil || id.Err != nil
	}
}

// Identify fills id.Org, or id.OrgErr, if the verdict can depend on it. It asks
// nothing (RFC 9989, Section 4.10.2) when no record applies, when id is the
// author domain itself, when the record wants strict alignment for its
// mechanism, when id neither passed nor failed temporarily, and when id is not
// at or below the author's Organizational Domain: the Organizational Domain of
// id is id or a domain above it, so it cannot be that one.
//
// Comparing names cannot replace the walk: a psd=n or psd=y between the two
// makes them different organizations.
func (f *Finder) Identify(ctx context.Context, id Identifier, d Discovery) Identifier {
	// Without a record, Record is the zero value, which is not usable.
	if !d.Record.Usable(d.Method) || id.Domain == d.Author ||
		d.Record.mode(id.Mechanism) == Strict || !id.Passed && id.Err == nil || !d.within(id.Domain) {
		return id
	}
	if d.Method == PSL {
		id.Org = f.suffixes().Org(id.Domain)
		return id
	}
	walk := f.walk(ctx, id.Domain, d.Walk)
	end, err := settle(walk)
	id.Org, id.OrgErr, id.Stale = end.org, err, anyStale(walk)
	return id
}

// Verdict is what the standards conclude. The zero value has not passed and
// asks for nothing.
type Verdict struct {
	Status Status `json:"status"`
	// Policy is what the owner publishes for the author domain, chosen among
	// p, sp and np, before t and pct. It is None unless a record applies and
	// can be used.
	Policy  Policy `json:"policy"`
	Testing bool   `json:"testing,omitempty"` // t=y is published
	Pct     uint8  `json:"pct"`               // as published; 100 when absent, 0 when no record applies

	// AlignedSPF and AlignedDKIM tell which mechanism gave an aligned pass.
	// Both may be set, and also with TempError: then an identifier equal to
	// the author domain passed, only the record is not known, and whatever it
	// says would ask for nothing.
	AlignedSPF  bool `json:"aligned_spf,omitempty"`
	AlignedDKIM bool `json:"aligned_dkim,omitempty"`

	Cause Cause  `json:"cause"` // who is to blame for a TempError
	Why   string `json:"why"`   // why, one clause in words for the operator; printable ASCII
}

// Evaluate concludes. It does no I/O.
//
// An aligned pass is a pass, whatever the other identifiers did (RFC 9989,
// Section 5.3.5). Without one, a temporary failure makes the message one that
// can neither pass nor fail (Section 5.3.6), but only if it could have changed
// the verdict: a signature of a third party whose DNS does not answer is no way
// around a policy. PermError is a record that applies but can not even count as
// p=none (Section 4.10.1); no policy goes with it, as with StatusNone.
func Evaluate(d Discovery, ids []Identifier) Verdict {
	if v, done := withoutPolicy(d, ids); done {
		return v
	}
	v := Verdict{Policy: d.policy(), Testing: d.Record.T, Pct: d.Record.Pct}
	v.align(d, ids)
	if v.AlignedSPF || v.AlignedDKIM {
		v.Status, v.Why = Pass, passWhy(d, ids)
		return v
	}
	if open := undecided(d, ids); len(open) > 0 {
		return v.leftOpen(blame(d, open), openWhy(open[0]))
	}
	if d.ExistenceErr != nil {
		return v.leftOpen(causeOf(d.ExistenceErr), "no aligned pass, and no answer on whether "+show(d.Author)+" exists")
	}
	v.Status, v.Why = Fail, failWhy(d, ids)
	return v
}

// leftOpen is a verdict that a temporary failure has left open.
func (v Verdict) leftOpen(cause Cause, reason string) Verdict {
	v.Status, v.Cause, v.Why = TempError, cause, reason
	if cause == CausePressure {
		v.Why += ": our DNS is overloaded or down"
	}
	return v
}

// WithoutClient returns the verdict on a message whose client is not known, so
// that SPF could not be checked: what would be a fail is a temporary failure,
// for nothing says that SPF would not have passed. An aligned DKIM pass is a
// pass, and without a policy there is nothing to fail.
func (v Verdict) WithoutClient() Verdict {
	if v.Status == Fail {
		v.Status, v.Cause, v.Why = TempError, CauseClient, "no aligned DKIM pass, and SPF could not be checked: the client is not known"
	}
	return v
}

// withoutPolicy handles the discoveries that gave no record to apply.
func withoutPolicy(d Discovery, ids []Identifier) (Verdict, bool) {
	switch {
	case d.Err != nil:
		v := Verdict{}.leftOpen(causeOf(walkErrs(d)...), lookupWhy(d))
		v.align(d, ids)
		return v, true
	case d.Source == SourceNone:
		return Verdict{Why: noneWhy(d)}, true
	case !d.Record.Usable(d.Method):
		return Verdict{Status: PermError, Why: unusableWhy(d)}, true
	default:
		return Verdict{}, false
	}
}

// align notes which mechanisms gave an aligned pass. One pass of several
// signatures is enough (RFC 9989, Section 4.4.1).
func (v *Verdict) align(d Discovery, ids []Identifier) {
	for _, id := range ids {
		if !id.Passed || !id.AlignedWith(d) {
			continue
		}
		if id.Mechanism == DKIM {
			v.AlignedDKIM = true
		} else {
			v.AlignedSPF = true
		}
	}
}

// undecided returns the identifiers that a failed lookup kept from being an
// aligned pass.
func undecided(d Discovery, ids []Identifier) []Identifier {
	var open []Identifier
	for _, id := range ids {
		if (id.Passed || id.Err != nil) && id.mayAlign(d) {
			open = append(open, id)
		}
	}
	return open
}

// blame says whose fault it is that identifiers are undecided.
func blame(d Discovery, open []Identifier) Cause {
	var errs []error
	for _, id := range open {
		errs = append(errs, id.Err, id.OrgErr, orgErr(d, id))
	}
	return causeOf(errs...)
}

// orgErr returns the error that hides the author's Organizational Domain, if id
// depends on it.
func orgErr(d Discovery, id Identifier) error {
	if id.Domain == d.Author {
		return nil
	}
	return d.OrgErr
}

// walkErrs returns the errors that hide which record applies.
func walkErrs(d Discovery) []error {
	errs := []error{d.Err}
	for i := range d.Walk {
		errs = append(errs, d.Walk[i].Err)
	}
	return errs
}

// causeOf asks the errors, of which some may be nil. One that gave way to other
// lookups decides: it says nothing of the domain, and must not count against
// it. Ours is the cause only if it is that of every error, because ours is the
// excuse that a sender must not arrange.
func causeOf(errs ...error) Cause {
	cause := CauseNone
	for _, err := range errs {
		switch {
		case err == nil:
		case GaveWay(err):
			return CausePressure
		case isOurs(err) && cause != CauseDomain:
			cause = CauseOurs
		default:
			cause = CauseDomain
		}
	}
	return cause
}

// isOurs asks an error. One that cannot tell, such as a deadline that passed,
// is the domain's: slow servers must not count as our own failure.
func isOurs(err error) bool {
	var blamed interface{ Ours() bool }
	return errors.As(err, &blamed) && blamed.Ours()
}

// GaveWay reports whether a lookup had to give way to others, because too much
// was queried at once.
func GaveWay(err error) bool {
	if err == nil {
		return false
	}
	var pressed interface{ Pressure() bool }
	return errors.As(err, &pressed) && pressed.Pressure()
}
