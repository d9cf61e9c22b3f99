package bounce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"

	"dmarcgate/term"
)

// Limits of the LMTP server.
const (
	maxSessions   = 10
	maxSession    = 15 * time.Minute // an MTA that has more to say opens another
	maxCommand    = 5 * time.Minute  // for a command, and for the text (RFC 5321, Section 4.5.3.2.7)
	maxWrite      = 30 * time.Second // for a reply
	maxMail       = 25 << 20         // bytes
	maxLine       = 64 << 10         // bytes of a line of the text, or of a command
	maxRecipients = 10               // of a mail; a notice has one
)

// Serve takes bounces by LMTP (RFC 2033) until ctx ends, and returns when all
// sessions are over. Clients need no password, so the socket must be a Unix
// socket that not every user can connect to, or on loopback.
func (in Intake) Serve(ctx context.Context, l net.Listener, log *slog.Logger) error {
	return in.serve(ctx, l, log, maxCommand)
}

// serve is Serve with another deadline. go-smtp sets the deadline when it waits
// for a command; the text has to come within that of its DATA.
func (in Intake) serve(ctx context.Context, l net.Listener, log *slog.Logger, command time.Duration) error {
	if err := private(l.Addr()); err != nil {
		return err
	}
	work := &work{in: in, ctx: ctx}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{work: work}, nil
	}))
	server.LMTP = true
	server.Domain = in.Domain
	server.MaxRecipients = maxRecipients
	server.MaxMessageBytes = maxMail
	server.MaxLineLength = maxLine
	server.ReadTimeout = command
	server.WriteTimeout = maxWrite
	server.ErrorLog = logger{log}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	err := server.Serve(&limited{Listener: l, slots: make(chan struct{}, maxSessions), done: ctx.Done()})
	server.Close()
	work.end()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// private tells why others than the MTA could connect to a socket.
func private(a net.Addr) error {
	switch a := a.(type) {
	case *net.TCPAddr:
		if !a.IP.IsLoopback() {
			return fmt.Errorf("LMTP on %v: only loopback addresses are allowed", a)
		}
	case *net.UnixAddr:
		info, err := os.Stat(a.Name)
		if err != nil {
			return fmt.Errorf("LMTP on %s: %w", a.Name, err)
		}
		if mode := info.Mode().Perm(); mode&0o007 != 0 {
			return fmt.Errorf("LMTP on %s: mode %04o lets every user of this host connect; use 0660", a.Name, mode)
		}
	default:
		return fmt.Errorf("LMTP on a socket of type %T", a)
	}
	return nil
}

// work is what the sessions of a server share. go-smtp does not wait for its
// sessions when it is closed; end waits for the mails that are handled.
type work struct {
	in  Intake
	ctx context.Context

	mu   sync.RWMutex // read: while a mail is handled
	over bool
}

func (w *work) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}

// handle hands over one mail. When the server has ended, none.
func (w *work) handle(token string, mail []byte) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.over {
		return smtp.ErrServerClosed
	}
	return w.in.handle(w.ctx, token, mail)
}

// session is one LMTP session: a mail after the other.
type session struct {
	*work
	rcpts []rcpt
}

// rcpt is a recipient that was accepted.
type rcpt struct{ address, token string }

// Mail takes every sender: notices have the null reverse path, answers their
// authors.
func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt takes return paths that a report mail had in the last days.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	token, err := s.in.Key.Check(to, s.in.Domain, s.in.now())
	if err != nil {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: err.Error()}
	}
	s.rcpts = append(s.rcpts, rcpt{to, token})
	return nil
}

// LMTPData hands the mail over for each recipient. Nothing is handed over before
// the whole mail has come.
func (s *session) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	mail, err := io.ReadAll(io.LimitReader(r, maxRead))
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	if err != nil {
		return failure(err)
	}
	for _, rcpt := range s.rcpts {
		status.SetStatus(rcpt.address, failure(s.handle(rcpt.token, mail)))
	}
	return nil
}

// failure is the reply to an error. What went wrong here is not for the MTA.
func failure(err error) error {
	var reply *smtp.SMTPError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &reply): // of the protocol: too large
		return reply
	case errors.Is(err, ErrFull):
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: ErrFull.Error()}
	}
	return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "bounce cannot be stored now"}
}

// Data is not used with LMTP.
func (s *session) Data(io.Reader) error { return errors.New("LMTP only") }

// Reset ends a mail.
func (s *session) Reset() { s.rcpts = nil }

// Logout ends the session.
func (s *session) Logout() error { return nil }

// limited is a listener of at most maxSessions connections; others wait.
type limited struct {
	net.Listener
	slots chan struct{}
	done  <-chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case <-l.done: // Close came before Serve, and knew no listener to close
		return nil, net.ErrClosed
	default:
	}
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &conn{Conn: c, end: time.Now().Add(maxSession), leave: func() { <-l.slots }}, nil
}

// conn is a connection that ends with its session: no deadline is later.
type conn struct {
	net.Conn
	end   time.Time
	once  sync.Once
	leave func()
	late  atomic.Bool
}

// errLate is the reply to a client that takes too long. Without a reply of its
// own go-smtp answers 554 within a chunk, and the MTA would give up.
var errLate = &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 4, 2}, Message: "took too long"}

// Read returns errLate once, and then the end: go-smtp would wait for another
// command.
func (c *conn) Read(p []byte) (int, error) {
	if c.late.Load() {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.late.Store(true)
		err = errLate
	}
	return n, err
}

func (c *conn) SetReadDeadline(t time.Time) error  { return c.Conn.SetReadDeadline(c.before(t)) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.Conn.SetWriteDeadline(c.before(t)) }

func (c *conn) before(t time.Time) time.Time {
	if t.IsZero() || t.After(c.end) {
		return c.end
	}
	return t
}

func (c *conn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}

// logger takes what go-smtp has to say: sessions that failed.
type logger struct{ log *slog.Logger }

func (l logger) Printf(format string, v ...any) {
	l.log.Warn("LMTP session failed", "err", term.Printable(fmt.Sprintf(format, v...)))
}

func (l logger) Println(v ...any) {
	l.log.Warn("LMTP session failed", "err", term.Printable(fmt.Sprint(v...)))
}
