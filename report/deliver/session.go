package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/textproto"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// How long a phase may take (RFC 5321, Section 4.5.3.2).
const (
	connectWait = 30 * time.Second // as Postfix waits
	commandWait = 5 * time.Minute
	dataWait    = 10 * time.Minute // for DATA and the whole text
	endWait     = 10 * time.Minute
	quitWait    = 5 * time.Second // whatever is said here changes nothing
)

// maxReply is how many bytes are read in one phase: a reply, or what a server
// sends in a handshake.
const maxReply = 256 << 10

var (
	errNoTLS    = errors.New("the smarthost offers no STARTTLS")
	errNoAuth   = errors.New("the smarthost offers no AUTH with PLAIN or LOGIN")
	errPlain    = errors.New("the smarthost offers no STARTTLS, and a password needs TLS")
	errInjected = errors.New("data before the command that it would answer")
	errReply    = errors.New("the reply is too long")
)

// session is a connection that has been greeted, and is ready for MAIL.
type session struct {
	wire   *wire
	client *smtp.Client
	tls    string    // version and cipher; empty without TLS
	used   time.Time // when the last mail was sent
}

// limit is how long a phase may take for this sender.
func (s *Sender) limit(d time.Duration) time.Duration {
	if s.cfg.MaxWait > 0 {
		return min(d, s.cfg.MaxWait)
	}
	return d
}

// connect opens a session. On failure it returns the phase that failed.
func (s *Sender) connect(ctx context.Context) (*session, Phase, error) {
	dialer := net.Dialer{Timeout: s.limit(connectWait)}
	conn, err := dialer.DialContext(ctx, "tcp", s.cfg.Smarthost)
	if err != nil {
		return nil, Connect, err
	}
	open := &session{wire: &wire{Conn: conn}, used: s.now()}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	phase, err := s.prepare(ctx, open)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, phase, err
	}
	return open, phase, nil
}

// prepare takes a new connection through TLS, EHLO and AUTH.
func (s *Sender) prepare(ctx context.Context, open *session) (Phase, error) {
	conn, phase, err := s.protect(ctx, open.wire)
	if err != nil {
		return phase, err
	}
	open.tls = tlsText(conn)
	if s.cfg.TLS != None && s.cfg.TLS != Implicit {
		conn = &greeted{Conn: conn}
	}
	open.wire.begin(s.limit(commandWait))
	open.client = smtp.NewClient(conn)
	if err := open.client.Hello(s.cfg.Hello); err != nil {
		return Greeting, err
	}
	if s.cfg.User == "" {
		return Greeting, nil
	}
	open.wire.begin(s.limit(commandWait))
	return Auth, s.authenticate(open)
}

// protect starts TLS as the mode says. Where TLS does not come first, it reads the
// greeting and says EHLO.
func (s *Sender) protect(ctx context.Context, w *wire) (net.Conn, Phase, error) {
	switch s.cfg.TLS {
	case None:
		return w, Greeting, nil
	case Implicit:
		w.begin(s.limit(commandWait))
		conn, err := s.handshake(ctx, w)
		return conn, Connect, err
	}
	w.begin(s.limit(commandWait))
	text := textproto.NewConn(w)
	if _, _, err := text.ReadResponse(220); err != nil {
		return nil, Greeting, err
	}
	offered, err := s.offers(text, "STARTTLS")
	switch {
	case text.R.Buffered() > 0:
		return nil, Greeting, errInjected
	case err != nil:
		return nil, Greeting, err
	case !offered && s.cfg.TLS == May:
		return w, Greeting, nil
	case !offered:
		return nil, StartTLS, errNoTLS
	}
	w.begin(s.limit(commandWait))
	if _, err := ask(text, 220, "STARTTLS"); err != nil {
		return nil, StartTLS, err
	}
	// What came with the reply was not protected: somebody in between may
	// have put it there (RFC 3207, Section 6; CVE-2011-0411).
	if text.R.Buffered() > 0 {
		return nil, StartTLS, errInjected
	}
	conn, err := s.handshake(ctx, w)
	return conn, StartTLS, err
}

// offers says EHLO and reports whether the server has an extension.
func (s *Sender) offers(text *textproto.Conn, extension string) (bool, error) {
	reply, err := ask(text, 250, "EHLO "+s.cfg.Hello)
	if err != nil {
		return false, err
	}
	lines := strings.Split(reply, "\n")
	for _, line := range lines[1:] {
		name, _, _ := strings.Cut(line, " ")
		if strings.EqualFold(name, extension) {
			return true, nil
		}
	}
	return false, nil
}

// ask sends a command and reads its reply, which must have the code.
func ask(text *textproto.Conn, code int, command string) (string, error) {
	if err := text.PrintfLine("%s", command); err != nil {
		return "", err
	}
	_, reply, err := text.ReadResponse(code)
	return reply, err
}

// handshake makes a TLS connection of a plain one, and checks the certificate
// where the mode asks for it.
func (s *Sender) handshake(ctx context.Context, w *wire) (*tls.Conn, error) {
	conn := tls.Client(w, &tls.Config{
		ServerName:         s.name,
		RootCAs:            s.cfg.Roots,
		MinVersion:         tls.VersionTLS12, // RFC 8996
		InsecureSkipVerify: s.cfg.TLS == May || s.cfg.TLS == Encrypt,
	})
	return conn, conn.HandshakeContext(ctx)
}

// authenticate gives the password. Without TLS it does not.
func (s *Sender) authenticate(open *session) error {
	switch c := open.client; {
	case open.tls == "":
		return errPlain
	case c.SupportsAuth(sasl.Plain):
		return c.Auth(sasl.NewPlainClient("", s.cfg.User, s.cfg.Password))
	case c.SupportsAuth(sasl.Login):
		return c.Auth(sasl.NewLoginClient(s.cfg.User, s.cfg.Password))
	}
	return errNoAuth
}

// tlsText names version and cipher of a TLS connection, and is empty for others.
func tlsText(conn net.Conn) string {
	t, ok := conn.(*tls.Conn)
	if !ok {
		return ""
	}
	state := t.ConnectionState()
	return tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
}
