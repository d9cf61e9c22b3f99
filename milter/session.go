package milter

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"runtime/debug"
	"time"

	gomilter "github.com/emersion/go-milter"
)

// session is one connection from an MTA. It sees every frame twice: raw, in
// receive, where frames are checked and those that go-milter gets wrong are
// dealt with; and then dispatched by go-milter, in the methods that are named
// after the events.
type session struct {
	srv    *Server
	conn   *conn
	log    *slog.Logger
	agreed Negotiated
	stage  byte   // the command at hand
	data   []byte // its data

	peer   peer
	helo   string
	macros macros

	msg *transaction // nil between messages
}

// transaction is one message, from MAIL to its answer.
type transaction struct {
	env     Envelope
	header  header
	claim   claim  // on Server.HeaderMemory
	data    bool   // DATA came
	refused bool   // there was no memory for the header
	beyond  header // the last field beyond the limits
	ctx     context.Context
	cancel  context.CancelFunc
	message Message
	started bool // Start was called
	failed  bool // the handler panicked
	skip    bool // no more body
	size    int64
	ended   time.Time // end of message
	answer  *Answer   // nil until Finish has returned
}

// errOrder is an event outside of the message that it belongs to. The mail
// behind it has no envelope; to let it pass would be to let it pass unseen.
var errOrder = errors.New("an event of a message without MAIL")

// receive looks at a frame before go-milter does, and returns what of it
// go-milter is to read: all, nothing, or the command alone.
func (s *session) receive(frame []byte) ([]byte, error) {
	s.stage, s.data = frame[4], frame[5:]
	switch s.stage {
	case cmdMacro:
		s.macros.set(s.data)
		return nil, nil
	case cmdHeader:
		return nil, s.field()
	case cmdData, cmdUnknown:
		if s.msg != nil {
			s.msg.data = s.msg.data || s.stage == cmdData
		}
		s.answerContinue()
		return nil, nil
	case cmdQuitNewConn:
		s.newConnection()
		return nil, nil
	case cmdBody:
		return bodyFrame, s.inMessage()
	case cmdRcpt, cmdEndOfHeader, cmdEndOfMessage:
		return frame, s.inMessage()
	case cmdConnect:
		var err error
		s.peer, err = parseConnect(s.data)
		return frame, err
	case cmdHelo, cmdMail, cmdAbort, cmdQuit:
		return frame, nil
	}
	return nil, errors.New("an unexpected command")
}

// bodyFrame stands for a chunk of body: go-milter would copy what BodyChunk
// can read where it is.
var bodyFrame = appendFrame(nil, cmdBody, nil)

func (s *session) inMessage() error {
	if s.msg == nil {
		return errOrder
	}
	return nil
}

// bodyComes begins a frame of body that bodyPart gets in parts.
func (s *session) bodyComes() error {
	s.stage = cmdBody
	if err := s.inMessage(); err != nil || s.msg.refused {
		return err
	}
	s.start()
	return nil
}

// bodyPart gives a part of a frame to the handler.
func (s *session) bodyPart(data []byte) {
	if s.msg.refused {
		return
	}
	s.data = data
	s.body()
}

// answerContinue answers the frame at hand.
func (s *session) answerContinue() {
	if !s.agreed.silent(s.stage) {
		s.conn.frame(ansContinue, nil)
	}
}

// newConnection forgets the client: the MTA uses this connection for another
// one (SMFIC_QUIT_NC).
func (s *session) newConnection() {
	s.abandon(errAborted)
	s.peer, s.helo, s.macros = peer{}, "", macros{}
}

// field keeps a header field.
func (s *session) field() error {
	if s.msg == nil {
		return errOrder
	}
	name, value, err := splitField(s.data)
	if err != nil {
		return err
	}
	t := s.msg
	t.size += int64(len(s.data)) + 1
	// Once one field is dropped all later ones are, so that what is kept is
	// the top of the header without a hole.
	t.env.HeaderTruncated = t.env.HeaderTruncated || t.header.full(len(s.data), s.conn.limits)
	switch {
	case t.refused:
		err = s.slow()
	case t.env.HeaderTruncated:
		if err = s.slow(); err == nil {
			s.overflow(name, value)
		}
	default:
		err = s.keep(name, value)
	}
	if err != nil {
		return err
	}
	s.answerContinue()
	return nil
}

// overflow shows a field beyond the limits to the handler. Only the last one is
// held.
func (s *session) overflow(name, value []byte) {
	t := s.msg
	if t.failed {
		return
	}
	s.guard(func() {
		if t.env.Overflow == nil {
			s.describe()
			t.env.Overflow = s.srv.Handler.Overflow(&t.env, t.header.fields())
		}
		t.beyond.show(t.env.Overflow, name, value, s.agreed.keepsSpace())
	})
}

// describe takes what macros say of the message into its envelope.
func (s *session) describe() {
	env := &s.msg.env
	env.MTAName, env.Daemon = s.macros.get(macroMTAName), s.macros.get(macroDaemon)
	env.AuthType, env.Authenticated = s.macros.get(macroAuthType), s.macros.get(macroAuthen)
	env.TLS, env.QueueID = s.macros.get(macroTLSVersion), s.macros.get(macroQueueID)
}

// keep keeps a field, or none of the header when there is no memory for it.
// Meanwhile nothing is read. A header field needs no answer, so the refusal
// waits for the end of the header.
func (s *session) keep(name, value []byte) error {
	t := s.msg
	err := s.srv.HeaderMemory.grow(s.conn.ctx, &t.claim, t.header.cost+t.header.need(name, value), s.srv.Name)
	switch {
	case errors.Is(err, errHeaderMemory):
		s.log.Warn("message deferred: limits.header_memory exhausted", "qid", s.macros.get(macroQueueID), "header", t.header.cost)
		t.refused, t.header = true, header{}
		return nil
	case err != nil:
		return err
	}
	t.header.add(name, value, s.agreed.keepsSpace())
	return nil
}

// slow reads what is not kept of a header no faster than what is.
func (s *session) slow() error {
	return s.srv.HeaderMemory.slow(s.conn.ctx, int64(len(s.data)))
}

// proceed is the answer "go on", or none where none is due.
func (s *session) proceed() (gomilter.Response, error) {
	s.answerContinue()
	return nil, nil
}

// reply answers, and nothing is left for go-milter to answer: it would make a
// buffer of 4 KiB for each frame, and forget the client of the connection after
// some.
func (s *session) reply(code byte, data []byte) (gomilter.Response, error) {
	s.conn.frame(code, data)
	return nil, nil
}

// refuse ends the connection for what the peer did.
func (s *session) refuse(err error) (gomilter.Response, error) {
	s.lost(err)
	s.conn.broken = true
	return nil, nil
}

// Connect implements milter.Milter. receive has read the frame.
func (s *session) Connect(string, string, uint16, net.IP, *gomilter.Modifier) (gomilter.Response, error) {
	s.abandonFor(errAborted, s.macros.beginSession)
	s.helo = ""
	return s.proceed()
}

// Helo implements milter.Milter. A client may say it again.
func (s *session) Helo(string, *gomilter.Modifier) (gomilter.Response, error) {
	s.helo = cString(s.data)
	return s.proceed()
}

// MailFrom implements milter.Milter. It begins a message, whether or not the
// one before was ended by ABORT: Sendmail does not send it.
func (s *session) MailFrom(string, *gomilter.Modifier) (gomilter.Response, error) {
	path, args, err := pathAndArgs(s.data)
	if err != nil {
		return s.refuse(err)
	}
	s.abandonFor(errAborted, s.macros.beginMessage)
	s.msg = &transaction{env: Envelope{
		Listener: s.srv.Name, Client: s.client(), Local: s.peer.local, ClientName: s.peer.name, Helo: s.helo,
		MailFrom: path, MailArgs: args, Received: s.srv.now(), Negotiated: s.agreed,
	}}
	s.conn.setIdle(false)
	return s.proceed()
}

// client is the address from CONNECT or, when that has none and does not name
// a local socket, from {client_addr}.
func (s *session) client() netip.Addr {
	if s.peer.addr.IsValid() || s.peer.unix {
		return s.peer.addr
	}
	return parseAddr(s.macros.get(macroClientAddr))
}

// RcptTo implements milter.Milter. Without SMFIP_RCPT_REJ, which is not asked
// for, MTAs send accepted recipients only; {rcpt_mailer} marks others.
func (s *session) RcptTo(string, *gomilter.Modifier) (gomilter.Response, error) {
	path, _, err := pathAndArgs(s.data)
	if err != nil {
		return s.refuse(err)
	}
	env := &s.msg.env
	switch {
	case s.macros.rcptMailer() == "error":
	case len(env.Rcpts) >= s.conn.limits.Recipients:
		env.RcptsTruncated = true
	default:
		env.Rcpts = append(env.Rcpts, path)
	}
	return s.proceed()
}

// Header implements milter.Milter. It is not called: receive keeps fields.
func (s *session) Header(string, string, *gomilter.Modifier) (gomilter.Response, error) {
	return s.proceed()
}

// Headers implements milter.Milter: the header is complete.
func (s *session) Headers(textproto.MIMEHeader, *gomilter.Modifier) (gomilter.Response, error) {
	if s.msg.refused {
		return s.refuseHeader()
	}
	s.start()
	return s.proceed()
}

// refuseHeader ends a message for whose header there was no memory. Postfix
// and Sendmail take a refusal at the end of the header as they take one at the
// end of the message, and send no body after it.
func (s *session) refuseHeader() (gomilter.Response, error) {
	t := s.msg
	t.ended = s.srv.now()
	t.answer = &Answer{Reply: Refuse(451, "4.3.1", "Too little memory for the header of this message, try again later")}
	s.srv.Metrics.HeaderRefused(s.srv.Name)
	s.srv.Metrics.MessageAnswered(s.srv.Name, "tempfail")
	return s.reply(ansReplyCode, t.answer.Reply.wire())
}

// start hands the message to the handler, once.
func (s *session) start() {
	t := s.msg
	if t.started {
		return
	}
	t.started = true
	t.ctx, t.cancel = context.WithCancel(s.conn.ctx)
	s.describe()
	t.beyond = header{}
	s.srv.Metrics.MessageStarted(s.srv.Name)
	if t.failed { // beyond the limits
		return
	}
	s.guard(func() { t.message = s.srv.Handler.Start(t.ctx, &t.env, t.header.fields()) })
}

// BodyChunk implements milter.Milter.
func (s *session) BodyChunk([]byte, *gomilter.Modifier) (gomilter.Response, error) {
	if s.msg.refused { // the MTA has not sent the end of the header
		return s.refuseHeader()
	}
	s.start()
	s.body()
	if s.msg.skip && s.agreed.canSkip() {
		return s.reply(ansSkip, nil)
	}
	return s.proceed()
}

// body gives the data at hand to the handler, unless it wants no more.
func (s *session) body() {
	t := s.msg
	t.size += int64(len(s.data))
	if t.skip || t.failed || len(s.data) == 0 {
		return
	}
	s.guard(func() {
		_, err := t.message.Write(s.data)
		t.skip = err != nil
		if err != nil && !errors.Is(err, ErrSkip) {
			s.log.Warn("cannot pass the message body to the checks", "qid", t.env.QueueID, "err", err)
		}
	})
}

// Body implements milter.Milter: the message is complete. The answer to a
// message that is delivered is "continue" and not "accept": both mean the same
// here, and continue cannot be taken for more than this message.
func (s *session) Body(*gomilter.Modifier) (gomilter.Response, error) {
	t := s.msg
	if t.refused {
		return s.refuseHeader()
	}
	t.ended = s.srv.now()
	s.start()
	s.body() // libmilter takes data here for a last chunk, although MTAs send none
	s.conn.giveBack()
	if t.env.QueueID == "" {
		t.env.QueueID = s.macros.get(macroQueueID)
	}
	var err error
	if t.answer, err = s.finish(); err != nil {
		defer s.abandon(err)
		return s.refuse(err)
	}
	if reply := t.answer.Reply; reply.Refuses() {
		return s.reply(ansReplyCode, reply.wire())
	}
	for _, e := range t.answer.Edits {
		s.edit(e)
	}
	return s.reply(ansContinue, nil)
}

// finish asks the handler for its answer. The error tells that the MTA went
// away meanwhile.
func (s *session) finish() (*Answer, error) {
	t := s.msg
	var a Answer
	var err error
	answered := false
	if !t.failed {
		w := s.keepWaiting()
		s.guard(func() { a, answered = t.message.Finish(), true })
		err = w.stop()
	}
	if !answered {
		a = Answer{Reply: Refuse(451, "4.3.0", "Internal error, try again later")}
	}
	return &a, err
}

// edit sends an edit if the MTA has agreed to take such.
func (s *session) edit(e Edit) {
	if e.action&^s.agreed.Actions != 0 {
		s.log.Warn("edit not negotiated with the MTA; message delivered without the edit", "qid", s.msg.env.QueueID, "edit", e.String())
		s.count("protocol")
		return
	}
	if code, data := e.wire(s.agreed.keepsSpace()); code != 0 {
		s.conn.frame(code, data)
	}
}

// Abort implements milter.Milter. Postfix sends it after each message, too.
func (s *session) Abort(*gomilter.Modifier) error {
	s.abandon(errAborted)
	return nil
}

// guard calls into the handler. A panic there fails this message and nothing
// else.
func (s *session) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			s.msg.failed, s.msg.skip = true, true
			s.count("panic")
			s.log.Error("panic while handling a message", "qid", s.msg.env.QueueID, "stage", stageOf(s.stage), "panic", v, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// errAborted is what Answer.Sent gets when the answer was not wanted any more.
var errAborted = errors.New("milter: the message was aborted")

// abandon forgets the message at hand, if there is one, and what macros said
// of it.
func (s *session) abandon(err error) { s.abandonFor(err, s.macros.endMessage) }

func (s *session) abandonFor(err error, forget func()) {
	t := s.msg
	s.msg = nil
	forget()
	if t == nil {
		return
	}
	s.conn.setIdle(true)
	s.srv.HeaderMemory.release(&t.claim)
	switch {
	case !t.started && t.answer == nil:
		s.unseen(t)
	case t.answer == nil:
		s.srv.Metrics.MessageAborted(s.srv.Name)
	}
	s.release(t, err)
}

// unseen counts a message that ended before the end of its header. After MAIL
// or RCPT that is everyday mail, such as a recipient that the MTA refuses;
// after DATA it is a client that goes away, or an MTA that never shows the
// content to its filters (Postfix with smtpd_proxy_filter).
func (s *session) unseen(t *transaction) {
	after := "envelope"
	switch {
	case t.header.size > 0 || t.refused:
		after = "header"
	case t.data:
		after = "data"
	}
	s.srv.Metrics.WithoutHeader(s.srv.Name, after)
	if after == "data" && s.srv.Unseen != nil {
		s.srv.Unseen()
	}
}

// release ends what belongs to a message.
func (s *session) release(t *transaction, err error) {
	if !t.started {
		return
	}
	t.cancel()
	s.srv.Metrics.MessageDone(s.srv.Name)
	if t.answer != nil && t.answer.Sent != nil {
		s.tellSent(t, err)
	}
}

func (s *session) tellSent(t *transaction, err error) {
	defer func() {
		if v := recover(); v != nil {
			s.count("panic")
			s.log.Error("panic after a message", "qid", t.env.QueueID, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	t.answer.Sent(err)
}

// beforeWrite puts the agreed version into the answer to the offer, where
// go-milter always says 2.
func (s *session) beforeWrite(out []byte) {
	if s.stage == cmdNegotiate && len(out) >= 9 && out[4] == cmdNegotiate {
		binary.BigEndian.PutUint32(out[5:], s.agreed.Version)
	}
}

// written is told when answers were written, or could not be.
func (s *session) written(err error) {
	t := s.msg
	if t == nil || t.answer == nil {
		return
	}
	if err == nil {
		s.srv.Metrics.EOMDuration(s.srv.Name, s.srv.now().Sub(t.ended))
		s.srv.Metrics.MessageBytes(s.srv.Name, t.size)
	}
	s.abandon(err)
}

// closed is told when the connection is closed.
func (s *session) closed() { s.abandon(net.ErrClosed) }

// count counts an event after which the MTA may use its default action.
func (s *session) count(kind string) {
	s.srv.Metrics.MilterError(s.srv.Name, stageOf(s.stage), kind)
}

// lost reports why the connection ends. An MTA that goes away between
// messages, and our own shutdown, are no errors.
func (s *session) lost(err error) {
	kind := "protocol"
	var ne net.Error
	switch {
	case errors.Is(err, errHangUp): // reported when it was given up
		return
	case errors.Is(err, errDraining), errors.Is(err, io.EOF), s.drained(err):
		s.log.Debug("milter session ended", "reason", err)
		return
	case errors.Is(err, os.ErrDeadlineExceeded):
		kind = "timeout"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &ne), errors.Is(err, io.ErrClosedPipe):
		kind = "io"
	}
	s.count(kind)
	s.log.Warn("milter session closed after an error", "stage", stageOf(s.stage), "kind", kind, "err", err)
}

// drained tells whether err is what drain woke the reader with.
func (s *session) drained(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "read" || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.conn.draining && s.conn.idle
}
