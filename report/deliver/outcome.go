package deliver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/emersion/go-smtp"

	"dmarcgate/term"
)

// Class says what became of an attempt. The zero value promises nothing.
type Class uint8

const (
	Retry    Class = iota // not delivered now; another attempt may succeed
	Sent                  // the smarthost has taken the mail over
	Refused               // this mail or recipient is refused for good
	OurFault              // this host, its account or the smarthost is wrong: other mails would fare the same
)

// String returns the class as metrics and JSON have it.
func (c Class) String() string {
	switch c {
	case Sent:
		return "sent"
	case Refused:
		return "refused"
	case OurFault:
		return "our_fault"
	}
	return "retry"
}

// Phase is how far an attempt came, in the order of the constants.
type Phase string

const (
	Connect  Phase = "connect"  // the smarthost's name, TCP, and TLS where the session begins with it
	Greeting Phase = "greeting" // its first reply, and EHLO
	StartTLS Phase = "starttls" // STARTTLS, handshake and certificate
	Auth     Phase = "auth"
	Mail     Phase = "mail"
	Rcpt     Phase = "rcpt"
	Data     Phase = "data" // DATA, and sending the text
	End      Phase = "end"  // the reply to the final dot
)

// Outcome is what became of one attempt. The texts are of the smarthost:
// printable ASCII, at most maxText bytes.
type Outcome struct {
	Class    Class
	Phase    Phase
	Host     string // the smarthost
	Code     int    // of the reply; 0 without a reply
	Enhanced string // such as "5.1.1" (RFC 3463); may be empty
	Text     string // of the reply or of the error
	TLS      string // version and cipher of the session; empty without TLS
}

// Uncertain reports whether the whole text was sent and no reply came: the
// recipient may have the mail, and another attempt may deliver a copy
// (RFC 5321, Section 4.5.3.2.6).
func (o Outcome) Uncertain() bool { return o.Class == Retry && o.Phase == End && o.Code == 0 }

// TooLarge reports whether the mail was refused for its size (RFC 1870; RFC
// 3463, Sections 3.3 and 3.4). A mail for a shorter period may pass.
func (o Outcome) TooLarge() bool { return o.Class == Refused && o.size() }

// size reports whether a reply is about the size of the mail.
func (o Outcome) size() bool {
	return o.Enhanced == "5.3.4" || o.Enhanced == "5.2.3" || o.Code == 552 && o.Enhanced == ""
}

// queued finds a queue id in a reply to the text: Postfix says "queued as ID",
// Exim "id=ID", Sendmail "ID Message accepted".
var queued = regexp.MustCompile(`(?:queued as |id=)([0-9A-Za-z-]{4,64})|^([0-9A-Za-z]{10,32}) Message accepted`)

// QueueID returns the queue id that the smarthost gave the mail, or nothing. With
// the id an operator finds the mail in the log of the smarthost.
func (o Outcome) QueueID() string {
	m := queued.FindStringSubmatch(o.Text)
	if m == nil || o.Class != Sent {
		return ""
	}
	return m[1] + m[2]
}

// maxText is how many bytes of a reply are kept.
const maxText = 200

// outcome is what an attempt ends with: err is nil, or what ended the phase.
func (s *Sender) outcome(phase Phase, err error) Outcome {
	o := Outcome{Phase: phase, Host: s.cfg.Smarthost}
	if err != nil {
		o.Code, o.Enhanced, o.Text = reply(err)
		o.Class = o.classify(err)
	}
	return o
}

// classify decides what a failure means for the queue.
func (o Outcome) classify(err error) Class {
	var certificate *tls.CertificateVerificationError
	switch {
	case o.Code/100 == 5 && o.Phase == Rcpt && (o.Enhanced == "5.1.7" || o.Enhanced == "5.1.8"): // the address of the sender
		return OurFault
	case o.Code/100 == 5 && (o.recipient() || o.Phase == Mail && o.size()):
		return Refused
	case o.Code/100 == 5:
		return OurFault
	case o.Code != 0:
		return Retry
	case errors.Is(err, errNoTLS), errors.Is(err, errNoAuth), errors.Is(err, errPlain), errors.As(err, &certificate):
		return OurFault
	}
	return Retry
}

// recipient reports whether the phase is about the recipient or the mail.
func (o Outcome) recipient() bool { return o.Phase == Rcpt || o.Phase == Data || o.Phase == End }

// reply returns the code, the enhanced code and the text of a failure. Without
// a reply the code is 0, and the text is that of the error.
func reply(err error) (int, string, string) {
	var said *smtp.SMTPError
	var early *textproto.Error // before go-smtp
	switch {
	case errors.As(err, &said):
		enhanced, text := "", said.Message
		if c := said.EnhancedCode; c != (smtp.EnhancedCode{}) {
			enhanced, text = splitReply(fmt.Sprintf("%d.%d.%d %s", c[0], c[1], c[2], text))
		}
		return said.Code, enhanced, printable(text)
	case errors.As(err, &early):
		enhanced, text := splitReply(early.Msg)
		return early.Code, enhanced, text
	}
	return 0, "", printable(err.Error())
}

// enhancedCode is an enhanced status code at the beginning of a reply (RFC
// 2034, Section 4; RFC 3463, Section 2).
var enhancedCode = regexp.MustCompile(`^([245]\.[0-9]{1,3}\.[0-9]{1,3}) `)

// splitReply separates the enhanced status code from the text of a reply.
func splitReply(text string) (enhanced, rest string) {
	if m := enhancedCode.FindStringSubmatch(text); m != nil {
		return m[1], printable(text[len(m[0]):])
	}
	return "", printable(text)
}

// printable bounds foreign text and puts it on one line.
func printable(text string) string {
	text = term.ASCII(strings.ReplaceAll(text, "\n", " "))
	return text[:min(len(text), maxText)]
}
