package xml

import (
	"encoding/xml"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"dmarcgate/report"
)

// maxCount is the most that one record may count: more messages than any receiver has in a
// period.
const maxCount = 1 << 40

// recordReader reads one record after the other.
type recordReader struct {
	record    report.Record
	count     bool // there was a count
	from      bool // there was an element envelope_from
	reason    report.Reason
	signature report.Signature
	spf       report.SPF
	helo      bool // scope of spf
}

func (b *recordReader) begin() {
	reasons, signatures := b.record.Reasons[:0], b.record.Signatures[:0]
	*b = recordReader{record: report.Record{Reasons: reasons, Signatures: signatures, Disposition: report.None}}
}

// end returns the record.
func (b *recordReader) end() (*report.Record, error) {
	r := &b.record
	switch {
	case !b.count:
		return nil, fmt.Errorf("%w: a record without count", ErrMalformed)
	case !r.Source.IsValid():
		return nil, fmt.Errorf("%w: a record without source_ip", ErrMalformed)
	case r.HeaderFrom == "":
		return nil, fmt.Errorf("%w: a record without header_from", ErrMalformed)
	}
	r.NullPath = b.from && r.EnvelopeFrom == ""
	return r, nil
}

// value takes the text of an element below record.
func (b *recordReader) value(path []xml.Name, text string) error {
	name := path[len(path)-1].Local
	switch path[0].Local {
	case "row":
		return b.row(path[1:], name, text)
	case "identifiers":
		if len(path) == 2 {
			b.identifier(name, text)
		}
	case "auth_results":
		if len(path) > 1 {
			b.result(path[1:], name, text)
		}
	}
	return nil
}

func (b *recordReader) row(path []xml.Name, name, text string) error {
	switch {
	case len(path) == 1 && name == "source_ip":
		a, err := netip.ParseAddr(strings.Trim(text, "[]"))
		if err != nil {
			return fmt.Errorf("%w: source_ip is %.60q", ErrMalformed, text)
		}
		b.record.Source = a.Unmap().WithZone("")
	case len(path) == 1 && name == "count":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 || n > maxCount {
			return fmt.Errorf("%w: count is %.30q", ErrMalformed, text)
		}
		b.record.Count, b.count = n, true
	case len(path) >= 2 && path[0].Local == "policy_evaluated":
		b.evaluated(path[1:], name, text)
	}
	return nil
}

func (b *recordReader) evaluated(path []xml.Name, name, text string) {
	word := strings.ToLower(text)
	switch {
	case len(path) == 1 && name == "disposition":
		if allowed(dispositionWords, word) {
			b.record.Disposition = report.Disposition(word)
		}
	case len(path) == 1 && name == "dkim":
		b.record.DKIM = word == "pass"
	case len(path) == 1 && name == "spf":
		b.record.SPF = word == "pass"
	case len(path) == 1 && name == "reason":
		if len(b.record.Reasons) < maxReasons && b.reason != (report.Reason{}) {
			b.record.Reasons = append(b.record.Reasons, b.reason)
		}
		b.reason = report.Reason{}
	case len(path) == 2 && path[0].Local == "reason" && name == "type":
		if b.reason.Type = word; !allowed(anyReason, word) {
			b.reason.Type = "other"
		}
	case len(path) == 2 && path[0].Local == "reason" && name == "comment":
		b.reason.Comment = text
	}
}

func (b *recordReader) identifier(name, text string) {
	word := strings.ToLower(text)
	switch name {
	case "header_from":
		b.record.HeaderFrom = word
	case "envelope_from":
		b.record.EnvelopeFrom, b.from = word, true
	case "envelope_to":
		b.record.EnvelopeTo = word
	}
}

// result takes an element of auth_results.
func (b *recordReader) result(path []xml.Name, name, text string) {
	switch {
	case len(path) == 1 && name == "dkim":
		if len(b.record.Signatures) < maxResults && b.signature.Domain != "" {
			b.signature.Result = resultWord(dkimWords, b.signature.Result)
			b.record.Signatures = append(b.record.Signatures, b.signature)
		}
		b.signature = report.Signature{}
	case len(path) == 1 && name == "spf":
		if b.spf.Domain != "" && b.spf.Domain != noDomain && b.record.Checked.Domain == "" && !b.helo {
			b.spf.Result = resultWord(spfWords, b.spf.Result)
			b.record.Checked = b.spf
		}
		b.spf, b.helo = report.SPF{}, false
	case len(path) != 2:
	case path[0].Local == "dkim":
		b.dkim(name, text)
	case path[0].Local == "spf":
		b.checked(name, text)
	}
}

func (b *recordReader) dkim(name, text string) {
	switch name {
	case "domain":
		b.signature.Domain = strings.ToLower(text)
	case "selector":
		b.signature.Selector = text
	case "result":
		b.signature.Result = text
	case "human_result":
		b.signature.Human = text
	}
}

func (b *recordReader) checked(name, text string) {
	switch name {
	case "domain":
		b.spf.Domain = strings.ToLower(text)
	case "scope":
		b.helo = strings.EqualFold(text, "helo")
	case "result":
		b.spf.Result = text
	case "human_result":
		b.spf.Human = text
	}
}

// oldResults are words of reports before RFC 7489, in the words of today.
var oldResults = map[string]string{"unknown": "temperror", "error": "permerror", "hardfail": "fail", "softfail": "fail"}

// resultWord returns the result in the words of RFC 8601; none for what is no result.
func resultWord(words []string, text string) string {
	word := strings.ToLower(strings.TrimSpace(text))
	if allowed(words, word) {
		return word
	}
	if old := oldResults[word]; old != "" {
		return old
	}
	return "none"
}
