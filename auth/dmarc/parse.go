package dmarc

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"dmarcgate/auth/taglist"
)

// ErrNotRecord means that a TXT string is not a DMARC record: its first tag is
// not v with the value DMARC1. It is permanent.
var ErrNotRecord = errors.New("dmarc: not a DMARC record")

// ParseRecord reads one TXT string, its character-strings already joined. It
// fails only with ErrNotRecord. Whatever else is wrong costs the tag it is in
// and nothing more, and is listed: a syntax error falls back to the default or
// is ignored (RFC 9989, Section 4.8).
//
// What p, sp and np that are missing or unreadable do to the record is told by
// Record.Usable and Record.Broken.
//
// Of two equal tags the first counts. DKIM, whose syntax this is, calls such a
// list invalid (RFC 6376, Section 3.2) and the DMARC texts are silent; but an
// invalid record protects nobody, and an owner's slip must not switch the
// policy off.
func ParseRecord(txt string) (Record, []Defect, error) {
	if !isDMARC(txt) {
		return Record{}, nil, ErrNotRecord
	}
	p := newParser()
	if isBlank(txt[0]) {
		p.defect(LeadingSpace, 0, txt[:1])
	}
	p.elements(p.limited(txt))
	p.finish()
	return p.record, p.defects, nil
}

// isDMARC reports whether txt is a DMARC record, by its first tag and not by a
// prefix: "v = DMARC1" is one, "v=DMARC10" and "v=dmarc1" are not (RFC 9989,
// Sections 4.7 and 4.8). White space before v is let pass, as the tag lists of
// DKIM allow it (RFC 6376, Section 3.2).
func isDMARC(txt string) bool {
	first, _, _ := strings.Cut(txt, ";")
	name, value, _ := strings.Cut(first, "=")
	return lower(trim(name)) == "v" && taglist.Bare(value) == "DMARC1"
}

// registered is every tag of RFC 9989, Section 9.3, the historic ones too.
var registered = []string{"v", "p", "sp", "np", "adkim", "aspf", "fo", "rua", "ruf", "t", "psd", "pct", "rf", "ri"}

type parser struct {
	record  Record
	defects []Defect
	values  [14]string // as published; of registered[n]
	seen    uint16     // bit n: registered[n] was met
}

// newParser returns a parser whose record has the default of every tag.
func newParser() parser {
	return parser{record: Record{FO: ReportAllFailed, Pct: defaultPct, RI: defaultRI}}
}

// finish concludes what needs the whole record.
func (p *parser) finish() {
	r := &p.record
	if r.P.Presence == Absent {
		// A record for reports alone needs no p (RFC 9989, Section 4.7).
		p.mild(MissingP, 0, "", r.Usable(TreeWalk) && r.SP.Presence == Absent && r.NP.Presence == Absent)
	}
	if len(r.RUF) > 0 {
		return
	}
	r.FO = ReportAllFailed // RFC 9989, Section 4.7: ignored without ruf
	for i := range p.defects {
		if p.defects[i].Kind == BadFO {
			p.defects[i].Severity = Remark
		}
	}
}

// defect notes a defect, up to maxDefects of them.
func (p *parser) defect(kind DefectKind, pos int, text string) {
	p.mild(kind, pos, text, false)
}

// mild notes a defect that is no more than a remark on a condition.
func (p *parser) mild(kind DefectKind, pos int, text string, remark bool) {
	d := newDefect(kind, pos, text)
	if remark {
		d.Severity = Remark
	}
	if len(p.defects) < maxDefects {
		p.defects = append(p.defects, d)
	}
}

// limited returns the part of txt that is read. It ends between two tags,
// because half a value may be another valid one.
func (p *parser) limited(txt string) string {
	if len(txt) <= MaxRecordBytes {
		return txt
	}
	p.defect(TooLong, MaxRecordBytes, "")
	return txt[:max(strings.LastIndexByte(txt[:MaxRecordBytes+1], ';'), 0)]
}

func (p *parser) elements(txt string) {
	pos := 0
	for n := 0; pos < len(txt); n++ {
		if n == MaxTags {
			p.defect(TooManyTags, pos, "")
			return
		}
		element, _, more := strings.Cut(txt[pos:], ";")
		if trim(element) != "" || more {
			p.element(element, pos)
		}
		pos += len(element) + 1
	}
}

func (p *parser) element(element string, pos int) {
	before, after, found := strings.Cut(element, "=")
	name, namePos := trimAt(before, pos)
	if !found || !isAlpha(name) {
		text, at := trimAt(element, pos)
		p.mild(BadSyntax, at, text, text == "")
		return
	}
	value, valuePos := p.value(after, pos+len(before)+1)
	tag := lower(name)
	if tag != name {
		p.defect(UpperCaseTag, namePos, name)
	}
	i := slices.Index(registered, tag)
	if i < 0 {
		p.defect(UnknownTag, namePos, name)
		return
	}
	if p.seen&(1<<i) != 0 {
		text, at := trimAt(element, pos)
		p.mild(DuplicateTag, at, text, value == p.values[i])
		return
	}
	p.seen |= 1 << i
	p.values[i] = value
	p.tag(tag, value, valuePos)
}

// value returns the value of a tag without what surrounds it, and where it
// stands. What is neither a blank nor a tab is remarked: it comes from a web
// form or a file, and other readers may take it for a part of the value.
func (p *parser) value(text string, pos int) (string, int) {
	blank, at := trimBlank(text, pos)
	value := taglist.Bare(text)
	if value == blank {
		return value, at
	}
	if tail := strings.TrimPrefix(blank, value); tail != blank {
		p.defect(StrayBytes, at+len(value), tail)
		return value, at
	}
	p.defect(StrayBytes, at, blank)
	return value, at + strings.Index(blank, value)
}

// tag reads the value of a registered tag. v has been read by isDMARC.
func (p *parser) tag(tag, value string, pos int) {
	r := &p.record
	switch tag {
	case "p":
		r.P = p.policy(value, pos, BadP)
	case "sp":
		r.SP = p.policy(value, pos, BadSP)
	case "np":
		r.NP = p.policy(value, pos, BadNP)
	case "adkim":
		r.ADKIM = Mode(p.keyword(value, pos, BadAlignment, "r", "s"))
	case "aspf":
		r.ASPF = Mode(p.keyword(value, pos, BadAlignment, "r", "s"))
	case "fo":
		r.FO = p.failureOptions(value, pos)
	case "rua":
		r.RUA = p.uris(value, pos)
	case "ruf":
		r.RUF = p.uris(value, pos)
	case "t":
		r.T = p.keyword(value, pos, BadT, "n", "y") == 1
	case "psd":
		r.PSD = PSD(p.keyword(value, pos, BadPSD, "u", "y", "n"))
	case "pct":
		r.Pct = uint8(p.number(value, pos, BadPct, 100, defaultPct))
	case "rf":
		p.keyword(value, pos, BadRF, "afrf")
	case "ri":
		r.RI = uint32(p.number(value, pos, BadRI, 1<<32-1, defaultRI))
	}
}

func (p *parser) policy(value string, pos int, kind DefectKind) PolicyTag {
	policy, ok := ParsePolicy(value)
	if !ok {
		p.defect(kind, pos, value)
		return PolicyTag{Presence: Invalid}
	}
	return PolicyTag{Valid, policy}
}

// keyword returns the index of value in allowed, in any letter case: literals
// in ABNF are case-insensitive (RFC 5234, Section 2.3). The first is the default.
func (p *parser) keyword(value string, pos int, kind DefectKind, allowed ...string) int {
	i := slices.Index(allowed, lower(value))
	if i < 0 {
		p.defect(kind, pos, value)
		return 0
	}
	return i
}

func (p *parser) number(value string, pos int, kind DefectKind, most, byDefault uint64) uint64 {
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || n > most {
		p.defect(kind, pos, value)
		return byDefault
	}
	return n
}

// failureOptions reads fo. RFC 7489 let 0 and 1 stand together, RFC 9989,
// Section 4.7 does not; such a value costs itself, never the record.
func (p *parser) failureOptions(value string, pos int) FailureOptions {
	const both = ReportAllFailed | ReportAnyFailed
	var set FailureOptions
	for option := range strings.SplitSeq(value, ":") {
		i := slices.Index([]string{"0", "1", "d", "s"}, lower(trim(option)))
		if i < 0 || set&(1<<i) != 0 {
			set = both
			break
		}
		set |= 1 << i
	}
	if set&both == both {
		p.defect(BadFO, pos, value)
		return ReportAllFailed
	}
	return set
}

// uris reads rua or ruf. A bad destination costs only itself (RFC 9990,
// Section 3.5).
func (p *parser) uris(value string, pos int) []URI {
	var list []URI
	for raw := range strings.SplitSeq(value, ",") {
		part, at := trimAt(raw, pos)
		pos += len(raw) + 1
		if len(list) == MaxURIs {
			p.defect(TooManyURIs, at, part)
			break
		}
		uri, ok := parseURI(part)
		if !ok {
			p.mild(BadURI, at, part, part == "" && value != "")
			continue
		}
		list = append(list, uri)
	}
	return list
}

// lower folds ASCII letters only: strings.EqualFold would take U+017F for an s.
func lower(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return strings.Map(lowerRune, s)
		}
	}
	return s
}

func lowerRune(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// trim removes white space. The grammar has WSP of RFC 5234 alone; line ends are
// added, because records are pasted from files, and a policy must not be lost
// for one.
func trim(s string) string {
	s, _ = trimAt(s, 0)
	return s
}

// trimAt trims s, which stands at pos, and tells where the rest stands.
func trimAt(s string, pos int) (string, int) { return cut(s, pos, " \t\r\n") }

// trimBlank is trimAt for the white space of the grammar alone.
func trimBlank(s string, pos int) (string, int) { return cut(s, pos, " \t") }

func cut(s string, pos int, space string) (string, int) {
	rest := strings.TrimLeft(s, space)
	return strings.TrimRight(rest, space), pos + len(s) - len(rest)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func isAlpha(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return s != ""
}
