package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dmarcgate/internal/miltertest"
)

// player plays SMTP sessions through milters, as a Postfix does that has them
// all in smtpd_milters: each event goes to one after the other, and the content
// of a message to the next when the last has answered, with what that has
// changed.
type player struct {
	addresses   []string      // "unix:/path"
	connections int           // SMTP sessions at once
	short       bool          // each session has milter connections of its own
	every       time.Duration // between the begins of sessions; 0 is as soon as a connection is free
	begin       time.Time     // of the first; set by play
	checked     bool          // every answer must be the one that the message has earned
}

// played is what came of it.
type played struct {
	elapsed time.Duration
	waits   []time.Duration // for each message, sorted: see session.send
	answers []time.Duration // from end of message to the last answer, sorted
}

// answerTimeout is how long one answer may take, a cold cache and a slow
// resolver included.
const answerTimeout = 30 * time.Second

// play plays sessions and waits for all answers. When ctx is done it ends after
// the sessions in progress.
func (p player) play(ctx context.Context, sessions [][]*mail) (played, error) {
	p.begin = time.Now()
	workers := make([]worker, p.connections)
	for i := range workers {
		workers[i].player = p
		if err := workers[i].dial(); err != nil {
			return played{}, err
		}
		defer workers[i].hangUp()
	}
	var next atomic.Int64
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { workers[i].run(ctx, sessions, &next) })
	}
	wg.Wait()
	out := played{elapsed: time.Since(begin)}
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	var err error
	for _, w := range workers {
		err = errors.Join(err, w.err)
		out.waits, out.answers = append(out.waits, w.waits...), append(out.answers, w.answers...)
	}
	slices.Sort(out.waits)
	slices.Sort(out.answers)
	return out, err
}

// worker is one SMTP session after the other.
type worker struct {
	player
	clients        []*miltertest.Client
	waits, answers []time.Duration
	err            error
}

// dial connects to every milter and negotiates.
func (w *worker) dial() error {
	for _, address := range w.addresses {
		c, err := miltertest.Dial(address, miltertest.Options{Timeout: answerTimeout})
		if err != nil {
			w.hangUp()
			return err
		}
		w.clients = append(w.clients, c)
	}
	return nil
}

func (w *worker) hangUp() {
	for _, c := range w.clients {
		_ = c.Quit() // what was measured is measured
	}
	w.clients = nil
}

func (w *worker) run(ctx context.Context, sessions [][]*mail, next *atomic.Int64) {
	if w.short {
		w.hangUp()
	}
	for ctx.Err() == nil {
		i := int(next.Add(1)) - 1
		if i >= len(sessions) {
			return
		}
		w.pause(i)
		if err := w.session(sessions[i], i); err != nil {
			w.err = fmt.Errorf("session %d from %s: %w", i, sessions[i][0].from, err)
			return
		}
	}
}

// pause waits until a session is to begin.
func (w *worker) pause(number int) {
	if w.every > 0 {
		time.Sleep(time.Until(w.begin.Add(time.Duration(number) * w.every)))
	}
}

// session plays one SMTP session. The time that its client waits for a message
// is from connect (of the first) or MAIL to the answer: all that the milters
// add, but for what the MTA itself takes.
func (w *worker) session(mails []*mail, number int) error {
	begin := time.Now()
	if w.short {
		if err := w.dial(); err != nil {
			return err
		}
	}
	events := events{qid: "4Bench"}
	for _, c := range w.clients {
		events.begin(c, mails[0])
	}
	for k, m := range mails {
		if k > 0 {
			begin = time.Now()
		}
		events.qid = fmt.Sprintf("4Bench%d.%d", number, k)
		answer, err := w.send(&events, m)
		if err != nil {
			return err
		}
		w.waits, w.answers = append(w.waits, time.Since(begin)), append(w.answers, answer)
	}
	if w.short {
		w.hangUp()
		return nil
	}
	for _, c := range w.clients {
		events.fail(c.QuitNewConnection())
	}
	return events.err
}

// send sends a message, and returns the time from the first end of message to
// the last answer; what a client has buffered by then, all of a short message, is
// sent with the end.
func (w *worker) send(e *events, m *mail) (time.Duration, error) {
	for _, c := range w.clients {
		e.envelope(c, m)
	}
	var begin time.Time
	var replies []miltertest.Result
	fields := m.fields
	for _, c := range w.clients {
		e.content(c, fields, m.body)
		if e.err != nil {
			return 0, e.err
		}
		if begin.IsZero() {
			begin = time.Now()
		}
		res, err := c.EndOfMessage()
		if err != nil {
			return 0, err
		}
		if replies = append(replies, res); res.Action == miltertest.ReplyCode {
			break
		}
		fields = edited(fields, res.Edits)
	}
	took := time.Since(begin)
	for _, c := range w.clients {
		e.fail(c.Abort())
	}
	if w.checked {
		e.fail(checkAnswers(m, replies))
	}
	return took, e.err
}

// edited returns the header with the fields that a milter has inserted, on top
// all of them: that is where they belong in this mix.
func edited(fields []miltertest.Field, edits []miltertest.Edit) []miltertest.Field {
	var top []miltertest.Field
	for _, e := range edits {
		if e.Op == miltertest.OpInsert || e.Op == miltertest.OpAdd {
			top = append(top, miltertest.Field{Name: e.Name, Value: " " + strings.TrimPrefix(e.Value, " ")})
		}
	}
	return append(top, fields...)
}

const recipient = "user@receiver.example"

// events sends events until one fails.
type events struct {
	qid string
	err error
}

func (e *events) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

func (e *events) macros(c *miltertest.Client, cmd byte, kv ...string) {
	e.fail(c.Macros(cmd, kv...))
}

func (e *events) event(r miltertest.Reply, err error) {
	if err == nil && r.Action != miltertest.Continue {
		err = fmt.Errorf("answer %s before end of message", r.Action)
	}
	e.fail(err)
}

func (e *events) begin(c *miltertest.Client, m *mail) {
	e.macros(c, 'C', "j", "mx.receiver.example", "{daemon_name}", "smtpd", "v", "bench")
	e.event(c.Connect(m.helo, m.client, 40000))
	e.macros(c, 'H')
	e.event(c.Helo(m.helo))
	e.fail(c.Abort())
}

func (e *events) envelope(c *miltertest.Client, m *mail) {
	e.macros(c, 'M', "{mail_addr}", m.from)
	e.event(c.Mail(m.from))
	e.macros(c, 'R', "{rcpt_addr}", recipient, "{rcpt_mailer}", "local")
	e.event(c.Rcpt(recipient))
	e.macros(c, 'T', "i", e.qid)
	e.event(c.Data())
}

// maxChunk is the largest body chunk (MILTER_CHUNK_SIZE).
const maxChunk = 65535

// content sends a message up to its end. A milter that is not interested in the
// body any more is spared the rest of it.
func (e *events) content(c *miltertest.Client, fields []miltertest.Field, body []byte) {
	for _, f := range fields {
		e.macros(c, 'L', "i", e.qid)
		e.event(c.Field(f.Name, f.Value))
	}
	e.macros(c, 'N', "i", e.qid)
	e.event(c.EndOfHeader())
	for len(body) > 0 && e.err == nil {
		n := min(len(body), maxChunk)
		e.macros(c, 'B', "i", e.qid)
		r, err := c.Body(body[:n])
		if err == nil && r.Action == miltertest.Skip {
			break
		}
		e.event(r, err)
		body = body[n:]
	}
	e.macros(c, 'E', "i", e.qid)
}

// checkAnswers says what is wrong with the answers to a message: one that
// passes must do so by DKIM and DMARC, and one that fails must be refused.
func checkAnswers(m *mail, replies []miltertest.Result) error {
	last := replies[len(replies)-1]
	if !m.fate.passes() {
		if last.Action != miltertest.ReplyCode || last.Code != 550 {
			return fmt.Errorf("answer %s %d %s to a message that fails; want 550; edits %+v", last.Action, last.Code, last.Text, last.Edits)
		}
		return nil
	}
	if last.Action != miltertest.Continue && last.Action != miltertest.Accept {
		return fmt.Errorf("answer %s %d %s; want continue", last.Action, last.Code, last.Text)
	}
	var results strings.Builder
	for _, r := range replies {
		for _, e := range r.Edits {
			if strings.EqualFold(e.Name, "Authentication-Results") {
				results.WriteString(e.Value)
			}
		}
	}
	if text := results.String(); !strings.Contains(text, "dmarc=pass") || !strings.Contains(text, "dkim=pass") {
		return fmt.Errorf("the message did not pass: %s", text)
	}
	return nil
}
