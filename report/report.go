package report

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"dmarcgate/auth/dmarc"
)

// Period is a span of time in UTC, from Begin, included, to End, excluded. Reports show
// whole seconds.
type Period struct{ Begin, End time.Time }

// DayOf returns the UTC day of a time.
func DayOf(t time.Time) Period {
	begin := t.UTC().Truncate(24 * time.Hour)
	return Period{begin, begin.Add(24 * time.Hour)}
}

// Contains reports whether a time is in the period.
func (p Period) Contains(t time.Time) bool { return !t.Before(p.Begin) && t.Before(p.End) }

// String returns the period as its first and its last second, such as
// "1767225600-1767311999": the form of file names.
func (p Period) String() string { return fmt.Sprintf("%d-%d", p.Begin.Unix(), p.LastSecond()) }

// LastSecond is the end of the period as documents and file names show it: the last
// second that belongs to the period (RFC 9990, Appendix B).
func (p Period) LastSecond() int64 { return p.End.Unix() - 1 }

// Split cuts a period into n periods of whole seconds that adjoin and do not overlap;
// into fewer when it has fewer seconds than n.
func (p Period) Split(n int) []Period {
	seconds := int64(p.End.Sub(p.Begin) / time.Second)
	parts := min(int64(n), seconds)
	if parts <= 1 {
		return []Period{p}
	}
	list, begin := make([]Period, 0, parts), p.Begin
	for i := range parts {
		end := p.Begin.Add(time.Duration(seconds*(i+1)/parts) * time.Second)
		if i == parts-1 {
			end = p.End
		}
		list = append(list, Period{begin, end})
		begin = end
	}
	return list
}

// Identity is who reports. The zero value reports nothing: Organization, Email and
// Submitter are required.
type Identity struct {
	Organization string // org_name
	Email        string // address for questions
	Contact      string // extra_contact_info: a URL or a text; may be empty
	Submitter    string // domain of the reporting host, lower-case A-labels, at least two of them
}

// Form is the schema of a document.
type Form string

// The forms, in the words of the configuration.
const (
	RFC9990 Form = "rfc9990"
	RFC7489 Form = "rfc7489"
)

// Published is the policy that was found at the policy domain, as reports show it: tags
// that the record does not have are at their default (RFC 9990, Section 3.1.1.5), and a
// record that cannot be enforced has p=none.
type Published struct {
	P, SP, NP   dmarc.Policy
	ADKIM, ASPF dmarc.Mode
	FO          dmarc.FailureOptions
	Testing     bool  // t=y
	Pct         uint8 // percent; RFC 7489 only
	// Discovery is the method by which the record was found, treewalk or psl; "" when
	// it is not known.
	Discovery string
}

// Report is what one document says: the messages of a period under one published policy
// of one policy domain.
type Report struct {
	Identity  Identity
	Generator string // name and version of the program; may be empty

	ID           string // 32 hexadecimal digits: see ID
	PolicyDomain string // where the record was found, lower-case A-labels
	Org          string // organizational domain of PolicyDomain; not in the document, and "" where it was read
	Period       Period
	Form         Form
	Published    Published
	PolicyHash   string   // of Published: 16 hexadecimal digits
	Errors       []string // defects of the record, in the words of the command lookup; each once

	Messages int64 // the sum of Record.Count
	Rows     int64 // how many records the document has, each with one element row
	Optional int64 // of Messages: report traffic (Builder.Optional), for which alone no report is due
	Passed   int64 // of Messages: accepted with an aligned pass, and not Optional

	// Records gives the records in the order of the document: by falling count, then by
	// their content. A Record is valid until the next. Records of a Report that a Builder
	// has handed over can be read again and again, until the callback returns. After an
	// error no record follows.
	Records iter.Seq2[*Record, error]
}

// Record is a group of messages with the same results.
type Record struct {
	Source      netip.Addr // of the client; IPv4 is never in the form of IPv6
	Count       int64      // messages, at least 1
	Disposition Disposition
	DKIM, SPF   bool     // an aligned pass
	Reasons     []Reason // why Disposition is not what was published

	HeaderFrom   string // author domain
	EnvelopeFrom string // domain of MAIL FROM; empty for the null reverse path, and for a path without domain
	NullPath     bool   // MAIL FROM:<>
	EnvelopeTo   string // domain of the recipients; empty unless Builder.EnvelopeTo

	Signatures []Signature // at most MaxSignatures
	Checked    SPF         // zero when SPF checked no domain
}

// Disposition is what was done with messages, in the words of RFC 9990.
type Disposition string

// The dispositions. Pass is a word of RFC 9990 only; documents of RFC 7489 have None in
// its place.
const (
	None       Disposition = "none"
	Pass       Disposition = "pass" // delivered, with an aligned pass under a policy that asks for more than none
	Quarantine Disposition = "quarantine"
	Reject     Disposition = "reject"
)

// Reason is why the disposition is not what was published.
type Reason struct {
	Type    string // a word of package policy (Reason), or "forwarded"
	Comment string // printable ASCII; may be empty
}

// Signature is the result of one DKIM signature (RFC 6376), whatever DMARC makes of it.
type Signature struct {
	Domain, Selector string // d= and s=
	Result           string // a word of RFC 8601, Section 2.7.1
	Human            string // human_result: printable ASCII; may be empty
}

// SPF is the result for the MAIL FROM identity (RFC 7208), whatever DMARC makes of it.
// For the null reverse path, Domain is that of HELO.
type SPF struct {
	Domain string
	Result string // a word of RFC 8601, Section 2.7.2
	Human  string // human_result: printable ASCII; may be empty
}

// ID returns the Report-ID of a document, 32 hexadecimal digits: the same from any host
// and after any crash, and never the same for other values. RFC 9990, Section 3.5.1, lets
// an ID with letters and digits alone stand in the file name, too.
func ID(submitter, policyDomain string, p Period, policyHash string, form Form) string {
	h := sha256.New()
	for _, field := range []string{submitter, policyDomain, p.String(), policyHash, string(form)} {
		var size [8]byte // lengths keep fields apart
		binary.BigEndian.PutUint64(size[:], uint64(len(field)))
		h.Write(size[:])
		h.Write([]byte(field))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// In returns the report in a form, with the ID that belongs to the form.
func (r *Report) In(form Form) *Report {
	out := *r
	out.Form = form
	out.ID = ID(r.Identity.Submitter, r.PolicyDomain, r.Period, r.PolicyHash, form)
	return &out
}

// FileName is the name of the compressed document (RFC 9990, Section 3.5.2).
func (r *Report) FileName() string {
	return fmt.Sprintf("%s!%s!%d!%d!%s.xml.gz", r.Identity.Submitter, r.PolicyDomain, r.Period.Begin.Unix(), r.Period.LastSecond(), r.ID)
}
