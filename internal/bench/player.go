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

// player plays messages through a milter socket.
type player struct {
	address     string // "unix:/path"
	connections int
	checked     bool // every message must pass DMARC
}

// played is what came of it.
type played struct {
	elapsed   time.Duration
	latencies []time.Duration // sorted
}

// answerTimeout is how long one answer may take, a cold cache and a slow
// resolver included.
const answerTimeout = 30 * time.Second

// play sends n messages, the given ones over and over, and waits for their
// answers. When ctx is done it ends after the messages in progress.
func (p player) play(ctx context.Context, mails []*mail, n int) (played, error) {
	clients, err := dial(p.address, p.connections)
	if err != nil {
		return played{}, err
	}
	defer hangUp(clients)
	var next atomic.Int64
	results := make([]worker, len(clients))
	begin := time.Now()
	var wg sync.WaitGroup
	for w, c := range clients {
		wg.Go(func() { results[w].run(ctx, p, c, mails, n, &next) })
	}
	wg.Wait()
	out := played{elapsed: time.Since(begin)}
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	for _, w := range results {
		err = errors.Join(err, w.err)
		out.latencies = append(out.latencies, w.latencies...)
	}
	slices.Sort(out.latencies)
	return out, err
}

// dial opens connections and negotiates on them.
func dial(address string, n int) ([]*miltertest.Client, error) {
	var clients []*miltertest.Client
	for range n {
		c, err := miltertest.Dial(address, miltertest.Options{Timeout: answerTimeout})
		if err != nil {
			hangUp(clients)
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

func hangUp(clients []*miltertest.Client) {
	for _, c := range clients {
		_ = c.Quit() // what was measured is measured
	}
}

// worker is one connection at work.
type worker struct {
	latencies []time.Duration
	err       error
}

func (w *worker) run(ctx context.Context, p player, c *miltertest.Client, mails []*mail, n int, next *atomic.Int64) {
	for ctx.Err() == nil {
		i := int(next.Add(1)) - 1
		if i >= n {
			return
		}
		m := mails[i%len(mails)]
		latency, err := p.send(c, m, fmt.Sprintf("4Bench%d", i))
		if err != nil {
			w.err = fmt.Errorf("message %d from %s: %w", i, m.from, err)
			return
		}
		w.latencies = append(w.latencies, latency)
	}
}

// send takes a message through all events as a Postfix does, each from a new
// client. It returns the time from end of message to the answer; what the
// client has buffered by then, all of a short message, is sent with the end.
func (p player) send(c *miltertest.Client, m *mail, qid string) (time.Duration, error) {
	s := sender{c: c, qid: qid}
	s.macros('C', "j", "mx.receiver.example", "{daemon_name}", "smtpd", "v", "bench")
	s.event(c.Connect(m.helo, m.client, 40000))
	s.macros('H')
	s.event(c.Helo(m.helo))
	s.fail(c.Abort())
	s.macros('M', "{mail_addr}", m.from)
	s.event(c.Mail(m.from))
	s.macros('R', "{rcpt_addr}", recipient, "{rcpt_mailer}", "local")
	s.event(c.Rcpt(recipient))
	s.content(m)
	s.macros('E', "i", qid)
	if s.err != nil {
		return 0, s.err
	}
	begin := time.Now()
	res, err := c.EndOfMessage()
	latency := time.Since(begin)
	if err == nil && p.checked {
		err = checkAnswer(res)
	}
	return latency, errors.Join(err, c.Abort())
}

const recipient = "user@receiver.example"

// sender sends events until one fails.
type sender struct {
	c   *miltertest.Client
	qid string
	err error
}

func (s *sender) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *sender) macros(cmd byte, kv ...string) {
	s.fail(s.c.Macros(cmd, kv...))
}

func (s *sender) event(r miltertest.Reply, err error) {
	if err == nil && r.Action != miltertest.Continue {
		err = fmt.Errorf("answer %s before end of message", r.Action)
	}
	s.fail(err)
}

// maxChunk is the largest body chunk (MILTER_CHUNK_SIZE).
const maxChunk = 65535

func (s *sender) content(m *mail) {
	for _, f := range m.fields {
		s.macros('L', "i", s.qid)
		s.event(s.c.Field(f.Name, f.Value))
	}
	s.macros('N', "i", s.qid)
	s.event(s.c.EndOfHeader())
	for rest := m.body; len(rest) > 0; {
		n := min(len(rest), maxChunk)
		s.macros('B', "i", s.qid)
		s.event(s.c.Body(rest[:n]))
		rest = rest[n:]
	}
}

// checkAnswer says what is wrong with the answer to a message that is in
// order.
func checkAnswer(res miltertest.Result) error {
	if res.Action != miltertest.Continue {
		return fmt.Errorf("answer %s %d %s; want continue", res.Action, res.Code, res.Text)
	}
	for _, e := range res.Edits {
		if strings.EqualFold(e.Name, "Authentication-Results") && strings.Contains(e.Value, "dmarc=pass") && strings.Contains(e.Value, "dkim=pass") {
			return nil
		}
	}
	return fmt.Errorf("the message did not pass: edits %+v", res.Edits)
}
