package mtatest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// Sink is an SMTP server that accepts everything and keeps it. It does not
// change messages: they are as Postfix sent them, dots undone.
type Sink struct {
	l  net.Listener
	wg sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	conns   map[net.Conn]bool
	mails   []Mail
	arrived chan struct{} // closed and replaced when a message has come
}

// StartSink starts a sink on a free loopback port. The caller closes it.
func StartSink() (*Sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Sink{l: l, conns: map[net.Conn]bool{}, arrived: make(chan struct{})}
	s.wg.Go(s.accept)
	return s, nil
}

// Addr returns where the sink listens, as "host:port".
func (s *Sink) Addr() string { return s.l.Addr().String() }

// Close ends the sink and all its sessions.
func (s *Sink) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	err := s.l.Close()
	s.wg.Wait()
	return err
}

// Mails returns what has been delivered so far, oldest first.
func (s *Sink) Mails() []Mail {
	mails, _ := s.snapshot()
	return mails
}

// Delivered waits for a message that matches and returns the first one; one
// that came before the call counts.
func (s *Sink) Delivered(ctx context.Context, match func(Mail) bool) (Mail, error) {
	for seen := 0; ; {
		mails, more := s.snapshot()
		for ; seen < len(mails); seen++ {
			if match(mails[seen]) {
				return mails[seen], nil
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Mail{}, fmt.Errorf("not among the %d messages delivered: %w", seen, ctx.Err())
		}
	}
}

func (s *Sink) snapshot() ([]Mail, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mails[:len(s.mails):len(s.mails)], s.arrived
}

func (s *Sink) keep(m Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, m)
	close(s.arrived)
	s.arrived = make(chan struct{})
}

func (s *Sink) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		if !s.hold(c) {
			c.Close()
			return
		}
		s.wg.Go(func() {
			defer s.drop(c)
			s.serve(c)
		})
	}
}

// hold remembers a connection for Close; after Close there are no new ones.
func (s *Sink) hold(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = true
	return true
}

func (s *Sink) drop(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	c.Close()
}

// extensions are those without which Postfix would convert a message or
// return it.
const extensions = "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8"

// serve is one session. Replies are gathered while commands are waiting, as a
// pipelining client expects.
func (s *Sink) serve(c net.Conn) {
	in, out := bufio.NewReader(c), bufio.NewWriter(c)
	reply := "220 sink ESMTP"
	var m Mail
	for {
		fmt.Fprintf(out, "%s\r\n", reply)
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, args, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		switch reply = "250 ok"; strings.ToUpper(verb) {
		case "EHLO":
			reply = extensions
		case "MAIL":
			m = Mail{}
			m.From, m.Params = envelope(args)
		case "RCPT":
			to, _ := envelope(args)
			m.Rcpts = append(m.Rcpts, to)
		case "DATA":
			fmt.Fprint(out, "354 go on\r\n")
			if out.Flush() != nil {
				return
			}
			if m.Data, err = readData(in); err != nil {
				return
			}
			s.keep(m)
			m = Mail{}
		case "RSET":
			m = Mail{}
		case "QUIT":
			fmt.Fprint(out, "221 bye\r\n")
			out.Flush()
			return
		}
	}
}

// envelope takes "FROM:<a@b> PARAM…" apart. An address may hold a quoted ">",
// so the last one ends it: no parameter that we are sent has one.
func envelope(args string) (addr string, params []string) {
	_, addr, _ = strings.Cut(args, "<")
	i := strings.LastIndexByte(addr, '>')
	if i < 0 {
		return addr, nil
	}
	return addr[:i], strings.Fields(addr[i+1:])
}

var errLine = errors.New("message line without CRLF")

// readData reads a message up to its final dot, and undoes doubled dots
// (RFC 5321, Section 4.5.2). Postfix sends nothing but CRLF.
func readData(in *bufio.Reader) ([]byte, error) {
	var data []byte
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		text := string(line)
		switch {
		case text == ".\r\n":
			return data, nil
		case !strings.HasSuffix(text, "\r\n"):
			return nil, errLine
		case line[0] == '.':
			line = line[1:]
		}
		data = append(data, line...)
	}
}
