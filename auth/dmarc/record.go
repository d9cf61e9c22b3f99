// Package dmarc applies RFC 9989 and RFC 7489 to a message: which
// record applies to its author domain, which identifiers are aligned with that
// domain, and whether the message passes.
//
// It is three steps, and the caller runs the lookups of the first two while
// the message is still arriving:
//
//	d := finder.Find(ctx, author)             // record and Organizational Domain
//	id = finder.Identify(ctx, id, d)          // Organizational Domain of an identifier, if it matters
//	v := dmarc.Evaluate(d, []dmarc.Identifier{id}) // no I/O
//
// A Finder with [Walks] asks each name once for a message, however many author
// domains and identifiers it has. [SuffixFile] is a list of public suffixes that
// is read again when it changes. [Compare] tells where the two standards differ
// about a message, for a site that wants to change from one to the other.
//
// It is not for local policy: what a site does with a verdict, with t and with
// pct is decided elsewhere. It sends no reports and checks no SPF or DKIM.
//
// Domains are lower-case A-labels without a trailing dot everywhere in this
// package; who reads a message or a configuration converts them once. Two
// domains are equal when their bytes are.
//
// Limits: a record is read up to [MaxRecordBytes], [MaxTags] and [MaxURIs]; a
// domain costs at most [MaxWalk] TXT queries, and the author domain at most one
// existence query more.
//
// Failures: every error of the [Resolver] is temporary. The verdict becomes
// [TempError] only if another answer could have changed it. If a stale answer
// comes with the error, the verdict is that of the stale answer: a domain whose
// DNS does not answer keeps its policy. A record with errors is read as far as
// possible. Its errors are returned as a list of [Defect], each with a [Severity]
// that tells whether the record has another meaning than its owner intended.
package dmarc

import (
	"slices"
	"strconv"
	"strings"
)

// Limits of one record. A sender chooses which record we read.
const (
	// MaxRecordBytes bounds how much of a record is read. Nothing in the RFCs
	// limits it; a TXT answer may have 64 KiB, real records have less than one.
	// It is more than Record.String can print (two full lists of URIs), so
	// that a record printed is always a record that can be read again.
	MaxRecordBytes = 16 << 10
	// MaxTags bounds the elements between semicolons. The registry has 13
	// tags (RFC 9989, Section 9.3).
	MaxTags = 64
	// MaxURIs bounds the destinations kept of one rua or ruf. A receiver may
	// cap them and must support at least two (RFC 7489, Section 6.2).
	MaxURIs = 10
	// MaxURIBytes bounds one destination. A mailbox has at most 254 bytes
	// (RFC 5321, Section 4.5.3.1.3); the rest is room for escapes.
	MaxURIBytes = 512
)

// The values that RFC 7489, Section 6.3 gives to absent tags.
const (
	defaultPct = 100
	defaultRI  = 86400 // seconds
)

// Record is what a Domain Owner published at one name, read after both RFC
// 7489, Section 6.3 and RFC 9989, Section 4.7. Tags that are absent or
// unreadable have their default; only P, SP and NP remember which of the two it
// was, because the standards treat them differently.
//
// rf has no field: afrf is the only value that was ever registered.
type Record struct {
	P, SP, NP   PolicyTag
	ADKIM, ASPF Mode
	FO          FailureOptions // the default when RUF is empty (RFC 9989, Section 4.7)
	RUA, RUF    []URI          // readable destinations of any scheme, in order; nil when none
	T           bool           // t=y: the owner asks not to enforce (RFC 9989, Section 4.7)
	PSD         PSD
	Pct         uint8  // 0 to 100 percent; historic in RFC 9989
	RI          uint32 // seconds between aggregate reports; historic in RFC 9989
}

// PolicyTag is p, sp or np: absent (the zero value), readable or not.
type PolicyTag struct {
	Presence Presence
	Policy   Policy // None unless Valid
}

// Presence tells an absent tag from an unreadable one.
type Presence uint8

// The states of a policy tag.
const (
	Absent  Presence = iota
	Valid            // one of the registered values
	Invalid          // present, with another value
)

// PSD is the psd tag: whether the name is a Public Suffix Domain (RFC 9989,
// Section 4.7).
type PSD uint8

// The values of psd.
const (
	PSDUnknown PSD = iota // u: the tree walk decides
	PSDYes                // y: a public suffix; the organizations are one label below
	PSDNo                 // n: not a suffix; this name is an Organizational Domain
)

// Mode is how close an identifier must be to the author domain (RFC 9989,
// Section 4.4).
type Mode uint8

// The alignment modes.
const (
	Relaxed Mode = iota // r: the same Organizational Domain
	Strict              // s: the same domain
)

// FailureOptions is the set of values of fo (RFC 9989, Section 4.7).
type FailureOptions uint8

// The options of fo.
const (
	ReportAllFailed  FailureOptions = 1 << iota // 0: when no mechanism gave an aligned pass
	ReportAnyFailed                             // 1: when any mechanism gave no aligned pass
	ReportDKIMFailed                            // d: when a signature failed, aligned or not
	ReportSPFFailed                             // s: when SPF failed, aligned or not
)

// URI is one destination of rua or ruf.
type URI struct {
	Text string // the URI as published, letter case kept, without the size
	Size uint64 // most bytes wanted in one report, 0 for no limit; obsolete in RFC 9989, Section 4.8
}

// Broken reports whether p, sp or np make the record one that must not be
// enforced: no valid p, or an sp or np that cannot be read. With a valid rua
// such a record counts as p=none for every name, otherwise it does not count at
// all (RFC 9989, Section 4.10.1; RFC 7489, Section 6.6.3, step 6). np means
// nothing to RFC 7489, so by that method it breaks nothing.
func (r Record) Broken(m Method) bool {
	return r.P.Presence != Valid || r.SP.Presence == Invalid ||
		m == TreeWalk && r.NP.Presence == Invalid
}

// Usable reports whether a record, broken or not, takes part in DMARC.
func (r Record) Usable(m Method) bool {
	return len(r.RUA) > 0 || !r.Broken(m)
}

// mode returns the alignment mode for identifiers of a mechanism.
func (r Record) mode(m Mechanism) Mode {
	if m == DKIM {
		return r.ADKIM
	}
	return r.ASPF
}

// Equal reports whether two records say the same.
func (r Record) Equal(o Record) bool {
	return r.P == o.P && r.SP == o.SP && r.NP == o.NP &&
		r.ADKIM == o.ADKIM && r.ASPF == o.ASPF && r.FO == o.FO &&
		slices.Equal(r.RUA, o.RUA) && slices.Equal(r.RUF, o.RUF) &&
		r.T == o.T && r.PSD == o.PSD && r.Pct == o.Pct && r.RI == o.RI
}

// String prints the record in the syntax of RFC 9989, Section 4.8, without tags
// that have their default. Reading it again gives an equal record; for that, a
// policy that could not be read is printed as "invalid".
func (r Record) String() string {
	b := append(make([]byte, 0, 256), "v=DMARC1"...)
	add := func(tag, value, byDefault string) {
		if value != byDefault {
			b = append(append(append(append(b, "; "...), tag...), '='), value...)
		}
	}
	add("p", r.P.String(), "")
	add("sp", r.SP.String(), "")
	add("np", r.NP.String(), "")
	add("adkim", r.ADKIM.String(), "r")
	add("aspf", r.ASPF.String(), "r")
	add("fo", r.FO.String(), "0")
	add("rua", joinURIs(r.RUA), "")
	add("ruf", joinURIs(r.RUF), "")
	add("t", yesNo(r.T), "n")
	add("psd", r.PSD.String(), "u")
	add("pct", strconv.Itoa(int(r.Pct)), "100")
	add("ri", strconv.FormatUint(uint64(r.RI), 10), "86400")
	return string(b)
}

// PolicyTags prints the record without its destinations (rua and ruf), which
// are mailboxes: the form in which records are stored. Every value in it is of
// the registry (RFC 9989, Section 9.3) or a number.
func (r Record) PolicyTags() string {
	r.RUA, r.RUF = nil, nil
	return r.String()
}

// ParsePolicyTags reads a text that Record.PolicyTags printed: the record without its
// destinations. It keeps fo, which ParseRecord ignores without ruf. Like ParseRecord, it
// fails only with ErrNotRecord.
func ParsePolicyTags(text string) (Record, error) {
	if !isDMARC(text) {
		return Record{}, ErrNotRecord
	}
	p := newParser()
	p.elements(p.limited(text))
	return p.record, nil
}

// CleanPolicyTags returns the policy tags of a text that Record.String or
// Record.PolicyTags printed; "" for a text that is no record. It keeps fo also
// where ruf was taken away before, so that its result stays as it is when it is
// cleaned again.
func CleanPolicyTags(text string) string {
	r, err := ParsePolicyTags(text)
	if err != nil {
		return ""
	}
	return r.PolicyTags()
}

// String returns the value as published, "" when absent, "invalid" when it
// could not be read.
func (t PolicyTag) String() string {
	switch t.Presence {
	case Valid:
		return t.Policy.String()
	case Invalid:
		return "invalid"
	default:
		return ""
	}
}

// String returns the value of the tag: y, n or u.
func (p PSD) String() string {
	switch p {
	case PSDYes:
		return "y"
	case PSDNo:
		return "n"
	default:
		return "u"
	}
}

// String returns the value of the tag: r or s.
func (m Mode) String() string {
	if m == Strict {
		return "s"
	}
	return "r"
}

// String returns the value of the tag, such as "1:d:s".
func (f FailureOptions) String() string {
	var parts []string
	for i, letter := range []string{"0", "1", "d", "s"} {
		if f&(1<<i) != 0 {
			parts = append(parts, letter)
		}
	}
	return strings.Join(parts, ":")
}

// String returns the destination with its size limit, if any, in bytes.
func (u URI) String() string {
	if u.Size == 0 {
		return u.Text
	}
	return u.Text + "!" + strconv.FormatUint(u.Size, 10)
}

func joinURIs(list []URI) string {
	parts := make([]string, len(list))
	for i, u := range list {
		parts[i] = u.String()
	}
	return strings.Join(parts, ",")
}

func yesNo(b bool) string {
	if b {
		return "y"
	}
	return "n"
}
