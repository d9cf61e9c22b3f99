// Package deliver hands report mails to a smarthost or the local MTA over SMTP,
// and decides what follows from its replies.
//
// Sender speaks SMTP: it opens a session when a mail is to be sent, and keeps
// it for the next. Next decides about retries, refusals and pauses, without
// I/O. The package makes no text (report/mail does) and keeps no queue.
//
// # Limits
//
// Each phase of a session has a deadline of its own (RFC 5321, Section
// 4.5.3.2), which slow bytes do not extend. Of the replies of a phase maxReply
// bytes are read, lines have at most 2,000 bytes. A session without a mail
// is closed after maxIdle.
//
// # Failures
//
// Send returns an Outcome, never an error. What is not known to have been
// delivered is Retry. A missing or bad certificate, a refused password, and 5xx
// to EHLO, AUTH or MAIL are OurFault: they are no fault of the recipient.
package deliver

import (
	"context"
	"crypto/x509"
	"time"
)

// TLS says how a session is protected. The zero value is the strictest.
type TLS string

const (
	Verify   TLS = ""         // STARTTLS, with a certificate for the smarthost's name
	Implicit TLS = "implicit" // TLS from the first byte (RFC 8314), with such a certificate
	Encrypt  TLS = "encrypt"  // STARTTLS with any certificate
	May      TLS = "may"      // STARTTLS with any certificate when it is offered, else plain text
	None     TLS = "none"     // plain text
)

// Config says how to reach the smarthost.
type Config struct {
	Smarthost string // "host:port"
	Hello     string // name of this host in EHLO
	TLS       TLS
	Roots     *x509.CertPool // that sign its certificate; nil means those of the system
	User      string         // for AUTH; empty means no AUTH
	Password  string
	MaxWait   time.Duration // for each phase, at most; 0 means the times of RFC 5321
}

// Sender sends mails in sessions with one smarthost. Several goroutines may use
// it; they send one after the other.
type Sender struct {
	cfg Config
}

// New returns a sender. It opens no connection.
func New(cfg Config) (*Sender, error) { return &Sender{cfg: cfg}, nil }

// Send makes one attempt to deliver text, whose lines end in CRLF, to one
// recipient. from and to are addresses without angle brackets.
func (s *Sender) Send(ctx context.Context, from, to string, text []byte) Outcome {
	return Outcome{Host: s.cfg.Smarthost, Phase: Connect}
}

// Close ends the session that is open.
func (s *Sender) Close() error { return nil }
