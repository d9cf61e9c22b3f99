package bounce

import (
	"bufio"
	"bytes"
	"io"
	"regexp"
	"strings"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"

	"dmarcgate/term"
)

const (
	maxRead   = 1 << 20  // bytes of a mail; a notice comes before the mail that it returns
	maxHeader = 64 << 10 // bytes of its header
	maxNotice = 64 << 10 // bytes of the machine-readable part
	maxParts  = 10       // of the mail
	maxGroups = 100      // of the notice: one for the mail, one for each recipient
	maxText   = 200      // bytes of a text that is kept
)

// status is an enhanced status code (RFC 3463, Section 2).
var status = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}$`)

// read finds out what a mail says about a delivery. Every mail has an answer.
func read(mail []byte) Bounce {
	e, err := message.ReadWithOptions(bytes.NewReader(mail), &message.ReadOptions{MaxHeaderBytes: maxHeader})
	if !usable(e, err) {
		return Bounce{}
	}
	kind, params, err := e.Header.ContentType()
	if err != nil || kind != "multipart/report" || !strings.EqualFold(params["report-type"], "delivery-status") {
		return Bounce{}
	}
	parts := e.MultipartReader()
	for range maxParts {
		p, err := parts.NextPart()
		if !usable(p, err) {
			return Bounce{}
		}
		switch kind, _, _ := p.Header.ContentType(); kind {
		case "message/delivery-status", "message/global-delivery-status": // RFC 3464; RFC 6533
			return notice(io.LimitReader(p.Body, maxNotice))
		}
	}
	return Bounce{}
}

// usable reports whether an entity can be read. A charset or an encoding that is
// not known makes only the texts for people unreadable.
func usable(e *message.Entity, err error) bool {
	return e != nil && (err == nil || message.IsUnknownCharset(err) || message.IsUnknownEncoding(err))
}

// weight orders what a notice says of several recipients: an alias may have
// several, and the worst counts.
var weight = map[Kind]int{Answer: 0, Passed: 1, Delayed: 2, Failed: 3}

// notice reads the groups of fields of a delivery status (RFC 3464, Section 2.1).
func notice(r io.Reader) Bounce {
	in := bufio.NewReader(r)
	mail, err := textproto.ReadHeader(in)
	worst := Bounce{}
	for n := 0; err == nil && n < maxGroups; n++ {
		var group textproto.Header
		group, err = textproto.ReadHeader(in)
		if b := recipient(group); weight[b.Kind] > weight[worst.Kind] {
			worst = b
		}
	}
	if worst.Kind != Answer && worst.MTA == "" {
		worst.MTA = typed(mail.Get("Reporting-Mta"))
	}
	return worst
}

// recipient reads the group of a recipient (RFC 3464, Section 2.3).
func recipient(group textproto.Header) Bounce {
	b := Bounce{MTA: typed(group.Get("Remote-Mta")), Text: typed(group.Get("Diagnostic-Code"))}
	if code, _, _ := strings.Cut(strings.TrimSpace(group.Get("Status")), " "); status.MatchString(code) { // a comment may follow
		b.Status = code
	}
	action, _, _ := strings.Cut(strings.TrimSpace(group.Get("Action")), " ")
	switch strings.ToLower(action) {
	case "failed":
		b.Kind = Failed
	case "delayed":
		b.Kind = Delayed
	case "delivered", "relayed", "expanded":
		b.Kind = Passed
	default:
		return Bounce{}
	}
	return b
}

// typed is the text of a field of the form "type; text", printable.
func typed(value string) string {
	if _, text, ok := strings.Cut(value, ";"); ok {
		value = text
	}
	value = term.ASCII(strings.TrimSpace(value))
	return value[:min(len(value), maxText)]
}
