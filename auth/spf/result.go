// Package spf checks whether a host may use a domain in MAIL FROM or HELO
// (RFC 7208).
//
// It answers for one identity at a time and knows nothing of DMARC: that only
// a pass of MAIL FROM counts there is said in auth/dmarc. The evaluation is
// blitiri.com.ar/go/spf with its limits of ten lookups and two void lookups;
// this package gives it a resolver, a whole identity (it splits addresses at
// the first "@") and errors that it can tell apart.
//
// # Failures
//
// A DNS failure is temperror, never fail, and Result.Err carries its cause. A
// record that cannot be understood is permerror. The zero Result is none.
package spf

// Status is the result of a check, RFC 7208, Section 2.6.
type Status uint8

// The results. The zero value says nothing about the sender.
const (
	None Status = iota
	Neutral
	Pass
	Fail
	SoftFail
	TempError
	PermError
)

// String returns the word that RFC 8601, Section 2.7.2, gives the result.
func (s Status) String() string {
	return [...]string{"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}[s]
}

// Result is the outcome of one check.
type Result struct {
	Status Status
	Domain string // the domain that was checked
	Reason string // the matching mechanism or the error, in words of ours
	Err    error  // with TempError: the failure of DNS
}
