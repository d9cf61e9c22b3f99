package milter

import (
	"encoding/binary"
	"fmt"
	"strings"

	"dmarcgate/term"

	gomilter "github.com/emersion/go-milter"
)

const (
	// maxReplyText bounds one line of a reply's text, so that the line stays
	// below the 512 bytes of RFC 5321, Section 4.5.3.1.5.
	maxReplyText = 400
	// maxReplyLines bounds a reply. libmilter takes 32 lines.
	maxReplyLines = 8
	// maxEditValue is where Postfix cuts a field that it hands to a milter;
	// Sendmail breaks off at 65,535 bytes.
	maxEditValue = 60000
	// maxHoldReason is what Postfix keeps of a reason.
	maxHoldReason = 100
)

// Answer is what a message ends with.
type Answer struct {
	Reply Reply
	// Edits are applied in order, and only when the reply delivers.
	Edits []Edit
	// Sent, when it is set, is called once: with nil when the answer was
	// written, else with the reason why it was not.
	Sent func(error)
}

// Reply is the answer to the client. The zero value delivers.
type Reply struct {
	code     int
	enhanced string
	text     string // lines separated by LF, printable ASCII
}

// Refuse is a reply of 4yz (try again) or 5yz (never), for which a code that is
// neither becomes 451. enhanced is a status code of RFC 3463, whose class is
// made that of code; one that is malformed becomes x.7.1. text may have
// several lines; what is not printable ASCII becomes "?", and what is too long
// is cut off.
func Refuse(code int, enhanced, text string) Reply {
	if code < 400 || code > 599 {
		code, enhanced = 451, "4.3.0"
	}
	return Reply{code: code, enhanced: status(code, enhanced), text: replyText(code, text)}
}

// Refuses tells whether the message is not to be delivered now.
func (r Reply) Refuses() bool { return r.code != 0 }

// Temporary tells whether the client is to try again.
func (r Reply) Temporary() bool { return r.code/100 == 4 }

// String returns "continue", or the reply on one line.
func (r Reply) String() string {
	if !r.Refuses() {
		return "continue"
	}
	return fmt.Sprintf("%d %s %s", r.code, r.enhanced, strings.ReplaceAll(r.text, "\n", " "))
}

// wire returns the reply as the protocol wants it: each line with both codes,
// and "%" doubled, since Sendmail uses the text as a format (Postfix undoes
// it). A reply that an MTA cannot read becomes 451 4.3.5 in Postfix.
func (r Reply) wire() []byte {
	lines := strings.Split(strings.ReplaceAll(r.text, "%", "%%"), "\n")
	var b strings.Builder
	for i, line := range lines {
		sep, end := "-", "\r\n"
		if i == len(lines)-1 {
			sep, end = " ", "\x00"
		}
		fmt.Fprintf(&b, "%d%s%s %s%s", r.code, sep, r.enhanced, line, end)
	}
	return []byte(b.String())
}

// status makes an enhanced status code whose class is that of code: newer
// versions of Postfix refuse any other.
func status(code int, enhanced string) string {
	class := string(rune('0' + code/100))
	parts := strings.Split(enhanced, ".")
	if len(parts) != 3 || !isNumber(parts[1]) || !isNumber(parts[2]) {
		return class + ".7.1"
	}
	return class + "." + parts[1] + "." + parts[2]
}

func isNumber(s string) bool {
	return len(s) >= 1 && len(s) <= 3 && strings.Trim(s, "0123456789") == ""
}

func replyText(code int, text string) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if line != "" && len(lines) < maxReplyLines {
			lines = append(lines, printable(line, maxReplyText))
		}
	}
	switch {
	case len(lines) > 0:
		return strings.Join(lines, "\n")
	case code < 500:
		return "Try again later"
	}
	return "Message refused"
}

// printable returns at most n characters of s, each one printable ASCII.
func printable(s string, n int) string {
	s = term.ASCII(s)
	return s[:min(len(s), n)]
}

// Edit is a change to a message that is delivered. The zero value changes
// nothing. Edits are safe to send however they were made: no text in them can
// begin another field.
type Edit struct {
	action gomilter.OptAction // what the MTA must have agreed to
	nth    int
	name   string
	value  string
}

// InsertField puts a field on top of the message, above everything else, the
// MTA's own Received field included. Folds in value are CRLF or LF followed by
// white space. A value need not begin with a space: exactly what makes
// "Name: value" is sent. Two inserted fields end up in reverse order.
func InsertField(name, value string) Edit {
	name = fieldName(name)
	if name == "" {
		return Edit{}
	}
	return Edit{action: gomilter.OptAddHeader, name: name, value: fieldValue(value)}
}

// DeleteField removes the nth field called name, counting from 1 as the
// protocol does. Delete from the last to the first: Postfix renumbers the
// fields that follow a deleted one. It panics when nth is below 1, which no
// message can bring about.
func DeleteField(name string, nth int) Edit {
	if nth < 1 {
		panic("milter: header fields are numbered from 1")
	}
	name = fieldName(name)
	if name == "" {
		return Edit{}
	}
	return Edit{action: gomilter.OptChangeHeader, nth: nth, name: name}
}

// Hold has the MTA keep the message in quarantine. Postfix logs the reason, of
// which it keeps 100 bytes.
func Hold(reason string) Edit {
	reason = printable(strings.TrimSpace(reason), maxHoldReason)
	if reason == "" {
		reason = "held"
	}
	return Edit{action: gomilter.OptQuarantine, value: reason}
}

// String says what the edit does, for logs and tests.
func (e Edit) String() string {
	switch e.action {
	case gomilter.OptAddHeader:
		return "insert " + e.name + ":" + e.value
	case gomilter.OptChangeHeader:
		return fmt.Sprintf("delete %s %d", e.name, e.nth)
	case gomilter.OptQuarantine:
		return "hold " + e.value
	}
	return "nothing"
}

// wire returns the edit as a frame; 0 for one that changes nothing. A value
// begins with one space when the MTA keeps it, and with none when the MTA adds
// its own.
func (e Edit) wire(keepsSpace bool) (code byte, data []byte) {
	value := e.value
	if !keepsSpace {
		value = strings.TrimPrefix(value, " ")
	}
	switch e.action {
	case gomilter.OptAddHeader: // above all others
		return ansInsertHeader, appendStrings(make([]byte, 4, 4+len(e.name)+len(value)+2), e.name, value)
	case gomilter.OptChangeHeader:
		return ansChangeHeader, appendStrings(binary.BigEndian.AppendUint32(nil, uint32(e.nth)), e.name, "")
	case gomilter.OptQuarantine:
		return ansQuarantine, appendStrings(nil, e.value)
	}
	return 0, nil
}

// appendStrings appends strings, each ended by a NUL.
func appendStrings(b []byte, list ...string) []byte {
	for _, s := range list {
		b = append(append(b, s...), 0)
	}
	return b
}

// fieldName returns the characters of name that a field name can have
// (RFC 5322, Section 2.2).
func fieldName(name string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ':' {
			return -1
		}
		return r
	}, name)
}

// fieldValue makes a value that stays one field: it begins with white space,
// its folds are LF (MTAs write the line ends themselves) and go on with white
// space and something else, and it has no other control character.
func fieldValue(value string) string {
	lines := strings.Split(strings.ReplaceAll(value, "\r\n", "\n"), "\n")
	var b strings.Builder
	for i, line := range lines {
		line = strings.Map(plain, line)
		switch {
		case i == 0 && (line == "" || !isSpace(line[0])):
			b.WriteByte(' ')
		case i == 0:
		case strings.Trim(line, " \t") == "":
			continue // RFC 5322, Section 3.2.2: no line of white space alone
		case isSpace(line[0]):
			b.WriteByte('\n')
		default:
			b.WriteByte(' ')
		}
		b.WriteString(line)
	}
	return cutFold(b.String(), maxEditValue)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// plain replaces a control character by a space.
func plain(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f {
		return ' '
	}
	return r
}

// cutFold returns at most n bytes of s, whole lines if it has several.
func cutFold(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[:n]
	if i := strings.LastIndexByte(s, '\n'); i > 0 {
		s = s[:i]
	}
	return s
}
