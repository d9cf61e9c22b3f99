package setup

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"regexp"
	"strings"
	"time"

	"dmarcgate/admin"
	"dmarcgate/mta/postfix"
	"dmarcgate/results"
)

const (
	probeTime  = 90 * time.Second // for the whole message: an smtpd with a new main.cf waits 2 s, postscreen 6 s
	rowTime    = time.Second      // from the reply to the daemon's decision, which it makes before it
	settleTime = 6 * time.Second  // for idle processes of Postfix to leave after a reload
	greetTime  = 15 * time.Second // for the answer of a milter
)

// probe sends a message to the first service that asks the daemon, and waits for
// the daemon's decision on it. The message is complete, since Postfix shows milters
// a header only when it has all of a message. Its recipient is the address whose
// mail Postfix discards (double_bounce_sender), so that nothing is delivered.
func (o *Options) probe(ctx context.Context, i *postfix.Instance, p *Plan, t Target) error {
	switch {
	case o.NoProbe || ctx.Err() != nil:
		return ctx.Err()
	case !running(ctx, i.Dir):
		fmt.Fprintln(o.Out, "Postfix is not running, so no message was sent: start Postfix, then run dmarcgate setup postfix --apply again")
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	addr, err := smtpAddress(i, p.Asking)
	if err != nil {
		return fmt.Errorf("sending a message to Postfix: %w", err)
	}
	for began := time.Now(); ; {
		sent, seen, err := o.send(ctx, addr, i, t)
		switch {
		case err != nil:
			return err
		case seen:
			fmt.Fprintf(o.Out, "tested: the daemon has seen message %s through Postfix at %s\n", sent.qid, addr)
			return nil
		case time.Since(began) > settleTime:
			return fmt.Errorf("Postfix took the test message %s, and the daemon did not see it (the log of Postfix names the cause)", sent.qid)
		}
	}
}

// send sends one message, and waits for the daemon's decision on it. seen is false
// when there is none, as from an smtpd that was idle during the reload and takes one
// more session with its former settings.
func (o *Options) send(ctx context.Context, addr string, i *postfix.Instance, t Target) (sent message, seen bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next, err := o.Client.Listen(ctx, admin.Filter{Listener: t.Listener})
	if err != nil {
		return message{}, false, err
	}
	if sent, err = submit(ctx, addr, i); err != nil {
		return message{}, false, fmt.Errorf("Postfix at %s did not take the test message: %w", addr, err)
	}
	defer time.AfterFunc(rowTime, cancel).Stop()
	for {
		row, err := next()
		if err != nil || sent.is(row) {
			return sent, err == nil, nil
		}
	}
}

// message is what is known of the message that was sent.
type message struct {
	qid    string
	client netip.Addr // ours, as smtpd sees it
}

func (m message) is(r results.Row) bool {
	if m.qid == "" {
		return r.Facts.NullPath && r.Facts.Client == m.client
	}
	return r.Facts.QueueID == m.qid
}

var queuedAs = regexp.MustCompile(`queued as ([0-9A-Za-z]{1,40})\b`)

// submit sends the message and reads the queue id in the reply. A refusal of the
// message itself is no error, since the daemon may be the one that refuses it.
func submit(ctx context.Context, addr string, i *postfix.Instance) (message, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return message{}, err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	s := &session{textproto.NewConn(conn), conn}
	defer func() { s.Close() }()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return message{}, err
	}
	literal := host
	if strings.Contains(host, ":") {
		literal = "IPv6:" + host
	}
	if _, _, err := s.ReadResponse(220); err != nil {
		return message{}, err
	}
	name := i.Values["myhostname"]
	if err := s.hello(name); err != nil {
		return message{}, err
	}
	rcpt := i.Values["double_bounce_sender"] + "@[" + literal + "]"
	for _, line := range []string{"MAIL FROM:<>", "RCPT TO:<" + rcpt + ">"} {
		if _, err := s.command(250, line); err != nil {
			return message{}, err
		}
	}
	if _, err := s.command(354, "DATA"); err != nil {
		return message{}, err
	}
	w := s.DotWriter()
	fmt.Fprintf(w, "From: dmarcgate setup <postmaster@%s>\nTo: <%s>\nSubject: test message of dmarcgate setup\nDate: %s\nMessage-ID: <%d@%s>\n\nThis message shows that the milter dmarcgate sees mail. Postfix discards it.\n",
		name, rcpt, time.Now().Format(time.RFC1123Z), time.Now().UnixNano(), name)
	if err := w.Close(); err != nil {
		return message{}, err
	}
	var m message
	_, text, err := s.ReadResponse(250)
	if at, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		m.client = at.AddrPort().Addr().Unmap()
	}
	if found := queuedAs.FindStringSubmatch(text); found != nil {
		m.qid = found[1]
	}
	var refused *textproto.Error
	if errors.As(err, &refused) && refused.Code >= 500 {
		return m, nil
	}
	return m, err
}

// session is an SMTP client.
type session struct {
	*textproto.Conn
	conn net.Conn
}

func (s *session) command(code int, line string) (string, error) {
	if err := s.PrintfLine("%s", line); err != nil {
		return "", err
	}
	_, text, err := s.ReadResponse(code)
	if err != nil {
		return "", fmt.Errorf("%s: %w", line, err)
	}
	return text, nil
}

// hello says EHLO, and goes on with TLS where the server offers it, for a server
// that demands it. The server is this host, whatever its certificate says.
func (s *session) hello(name string) error {
	text, err := s.command(250, "EHLO "+name)
	if err != nil || !strings.Contains(text, "STARTTLS") {
		return err
	}
	if _, err := s.command(220, "STARTTLS"); err != nil {
		return err
	}
	conn := tls.Client(s.conn, &tls.Config{InsecureSkipVerify: true, ServerName: name})
	s.Conn, s.conn = textproto.NewConn(conn), conn
	_, err = s.command(250, "EHLO "+name)
	return err
}

// smtpAddress is where a receiving service listens, as host:port.
func smtpAddress(i *postfix.Instance, asking []postfix.Service) (string, error) {
	candidates := asking
	for _, s := range i.Services {
		if s.Program == "postscreen" {
			candidates = append(candidates, s)
		}
	}
	for _, s := range candidates {
		if s.Type != "inet" {
			continue // behind postscreen
		}
		host, name := endpoint(s)
		port, err := net.LookupPort("tcp", name)
		if err != nil {
			return "", err
		}
		if host == "" {
			host = listening(i)
		}
		ips, err := net.LookupIP(host)
		if err != nil || len(ips) == 0 {
			return "", errors.Join(err, fmt.Errorf("%s has no address", host))
		}
		return net.JoinHostPort(ips[0].String(), fmt.Sprint(port)), nil
	}
	return "", errors.New("no service of master.cf listens for SMTP on the network")
}

// listening is an address that smtpd listens on: loopback where it does.
func listening(i *postfix.Instance) string {
	words := strings.FieldsFunc(i.Values["inet_interfaces"], func(r rune) bool { return strings.ContainsRune(", \t", r) })
	loopback := "127.0.0.1"
	if i.Values["inet_protocols"] == "ipv6" {
		loopback = "::1"
	}
	for _, w := range words {
		if w == "all" || w == "loopback-only" || isLoopback(strings.Trim(w, "[]")) {
			return loopback
		}
	}
	if len(words) == 0 {
		return loopback
	}
	return strings.Trim(words[0], "[]")
}

// greet asks a milter for its options, as an MTA does first, so that a socket of
// another program is not taken for the daemon's.
func greet(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(greetTime)); err != nil {
		return err
	}
	offer := []byte{0, 0, 0, 13, 'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff} // version 6, all actions, all of the protocol
	if _, err := conn.Write(offer); err != nil {
		return err
	}
	var head [5]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return fmt.Errorf("no answer of a milter: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:4])
	if head[4] != 'O' || n < 13 || n > 4096 {
		return errors.New("what answers is no milter")
	}
	if _, err := io.CopyN(io.Discard, conn, int64(n)-1); err != nil {
		return err
	}
	_, err := conn.Write([]byte{0, 0, 0, 1, 'Q'})
	return err
}
