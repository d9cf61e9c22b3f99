package lookup

import (
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/message"
)

// fixed is a record as it should read, with what its owner has to decide.
type fixed struct {
	record dmarc.Record
	notes  []string
}

// fix corrects the text of a record, or of what was meant to be one. It
// guesses nothing: what cannot be read is left out, and a p that cannot be read
// asks for nothing, as receivers treat it (RFC 9989, Section 4.10.1). The one
// slip that has one reading only is an address without "mailto:".
func fix(txt string) fixed {
	r, defects, err := dmarc.ParseRecord(txt)
	if err != nil {
		txt = versioned(txt)
		r, defects, _ = dmarc.ParseRecord(txt)
	}
	m := fixed{record: r}
	for _, d := range defects {
		m.apply(txt, d)
	}
	if m.record.P.Presence != dmarc.Valid {
		m.record.P = dmarc.PolicyTag{Presence: dmarc.Valid}
		m.note("p=none keeps the present effect on failing mail; write p=quarantine or p=reject to enforce a policy")
	}
	if m.record.SP.Presence == dmarc.Invalid {
		m.record.SP = dmarc.PolicyTag{}
		m.note("sp is removed, and p applies to subdomains, too")
	}
	if m.record.NP.Presence == dmarc.Invalid {
		m.record.NP = dmarc.PolicyTag{}
		m.note("np is removed, and nonexistent names are treated as subdomains")
	}
	return m
}

// versioned puts the version that DMARC has in the place of the one that txt
// has, without the quotes and spaces that zone file text may have left in it.
func versioned(txt string) string {
	_, rest, _ := strings.Cut(strings.NewReplacer(`"`, "", `\`, "").Replace(txt), ";")
	return "v=DMARC1;" + rest
}

func (m *fixed) note(text string) {
	if !slices.Contains(m.notes, text) {
		m.notes = append(m.notes, text)
	}
}

func (m *fixed) apply(txt string, d dmarc.Defect) {
	switch d.Kind {
	case dmarc.BadURI:
		if m.restore(txt, d) {
			return
		}
		m.note("unreadable report destinations are removed")
	case dmarc.BadSyntax, dmarc.UnknownTag, dmarc.BadAlignment, dmarc.BadFO, dmarc.BadT, dmarc.BadPSD, dmarc.BadPct:
		m.note("unreadable parts are removed; write any needed part again")
	case dmarc.DuplicateTag:
		m.note("only the first of repeated tags is kept")
	case dmarc.TooLong, dmarc.TooManyTags, dmarc.TooManyURIs:
		m.note("only the part of the overlong record read by receivers is kept")
	}
}

// restore adds a destination that lacks nothing but its scheme.
func (m *fixed) restore(txt string, d dmarc.Defect) bool {
	text := txt[d.Pos:] // the defect may have its beginning only
	if end := strings.IndexAny(text, ",;"); end >= 0 {
		text = text[:end]
	}
	addr, ok := plainAddress(strings.Trim(text, " \t"))
	if !ok || strings.ContainsAny(addr, "!%?#/^`{|}") { // which a URI has to escape
		return false
	}
	uri := dmarc.URI{Text: "mailto:" + addr}
	list := &m.record.RUA
	if tagWithValueAt(txt, d.Pos) == "ruf" {
		list = &m.record.RUF
	}
	if len(*list) < dmarc.MaxURIs && !slices.Contains(*list, uri) {
		*list = append(slices.Clone(*list), uri)
	}
	return true
}

// tagWithValueAt returns the name of the tag whose value has a position.
func tagWithValueAt(txt string, pos int) string {
	pos = min(pos, len(txt))
	start := strings.LastIndexByte(txt[:pos], ';') + 1
	name, _, _ := strings.Cut(txt[start:], "=")
	return strings.ToLower(strings.Trim(name, " \t"))
}

// maxLocal is the length of the longest local part (RFC 5321, Section
// 4.5.3.1.1).
const maxLocal = 64

// plainAddress returns an address that can stand in a header field as it is:
// a dot-string of RFC 5321, Section 4.1.2, and a domain. Quoted local parts are
// refused: nobody has one, and they are the way to smuggle something in.
func plainAddress(text string) (string, bool) {
	at := strings.LastIndexByte(text, '@')
	if at < 1 || at > maxLocal {
		return "", false
	}
	for atom := range strings.SplitSeq(text[:at], ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !isAtext(r) }) {
			return "", false
		}
	}
	domain, err := message.ParseDomain(text[at+1:])
	return text[:at] + "@" + domain, err == nil
}

// isAtext is atext of RFC 5322, Section 3.2.3.
func isAtext(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
		r < 0x80 && strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}
