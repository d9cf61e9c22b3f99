package xml

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"dmarcgate/report"
)

// namespace is that of RFC 9990, Section 6.1. Documents of RFC 7489 have none: all large
// reporters leave it out, and readers of that form look for names without one.
const namespace = "urn:ietf:params:xml:ns:dmarc-2.0"

// flushBytes is how much is written at once.
const flushBytes = 32 << 10

// noDomain stands for the domain of SPF where SPF checked none: RFC 7489 requires an
// element spf, and readers refuse an empty domain. The name can never exist (RFC 6761,
// Section 6.4).
const noDomain = "unknown.invalid"

// ErrInvalid means that a report breaks an invariant, so that it must not be sent.
var ErrInvalid = errors.New("report is not valid")

// Write writes a report as a document. It writes nothing of a report that has no identity,
// no ID or no form.
func Write(w io.Writer, r *report.Report) error {
	if err := check(r); err != nil {
		return err
	}
	d := &writer{to: w, old: r.Form == report.RFC7489}
	d.head(r)
	records := int64(0)
	for rec, err := range r.Records {
		if err == nil {
			err = checkRecord(rec)
		}
		if err != nil {
			return err
		}
		records++
		d.record(rec)
		if err := d.flush(flushBytes); err != nil {
			return err
		}
	}
	if records == 0 { // at least one is required
		return fmt.Errorf("%w: it has no records", ErrInvalid)
	}
	d.bytes = append(d.bytes, "</feedback>\n"...)
	return d.flush(0)
}

// writer appends a document.
type writer struct {
	to    io.Writer
	old   bool // RFC 7489
	bytes []byte
}

// flush writes what there is when it is more than that.
func (d *writer) flush(more int) error {
	if len(d.bytes) <= more {
		return nil
	}
	_, err := d.to.Write(d.bytes)
	d.bytes = d.bytes[:0]
	return err
}

// raw appends text that needs no escapes.
func (d *writer) raw(parts ...string) {
	for _, p := range parts {
		d.bytes = append(d.bytes, p...)
	}
}

// element appends an element with a text, indented to its depth.
func (d *writer) element(indent, name, text string) {
	d.bytes = append(append(append(append(d.bytes, indent...), '<'), name...), '>')
	d.bytes = appendText(d.bytes, text)
	d.bytes = append(append(append(d.bytes, '<', '/'), name...), '>', '\n')
}

// some is element, unless the text is empty.
func (d *writer) some(indent, name, text string) {
	if text != "" {
		d.element(indent, name, text)
	}
}

func (d *writer) number(indent, name string, n int64) {
	d.element(indent, name, strconv.FormatInt(n, 10))
}

// head appends all before the records.
func (d *writer) head(r *report.Report) {
	d.raw("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	if d.old {
		d.raw("<feedback>\n")
	} else {
		d.raw("<feedback xmlns=\"", namespace, "\">\n")
	}
	d.element(" ", "version", "1.0")
	d.metadata(r)
	d.policy(r)
}

// metadata is in the order of RFC 7489, where the order binds.
func (d *writer) metadata(r *report.Report) {
	d.raw(" <report_metadata>\n")
	d.element("  ", "org_name", r.Identity.Organization)
	d.element("  ", "email", r.Identity.Email)
	d.some("  ", "extra_contact_info", r.Identity.Contact)
	d.element("  ", "report_id", r.ID)
	d.raw("  <date_range>\n")
	d.number("   ", "begin", r.Period.Begin.Unix())
	d.number("   ", "end", r.Period.LastSecond())
	d.raw("  </date_range>\n")
	if d.old {
		for _, text := range r.Errors {
			d.element("  ", "error", text)
		}
	} else {
		d.some("  ", "error", joined(r.Errors))
		d.some("  ", "generator", r.Generator)
	}
	d.raw(" </report_metadata>\n")
}

// joined is the one element error of RFC 9990.
func joined(errs []string) string {
	text := ""
	for i, e := range errs {
		if i > 0 {
			text += ". "
		}
		text += e
	}
	return text
}

// policy shows tags that are not in the record with their default (RFC 9990, Section
// 3.1.1.5).
func (d *writer) policy(r *report.Report) {
	p := r.Published
	d.raw(" <policy_published>\n")
	d.element("  ", "domain", r.PolicyDomain)
	if !d.old {
		d.some("  ", "discovery_method", p.Discovery)
	}
	d.element("  ", "adkim", p.ADKIM.String())
	d.element("  ", "aspf", p.ASPF.String())
	d.element("  ", "p", p.P.String())
	d.element("  ", "sp", p.SP.String())
	if d.old {
		d.number("  ", "pct", int64(p.Pct))
	} else {
		d.element("  ", "np", p.NP.String())
		d.element("  ", "testing", yesNo(p.Testing))
	}
	d.element("  ", "fo", p.FO.String())
	d.raw(" </policy_published>\n")
}

func yesNo(yes bool) string {
	if yes {
		return "y"
	}
	return "n"
}

// record appends a record that checkRecord has found right.
func (d *writer) record(r *report.Record) {
	d.raw(" <record>\n  <row>\n")
	d.element("   ", "source_ip", r.Source.String())
	d.number("   ", "count", r.Count)
	d.raw("   <policy_evaluated>\n")
	d.element("    ", "disposition", d.disposition(r.Disposition))
	d.element("    ", "dkim", passFail(r.DKIM))
	d.element("    ", "spf", passFail(r.SPF))
	for i := range r.Reasons {
		d.reason(&r.Reasons[i])
	}
	d.raw("   </policy_evaluated>\n  </row>\n  <identifiers>\n")
	d.some("   ", "envelope_to", r.EnvelopeTo)
	if d.old || r.NullPath || r.EnvelopeFrom != "" { // RFC 9990, Section 3.1.1.10: present and empty for a null path
		d.element("   ", "envelope_from", r.EnvelopeFrom)
	}
	d.element("   ", "header_from", r.HeaderFrom)
	d.raw("  </identifiers>\n  <auth_results>\n")
	for i := range r.Signatures {
		d.signature(&r.Signatures[i])
	}
	d.spf(&r.Checked)
	d.raw("  </auth_results>\n </record>\n")
}

func passFail(pass bool) string {
	if pass {
		return "pass"
	}
	return "fail"
}

// disposition is the word of the form: RFC 7489 has no pass.
func (d *writer) disposition(v report.Disposition) string {
	if d.old && v == report.Pass {
		v = report.None
	}
	return string(v)
}

func (d *writer) reason(r *report.Reason) {
	word, comment := d.reasonWord(r)
	d.raw("    <reason>\n")
	d.element("     ", "type", word)
	d.some("     ", "comment", comment)
	d.raw("    </reason>\n")
}

// reasonWord is the type in the words of the form. A type that the form does not have is
// other, and the comment names it.
func (d *writer) reasonWord(r *report.Reason) (word, comment string) {
	if allowed(reasonWords, r.Type) && !(d.old && r.Type == "policy_test_mode") || d.old && (r.Type == "sampled_out" || r.Type == "forwarded") {
		return r.Type, r.Comment
	}
	if r.Comment == "" {
		return "other", r.Type
	}
	return "other", r.Type + ": " + r.Comment
}

func (d *writer) signature(s *report.Signature) {
	d.raw("   <dkim>\n")
	d.element("    ", "domain", s.Domain)
	d.element("    ", "selector", s.Selector)
	d.element("    ", "result", s.Result)
	d.some("    ", "human_result", s.Human)
	d.raw("   </dkim>\n")
}

// spf appends the result for the MAIL FROM identity.
func (d *writer) spf(s *report.SPF) {
	domain, result := s.Domain, s.Result
	switch {
	case domain == "" && !d.old: // RFC 9990: none, or one
		return
	case domain == "":
		domain, result = noDomain, "none"
	case d.old && result == "policy": // no word of RFC 7489
		result = "neutral"
	}
	d.raw("   <spf>\n")
	d.element("    ", "domain", domain)
	d.element("    ", "scope", "mfrom")
	d.element("    ", "result", result)
	if !d.old {
		d.some("    ", "human_result", s.Human)
	}
	d.raw("   </spf>\n")
}

// plainByte has the bytes that stand for themselves.
var plainByte = func() (ok [256]bool) {
	for c := ' '; c <= '~'; c++ {
		ok[c] = true
	}
	ok['&'], ok['<'], ok['>'], ok['"'], ok['\''] = false, false, false, false, false
	return ok
}()

// appendText appends text with escapes, on one line: line ends and tabs become blanks, and
// what XML cannot have (XML 1.0, Section 2.2) becomes U+FFFD.
func appendText(b []byte, text string) []byte {
	from := 0
	for i := 0; i < len(text); {
		if plainByte[text[i]] {
			i++
			continue
		}
		c, size := utf8.DecodeRuneInString(text[i:])
		b = append(b, text[from:i]...)
		b = appendRune(b, c)
		i += size
		from = i
	}
	return append(b, text[from:]...)
}

func appendRune(b []byte, c rune) []byte {
	switch {
	case c == '&':
		return append(b, "&amp;"...)
	case c == '<':
		return append(b, "&lt;"...)
	case c == '>':
		return append(b, "&gt;"...)
	case c == '"':
		return append(b, "&quot;"...)
	case c == '\'':
		return append(b, "&apos;"...)
	case c == '\t' || c == '\n' || c == '\r' || c == 0x85 || c == 0x2028 || c == 0x2029:
		return append(b, ' ')
	case c < ' ' || c >= 0x7f && c < 0xa0 || c == 0xfffe || c == 0xffff:
		c = utf8.RuneError
	}
	return utf8.AppendRune(b, c)
}
