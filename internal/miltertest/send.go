package miltertest

import (
	"bytes"
	"cmp"
	"net/netip"
	"strings"
)

// Mail is a message and its envelope. Addresses have no brackets.
type Mail struct {
	Client     netip.Addr // no IP client when zero
	ClientName string     // "[address]" when empty, as MTAs write it
	Helo       string
	From       string
	Args       []string // ESMTP parameters of MAIL
	Rcpts      []string
	QueueID    string
	Auth       string // the authenticated user
	TLS        string // the version of TLS that the client speaks; "" is none
	MTA        string // what the MTA calls itself (macro j): "mx.receiver.example" when empty, nothing for NoName
	Message    []byte // lines end in CRLF or LF
}

// NoName is an MTA that does not give its name.
const NoName = "-"

// What the MTA says of itself.
const (
	mtaName    = "mx.receiver.example"
	daemonName = "smtpd"
)

// Send takes a message through all events. CONNECT and HELO are sent for the
// first message, and when the client is another than before; a Postfix sends
// ABORT after each message. It returns early when the filter does not answer
// "continue".
func (c *Client) Send(m Mail) (Result, error) {
	s := sender{c: c, m: m}
	s.greet()
	s.macros('M', s.mailMacros()...)
	s.do('M', func() (Reply, error) { return c.Mail(m.From, m.Args...) })
	for i, rcpt := range m.Rcpts {
		s.macros('R', s.rcptMacros(i, rcpt)...)
		s.do('R', func() (Reply, error) { return c.Rcpt(rcpt) })
	}
	if c.agreed.Protocol&NoData == 0 {
		s.macros('T', s.queueID()...)
		s.do('T', c.Data)
	}
	fields, body := Split(m.Message)
	for _, f := range fields {
		s.contentMacros('L')
		s.do('L', func() (Reply, error) { return c.Field(f.Name, f.Value) })
	}
	s.macros('N', s.queueID()...)
	s.do('N', c.EndOfHeader)
	s.body(body)
	s.macros('E', s.queueID()...)
	return s.end()
}

// sender sends one message. After an early answer or an error it does nothing
// more.
type sender struct {
	c       *Client
	m       Mail
	early   *Result
	skipped bool
	err     error
}

func (s *sender) over() bool { return s.err != nil || s.early != nil }

func (s *sender) do(stage byte, event func() (Reply, error)) {
	if s.over() {
		return
	}
	r, err := event()
	switch {
	case err != nil:
		s.err = err
	case r.Action == Skip && stage == 'B':
		s.skipped = true
	case r.Action != Continue:
		s.early = &Result{Reply: r, Stage: stage}
	}
}

func (s *sender) macros(cmd byte, kv ...string) {
	if !s.over() {
		s.err = s.c.Macros(cmd, kv...)
	}
}

// contentMacros sends the macros that Postfix repeats before each header field
// and body chunk.
func (s *sender) contentMacros(cmd byte) {
	if !s.c.opts.Sendmail {
		s.macros(cmd, s.queueID()...)
	}
}

func (s *sender) queueID() []string { return []string{"i", s.m.QueueID} }

// greet sends CONNECT and HELO. Postfix sends ABORT after HELO.
func (s *sender) greet() {
	c, m := s.c, s.m
	name := m.ClientName
	if name == "" && m.Client.IsValid() {
		name = "[" + s.address() + "]"
	}
	key := strings.Join([]string{name, m.Client.String(), m.Helo, m.TLS}, " ")
	if c.greet == key {
		return
	}
	c.greet = key
	s.macros('C', s.connectMacros()...)
	s.do('C', func() (Reply, error) { return c.Connect(name, m.Client, 40000) })
	s.macros('H', s.tlsMacros()...)
	s.do('H', func() (Reply, error) { return c.Helo(m.Helo) })
	s.abort()
}

func (s *sender) abort() {
	if !s.c.opts.Sendmail && s.err == nil {
		s.err = s.c.Abort()
	}
}

// address writes the client's address as Sendmail does everywhere, and Postfix
// in {client_addr}.
func (s *sender) address() string {
	if s.m.Client.Is6() {
		return "IPv6:" + s.m.Client.String()
	}
	return s.m.Client.String()
}

func (s *sender) connectMacros() []string {
	kv := []string{"{daemon_name}", daemonName, "v", "miltertest"}
	if s.m.MTA != NoName {
		kv = append(kv, "j", cmp.Or(s.m.MTA, mtaName))
	}
	if strings.Contains(s.c.agreed.SymLists[0], "{client_addr}") && s.m.Client.IsValid() {
		kv = append(kv, "{client_addr}", s.address())
	}
	return kv
}

func (s *sender) mailMacros() []string {
	kv := []string{"{mail_addr}", s.m.From}
	if s.c.opts.Sendmail {
		kv = append(kv, "i", s.m.QueueID)
	}
	if s.m.Auth != "" {
		kv = append(kv, "{auth_type}", "PLAIN", "{auth_authen}", s.m.Auth)
	}
	return append(kv, s.tlsMacros()...)
}

func (s *sender) tlsMacros() []string {
	if s.m.TLS == "" {
		return nil
	}
	return []string{"{tls_version}", s.m.TLS}
}

// rcptMacros has the queue id from the second recipient on: Postfix makes it
// when it has accepted the first.
func (s *sender) rcptMacros(i int, rcpt string) []string {
	kv := []string{"{rcpt_addr}", rcpt, "{rcpt_mailer}", "local"}
	if i > 0 || s.c.opts.Sendmail {
		kv = append(kv, s.queueID()...)
	}
	return kv
}

// maxChunk is the largest body chunk (MILTER_CHUNK_SIZE).
const maxChunk = 65535

func (s *sender) body(body []byte) {
	for len(body) > 0 && !s.over() && !s.skipped {
		n := min(len(body), maxChunk)
		s.contentMacros('B')
		s.do('B', func() (Reply, error) { return s.c.Body(body[:n]) })
		body = body[n:]
	}
}

func (s *sender) end() (Result, error) {
	if s.err != nil {
		return Result{}, s.err
	}
	var res Result
	if s.early != nil {
		res = *s.early
	} else if res, s.err = s.c.EndOfMessage(); s.err != nil {
		return res, s.err
	}
	res.Skipped = s.skipped
	s.abort()
	return res, s.err
}

// Field is a header field. Value is what follows the colon, folds as LF.
type Field struct{ Name, Value string }

// maxField is where Postfix cuts a field for a milter, name and colon included.
const maxField = 60000

// Split takes a message apart as Postfix does: a line that is no field ends the
// header, white space before a colon is dropped, a Return-Path is removed,
// folds are LF, and the lines of the body end in CRLF. A bare CR in the body
// is a space.
func Split(message []byte) (fields []Field, body []byte) {
	text := strings.ReplaceAll(string(message), "\r\n", "\n")
	for text != "" {
		line, rest, _ := strings.Cut(text, "\n")
		if line == "" {
			text = rest
			break
		}
		if isSpace(line[0]) && len(fields) > 0 {
			fields[len(fields)-1].Value += "\n" + line
			text = rest
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name = strings.TrimRight(name, " \t")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			break
		}
		fields = append(fields, Field{name, value})
		text = rest
	}
	return sent(fields), crlfBody(text)
}

// sent returns the fields that a milter gets to see, as long as it does.
func sent(fields []Field) []Field {
	var out []Field
	for _, f := range fields {
		if strings.EqualFold(f.Name, "Return-Path") {
			continue
		}
		if n := maxField - len(f.Name) - 1; len(f.Value) > n {
			f.Value = f.Value[:max(n, 0)]
		}
		out = append(out, f)
	}
	return out
}

func crlfBody(text string) []byte {
	if text == "" {
		return nil
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	b := bytes.ReplaceAll([]byte(text), []byte("\r"), []byte(" "))
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}
