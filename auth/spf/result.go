// Package spf checks whether a host may use a domain in MAIL FROM or HELO
// (RFC 7208).
//
// It answers for one identity at a time and knows nothing of DMARC: that only
// a pass of MAIL FROM counts there is said in auth/dmarc. The null reverse
// path is the caller's to turn into the HELO identity.
//
// A record is parsed whole (record.go, parse.go) before any of it is evaluated
// (eval.go, mechanism.go, ptr.go); macros are read in macro.go and get their
// values in value.go.
//
// # Limits
//
// Ten terms that need DNS and two that find nothing, over all records of a
// check; ten mail hosts of an mx; ten names of a client. All are in limits.go.
// Time is the caller's to limit, by the context.
//
// # Failures
//
// A DNS failure is temperror, never fail, and Result.Err has the cause. With a
// stale answer a check may pass; any other result becomes temperror. A record
// with a syntax error is permerror. As the RFC requires, a failed lookup of PTR
// records matches nothing and a failed lookup of an explanation omits it; but a
// PTR lookup that gave way to others (an error whose method Pressure returns
// true) is temperror. The zero Result is none.
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

// Identity is what of an SMTP session a domain stands for (RFC 7208, Sections
// 2.3 and 2.4).
type Identity uint8

// The identities.
const (
	MailFrom Identity = iota
	Helo              // also for the null path, which has no domain of its own
)

// String returns the word of RFC 7208, Section 9.1, which is also the property
// of RFC 8601, Section 2.7.2.
func (i Identity) String() string {
	return [...]string{"mailfrom", "helo"}[i]
}

// Result is the outcome of one check. Term and Explanation are other people's
// text, of printable ASCII and of limited length, but not to be believed.
type Result struct {
	Status   Status
	Identity Identity
	Domain   string // the domain that was checked
	Term     string // the term that matched or is at fault, as written; it may be of an included record
	Why      string // the matching mechanism or the error, in words of ours
	Err      error  // with TempError: the failure of DNS
	Stale    bool   // a stale answer was used, because no newer one could be had

	// Explanation is what the domain owner says of a fail, if Query.Explain
	// asks for it. It is for the log and for people who look into a case, never
	// for an SMTP reply, and may hold the local part of the sender.
	Explanation string
}
