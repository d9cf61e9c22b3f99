// Package deliver hands report mails to a smarthost or the local MTA over SMTP,
// and decides what follows from its replies.
//
// Sender speaks SMTP (RFC 5321): it opens a session when a mail is to be sent,
// and keeps the session for the next mail. Next decides about retries, refusals
// and pauses, without I/O. The package makes no text (report/mail does) and
// keeps no queue.
//
// # Limits
//
// Each phase of a session has a deadline of its own (RFC 5321, Section
// 4.5.3.2), which slow bytes do not extend. In a phase at most maxReply bytes
// are read. A session that was idle for maxIdle is not used again.
//
// # Failures
//
// Send returns an Outcome, never an error. What is not known to have been
// delivered is Retry. A missing or wrong certificate, a refused password, and
// 5xx to EHLO, AUTH or MAIL are OurFault: no recipient can be blamed.
package deliver

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"dmarcgate/report/private"
)

// TLS says how a session is protected. The zero value is Verify.
type TLS string

const (
	Verify   TLS = "verify"   // STARTTLS, with a certificate for the smarthost's name
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
	User      string         // for AUTH PLAIN or LOGIN, only over TLS; empty means no AUTH
	Password  string
	MaxWait   time.Duration // for each phase, at most; 0 means the times of RFC 5321
}

// maxIdle is how long a session may be idle before the next mail. Postfix waits
// 10 s for the next command when it is under stress.
const maxIdle = 8 * time.Second

// Sender sends mails in sessions with one smarthost. Several goroutines may use
// it; they send one after the other.
type Sender struct {
	cfg  Config
	name string // of the smarthost, without the port
	now  func() time.Time

	mu   sync.Mutex
	open *session // nil without one
}

// New returns a sender. It opens no connection.
func New(cfg Config) (*Sender, error) {
	host, port, err := net.SplitHostPort(cfg.Smarthost)
	switch {
	case err != nil || host == "" || port == "":
		return nil, fmt.Errorf("smarthost %q is not of the form host:port", cfg.Smarthost)
	case !word(cfg.Hello):
		return nil, fmt.Errorf("name %q for EHLO is not a host name", cfg.Hello)
	case cfg.User != "" && cfg.TLS == None:
		return nil, errors.New("a password needs TLS: the tls mode is none")
	}
	switch cfg.TLS = cmp.Or(cfg.TLS, Verify); cfg.TLS {
	case Verify, Implicit, Encrypt, May, None:
	default:
		return nil, fmt.Errorf("unknown tls mode %q", cfg.TLS)
	}
	return &Sender{cfg: cfg, name: host, now: time.Now}, nil
}

// LoadPassword reads a file with the user in its first line and the password in
// its second. A file that every user of the host can use is refused; see package
// private.
func LoadPassword(path string) (user, password string, err error) {
	text, err := private.Read(path)
	if err != nil {
		return "", "", fmt.Errorf("password of the smarthost: %w", err)
	}
	user, rest, _ := strings.Cut(string(text), "\n")
	password, more, _ := strings.Cut(rest, "\n")
	user, password = strings.TrimSuffix(user, "\r"), strings.TrimSuffix(password, "\r")
	if user == "" || password == "" || strings.TrimSpace(more) != "" || strings.ContainsRune(user+password, 0) {
		return "", "", fmt.Errorf("password of the smarthost: %s: write the user in the first line and the password in the second", path)
	}
	return user, password, nil
}

// Send makes one attempt to deliver text, whose lines end in CRLF, to one
// recipient. from and to are addresses without angle brackets; an empty from is
// the null reverse path.
func (s *Sender) Send(ctx context.Context, from, to string, text []byte) Outcome {
	if from != "" && !word(from) || !word(to) {
		return Outcome{Class: Refused, Phase: Rcpt, Host: s.cfg.Smarthost, Text: "the address cannot be written in SMTP"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil && s.now().Sub(s.open.used) > maxIdle {
		s.quit()
	}
	again := s.open != nil
	o := s.attempt(ctx, from, to, text)
	if again && o.Phase == Mail && (o.Code == 0 || o.Code == 421) && ctx.Err() == nil {
		// The smarthost has closed the session of an earlier mail.
		o = s.attempt(ctx, from, to, text)
	}
	return o
}

// Close ends the session that is open. The sender can be used again.
func (s *Sender) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.quit()
}

// quit ends the session with QUIT.
func (s *Sender) quit() error {
	if s.open == nil {
		return nil
	}
	s.open.wire.begin(s.limit(quitWait))
	err := s.open.client.Quit()
	s.drop()
	return err
}

// drop closes the connection of the session.
func (s *Sender) drop() {
	if s.open != nil {
		s.open.wire.Close()
		s.open = nil
	}
}

// attempt sends one mail, in the session that is open or in a new one.
func (s *Sender) attempt(ctx context.Context, from, to string, text []byte) Outcome {
	if s.open == nil {
		open, phase, err := s.connect(ctx)
		if err != nil {
			return s.outcome(phase, err)
		}
		s.open = open
	}
	wire := s.open.wire
	stop := context.AfterFunc(ctx, func() { wire.Close() })
	phase, reply, err := s.transact(from, to, text)
	o := s.outcome(phase, err)
	o.TLS = s.open.tls
	if err == nil {
		o.Class, o.Code = Sent, 250
		o.Enhanced, o.Text = splitReply(reply)
	}
	s.settle(o)
	if !stop() { // and the connection is closed
		s.drop()
	}
	return o
}

// settle keeps the session for the next mail, or closes it after a failure that
// leaves it in an unknown state.
func (s *Sender) settle(o Outcome) {
	s.open.used = s.now()
	if o.Code == 0 || o.Code == 421 {
		s.drop()
		return
	}
	if o.Class != Sent && o.Phase != End {
		s.open.wire.begin(s.limit(quitWait))
		if s.open.client.Reset() != nil {
			s.drop()
		}
	}
}

// transact takes one mail through MAIL, RCPT and DATA. It returns the phase that
// was reached and the reply to the text.
func (s *Sender) transact(from, to string, text []byte) (Phase, string, error) {
	c, wire := s.open.client, s.open.wire
	wire.begin(s.limit(commandWait))
	if err := c.Mail(from, &smtp.MailOptions{Size: int64(len(text))}); err != nil {
		return Mail, "", err
	}
	wire.begin(s.limit(commandWait))
	if err := c.Rcpt(to, nil); err != nil {
		return Rcpt, "", err
	}
	wire.begin(s.limit(dataWait))
	w, err := c.Data()
	if err != nil {
		return Data, "", err
	}
	if _, err := w.Write(text); err != nil {
		return Data, "", err
	}
	wire.begin(s.limit(endWait))
	reply, err := w.CloseWithResponse()
	if err != nil {
		return End, "", err
	}
	return End, reply.StatusText, nil
}

// word reports whether an address or a name can stand in a command: printable
// ASCII without blanks and angle brackets.
func word(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '<' || c == '>' {
			return false
		}
	}
	return s != "" && len(s) <= maxWord
}

// maxWord is the length of the longest path (RFC 5321, Section 4.5.3.1.3).
const maxWord = 254
