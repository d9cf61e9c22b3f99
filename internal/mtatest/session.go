package mtatest

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// replyTime is how long a reply may take. It is longer than what Postfix waits
// for a milter at the end of a message (milter_content_timeout, 300 s).
const replyTime = 330 * time.Second

// Session is an SMTP client that says exactly what it is told, for one
// goroutine. Its errors are those of the connection; a refusal is a Reply.
type Session struct {
	Greeting Reply
	conn     net.Conn
	in       *bufio.Reader
}

// Dial connects to an SMTP server, given as "host:port", and reads its
// greeting. The caller closes the session.
func Dial(addr string) (*Session, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return greet(conn)
}

// DialBehindProxy connects as a proxy does that passes on the address of its
// client, an IPv4 address, by version 1 of the PROXY protocol.
func DialBehindProxy(addr, client string) (*Session, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "PROXY TCP4 %s 192.0.2.250 40000 25\r\n", client); err != nil {
		conn.Close()
		return nil, err
	}
	return greet(conn)
}

// greet begins a session on a connection, and closes it when that fails.
func greet(conn net.Conn) (*Session, error) {
	s := &Session{conn: conn, in: bufio.NewReader(conn)}
	var err error
	if s.Greeting, err = s.ReadReply(); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// Close closes the connection, whatever the server is doing.
func (s *Session) Close() error { return s.conn.Close() }

// Write sends bytes as they are: for commands in one packet, cut-off messages
// and other misbehaviour. ReadReply reads what comes of it.
func (s *Session) Write(p []byte) (int, error) { return s.conn.Write(p) }

// ReadReply reads one reply.
func (s *Session) ReadReply() (Reply, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(replyTime)); err != nil {
		return Reply{}, err
	}
	var lines []string
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return Reply{}, fmt.Errorf("reading an SMTP reply: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		code, err := strconv.Atoi(line[:min(3, len(line))])
		if err != nil || code < 200 || code > 599 {
			return Reply{}, fmt.Errorf("not an SMTP reply: %q", line)
		}
		rest := line[3:]
		lines = append(lines, strings.TrimLeft(rest, "- "))
		if !strings.HasPrefix(rest, "-") {
			return Reply{Code: code, Text: strings.Join(lines, "\n")}, nil
		}
	}
}

// Command sends one line and reads the reply.
func (s *Session) Command(line string) (Reply, error) {
	if _, err := s.Write([]byte(line + "\r\n")); err != nil {
		return Reply{}, err
	}
	return s.ReadReply()
}

// EHLO says who we are, and learns the server's extensions.
func (s *Session) EHLO(name string) (Reply, error) { return s.Command("EHLO " + name) }

// HELO says who we are, the old way.
func (s *Session) HELO(name string) (Reply, error) { return s.Command("HELO " + name) }

// RSET gives up the current message.
func (s *Session) RSET() (Reply, error) { return s.Command("RSET") }

// QUIT ends the session and closes the connection.
func (s *Session) QUIT() (Reply, error) {
	defer s.Close()
	return s.Command("QUIT")
}

// MAIL starts a message. from has no angle brackets; empty is the null reverse
// path.
func (s *Session) MAIL(from string, params ...string) (Reply, error) {
	return s.Command(strings.Join(append([]string{"MAIL FROM:<" + from + ">"}, params...), " "))
}

// RCPT names one recipient, without angle brackets.
func (s *Session) RCPT(to string, params ...string) (Reply, error) {
	return s.Command(strings.Join(append([]string{"RCPT TO:<" + to + ">"}, params...), " "))
}

// XCLIENT makes a Postfix that authorises us take this session for that of
// another client (its XCLIENT_README). The host name may be empty: then the
// address has none. An empty helo is not mentioned. A reply of 220 starts the
// session anew, so EHLO must follow. It can be said once: the client we then
// are may not say it.
func (s *Session) XCLIENT(addr, name, helo string) (Reply, error) {
	if strings.Contains(addr, ":") {
		addr = "IPV6:" + addr
	}
	if name == "" {
		name = "[UNAVAILABLE]"
	}
	line := "XCLIENT NAME=" + xtext(name) + " ADDR=" + xtext(addr) + " PROTO=ESMTP"
	if helo != "" {
		line += " HELO=" + xtext(helo)
	}
	return s.Command(line)
}

// xtext encodes an attribute value (RFC 1891, Section 5).
func xtext(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < '!' || c > '~' || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// DATA sends a message whose lines end in CRLF, dots doubled on the way. The
// reply is the one to the message, or the refusal of the DATA command.
func (s *Session) DATA(message []byte) (Reply, error) {
	r, err := s.Command("DATA")
	if err != nil || r.Code != 354 {
		return r, err
	}
	if _, err := s.Write(stuffed(message)); err != nil {
		return Reply{}, err
	}
	return s.ReadReply()
}

// stuffed doubles dots at line starts and adds the final one (RFC 5321,
// Section 4.5.2). Postfix takes a bare LF for the end of a line too and takes
// the dot after it away, so one is added there as well.
func stuffed(message []byte) []byte {
	out := make([]byte, 0, len(message)+len(message)/32+8)
	for line := range bytes.Lines(message) {
		if line[0] == '.' {
			out = append(out, '.')
		}
		out = append(out, line...)
	}
	if len(message) > 0 && !bytes.HasSuffix(message, []byte("\r\n")) {
		out = append(out, "\r\n"...)
	}
	return append(out, ".\r\n"...)
}

// Send sends one message and returns the answer to it. When MAIL, DATA or a
// recipient is refused, that is the answer, and the session is ready for the
// next message.
func (s *Session) Send(m Mail) (Reply, error) {
	r, err := s.MAIL(m.From, m.Params...)
	if err != nil || !r.OK() {
		return r, err
	}
	for _, to := range m.Rcpts {
		if r, err = s.RCPT(to); err != nil {
			return r, err
		}
		if !r.OK() {
			_, err = s.RSET()
			return r, err
		}
	}
	return s.DATA(m.Data)
}

// sendOnly sends one message, ends the session, and returns the answer to the
// message.
func (s *Session) sendOnly(m Mail) (Reply, error) {
	defer s.Close()
	r, err := s.Send(m)
	if err != nil {
		return Reply{}, err
	}
	_, err = s.QUIT()
	return r, err
}
