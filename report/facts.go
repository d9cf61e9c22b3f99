package report

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/scope"
)

const (
	// MaxSignatures is how many signatures a record names (RFC 9990, Section 3.1.3).
	MaxSignatures = 100
	// MaxText is how long a comment or a human_result is, in bytes.
	MaxText = 200

	maxSelector = 253 // bytes: a selector is a part of a domain name (RFC 6376, Section 3.1)
)

// dkimWords and spfWords are the results of RFC 8601, Sections 2.7.1 and 2.7.2, as
// far as the forms have them.
var (
	dkimWords = []string{"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"}
	spfWords  = []string{"none", "pass", "fail", "softfail", "policy", "neutral", "temperror", "permerror"}
)

// maker makes a record of each author domain of a row.
type maker struct {
	envelopeTo bool
	record     Record
	dropped    int // signatures left out of record
}

// client returns the address that a report shows, and false when the row does not have
// it. A shortened address is another address, so it is never shown.
func client(f *policy.Facts) (netip.Addr, bool) {
	if !f.Client.IsValid() || f.UnknownClient != policy.ClientKnown || f.AllMissing()&policy.MissingClient != 0 {
		return netip.Addr{}, false
	}
	return f.Client.Unmap().WithZone(""), true
}

// make fills the record with what a report says of author i. It returns false when a fact
// that a report needs is missing.
func (m *maker) make(row *results.Row, i int) bool {
	f := &row.Facts
	a := &f.Authors[i]
	source, ok := client(f)
	if !ok || !usableName(a.Domain) {
		return false
	}
	r := &m.record
	*r = Record{
		Source: source, HeaderFrom: a.Domain, NullPath: f.NullPath,
		DKIM: a.Verdict.AlignedDKIM, SPF: a.Verdict.AlignedSPF,
		Disposition: disposition(a, &row.Decision), Reasons: appendReasons(r.Reasons[:0], row, i),
		Signatures: r.Signatures[:0], Checked: checked(f.SPF),
	}
	if usableName(f.MailFrom) && !f.NullPath {
		r.EnvelopeFrom = f.MailFrom
	}
	if m.envelopeTo && len(f.Recipients) == 1 && f.AllMissing()&policy.MissingRecipients == 0 && usableName(f.Recipients[0]) {
		r.EnvelopeTo = f.Recipients[0]
	}
	m.sign(f, a)
	return true
}

// disposition is what was done, in the words of RFC 9990, Section 3.1.1.9: a message that
// passes has "pass" where the owner asks for more than none, whatever t and pct make of it.
func disposition(a *policy.Author, d *policy.Decision) Disposition {
	switch {
	case d.Disposition == policy.Rejected:
		return Reject
	case d.Disposition == policy.Quarantined:
		return Quarantine
	case a.Verdict.Status == dmarc.Pass && a.Verdict.Policy != dmarc.None:
		return Pass
	}
	return None
}

// checked is the result of SPF, or nothing where SPF had no domain to check.
func checked(s policy.SPF) SPF {
	if !usableName(s.Domain) || !slices.Contains(spfWords, s.Result) {
		return SPF{}
	}
	out := SPF{Domain: s.Domain, Result: s.Result}
	if s.Result == "permerror" {
		out.Human = human(strings.TrimSpace(s.Why + " " + s.Term))
	}
	return out
}

// sign lists the signatures, the most telling first: aligned passes of the author domain
// itself, other aligned passes, other passes, failures (RFC 9990, Section 3.1.3). A
// signature without domain or selector says nothing to the reader of a report, and
// consumers refuse the document for it.
func (m *maker) sign(f *policy.Facts, a *policy.Author) {
	r := &m.record
	m.dropped = 0
	for i := range f.DKIM {
		s := &f.DKIM[i]
		if !usableName(s.Domain) || !usableSelector(s.Selector) || !slices.Contains(dkimWords, s.Result) {
			m.dropped++
			continue
		}
		r.Signatures = append(r.Signatures, Signature{Domain: s.Domain, Selector: s.Selector, Result: s.Result, Human: humanOf(s)})
	}
	if len(r.Signatures) > 1 {
		slices.SortFunc(r.Signatures, func(x, y Signature) int {
			return cmp.Or(cmp.Compare(rank(x, a), rank(y, a)), cmp.Compare(x.Domain, y.Domain), cmp.Compare(x.Selector, y.Selector),
				cmp.Compare(x.Result, y.Result), cmp.Compare(x.Human, y.Human))
		})
	}
	if n := len(r.Signatures); n > MaxSignatures {
		r.Signatures = r.Signatures[:MaxSignatures]
		m.dropped += n - MaxSignatures
	}
}

// testKey is said of a pass whose key is in test mode: DMARC takes it for none (RFC 6376,
// Section 3.6.1).
const testKey = "key in test mode (t=y)"

// rank is the place of a signature in the order of RFC 9990, Section 3.1.3.
func rank(s Signature, a *policy.Author) int {
	switch {
	case s.Result != "pass":
		return 4
	case s.Human == testKey:
		return 3
	case s.Domain == a.Domain:
		return 0
	case a.Org != "" && scope.AtOrBelow(s.Domain, a.Org):
		return 1
	}
	return 2
}

// humanOf explains a result that is no pass, in words of ours. What the DNS did not
// answer is our own affair.
func humanOf(s *policy.DKIM) string {
	switch {
	case s.Result == "pass" && s.Testing:
		return testKey
	case s.Result == "pass" || s.Result == "temperror":
		return ""
	}
	return human(s.Why)
}

// human is a text that a person reads, in printable ASCII. That an answer of the DNS was
// stale concerns nobody but this host.
func human(text string) string {
	text, _, _ = strings.Cut(text, "; stale DNS answer")
	return plain(text)
}

// plain returns a text without what is not printable ASCII and without blanks around it,
// at most MaxText bytes.
func plain(text string) string {
	text = strings.TrimSpace(text)
	bad := func(r rune) bool { return r < ' ' || r > '~' }
	if len(text) <= MaxText && strings.IndexFunc(text, bad) < 0 {
		return text
	}
	text = strings.Map(func(r rune) rune {
		if bad(r) {
			return '?'
		}
		return r
	}, text)
	return strings.TrimSpace(text[:min(len(text), MaxText)])
}

// usableName reports whether a text is a domain name of lower-case A-labels, as a report
// names one: at most 253 bytes in labels of 1 to 63 (RFC 1035, Section 2.3.4), of letters,
// digits, "-" and "_".
func usableName(name string) bool {
	if len(name) == 0 || len(name) > dmarc.MaxNameBytes {
		return false
	}
	label := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			if label++; label > 63 {
				return false
			}
		default:
			return false
		}
	}
	return label > 0
}

// usableSelector reports whether a text can be a selector (RFC 6376, Section 3.1).
func usableSelector(s string) bool {
	if len(s) == 0 || len(s) > maxSelector {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
