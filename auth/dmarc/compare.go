package dmarc

// Opinion is what one method says of an author domain and a message.
type Opinion struct {
	Discovery Discovery
	Verdict   Verdict
}

// Difference is one way in which two opinions can differ. The list is closed.
type Difference uint8

// The differences.
const (
	// OrgDiffers: the Organizational Domain of the author, which rules and
	// history are keyed by, and who is aligned with it.
	OrgDiffers Difference = iota
	// RecordDiffers: where the record was found, or what it says.
	RecordDiffers
	// VerdictDiffers: what becomes of the message, or what a report says of
	// it: the status, which mechanisms gave an aligned pass, and for a failure
	// the policy with t and pct.
	VerdictDiffers

	endOfDifferences
)

// Differences returns every difference, for whoever counts them.
func Differences() []Difference {
	var all []Difference
	for d := range endOfDifferences {
		all = append(all, d)
	}
	return all
}

// String returns org, record or verdict.
func (d Difference) String() string {
	switch d {
	case RecordDiffers:
		return "record"
	case VerdictDiffers:
		return "verdict"
	default:
		return "org"
	}
}

// Compare tells where two opinions differ, nil for nowhere. An Organizational
// Domain or a record that is not known, because a lookup failed, differs from
// nothing; a verdict that a failure left open does differ from one that was
// reached. So a method that asks more names, and meets more failures, shows.
func Compare(a, b Opinion) []Difference {
	var out []Difference
	x, y := a.Discovery, b.Discovery
	known := x.Err == nil && y.Err == nil
	if known && x.OrgErr == nil && y.OrgErr == nil && x.Org != y.Org {
		out = append(out, OrgDiffers)
	}
	if known && (x.PolicyDomain != y.PolicyDomain || !x.Record.Equal(y.Record)) {
		out = append(out, RecordDiffers)
	}
	if a.Verdict.outcome() != b.Verdict.outcome() {
		out = append(out, VerdictDiffers)
	}
	return out
}

// outcome is the verdict without what only explains it. The policy of a message
// that did not fail does nothing.
func (v Verdict) outcome() Verdict {
	if v.Status != Fail {
		return Verdict{Status: v.Status, AlignedSPF: v.AlignedSPF, AlignedDKIM: v.AlignedDKIM}
	}
	v.Cause, v.Why = CauseNone, ""
	return v
}
