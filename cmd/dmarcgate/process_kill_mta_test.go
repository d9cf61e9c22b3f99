//go:build mta

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/internal/dnstest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/internal/scale"
)

// senders are SMTP clients of a real Postfix that send without end.
type senders struct {
	t       *testing.T
	postfix *mtatest.Postfix
	perfect bool // every message must be answered by the daemon

	answered atomic.Int64
	deferred atomic.Int64 // by Postfix itself, without the daemon
	stopped  atomic.Bool
	wg       sync.WaitGroup
	kills    []time.Time // of the daemon

	mu      sync.Mutex
	answers map[string]told // by queue id
}

// told is what a sender was told, and when.
type told struct {
	code int
	at   time.Time
}

func newSenders(t *testing.T, p *mtatest.Postfix) *senders {
	return &senders{t: t, postfix: p, answers: make(map[string]told)}
}

// start begins n clients, each with one session after the other.
func (s *senders) start(n int) {
	s.t.Cleanup(s.stop)
	for i := range n {
		s.wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 0))
			for !s.stopped.Load() {
				if err := s.session(r); err != nil {
					s.t.Error(err)
					return
				}
			}
		})
	}
}

func (s *senders) stop() {
	s.stopped.Store(true)
	s.wg.Wait()
}

// session is one SMTP session with one to three messages.
func (s *senders) session(r *rand.Rand) error {
	client, code := shopHost, 250
	if r.IntN(2) == 1 {
		client, code = thirdPartyHost, 550
	}
	session, err := s.dial(client)
	if err != nil {
		return err
	}
	defer session.Close()
	for i := range 1 + r.IntN(3) {
		if i > 0 {
			pause(time.Duration(r.Int64N(int64(100 * time.Millisecond))))
		}
		reply, err := session.Send(mtatest.Mail{
			From: "a@good.example", Rcpts: []string{"user@receiver.example"}, Data: mailText("a@good.example", "load", ""),
		})
		if err != nil {
			return fmt.Errorf("Postfix closed the session: %w", err)
		}
		if goOn, err := s.note(reply, code); !goOn {
			return err
		}
	}
	_, err = session.QUIT()
	return err
}

// dial begins a session as a client. mtatest's own keeps sessions until the
// end of the test, and here there are thousands.
func (s *senders) dial(c mtatest.Client) (*mtatest.Session, error) {
	session, err := mtatest.Dial(s.postfix.Addr())
	if err != nil {
		return nil, err
	}
	_, err = session.EHLO("harness")
	if err == nil {
		_, err = session.XCLIENT(c.Addr, c.Name, "")
	}
	if err == nil {
		_, err = session.EHLO(c.Helo)
	}
	if err != nil {
		return nil, errors.Join(err, session.Close())
	}
	return session, nil
}

var refusedID = regexp.MustCompile(`\(qid (\w+)\)`)

// note records a reply, and tells whether the session is of further use.
func (s *senders) note(reply mtatest.Reply, code int) (goOn bool, err error) {
	qid := reply.QueueID()
	if m := refusedID.FindStringSubmatch(reply.Text); m != nil {
		qid = m[1]
	}
	switch {
	case reply.Code == code && qid != "":
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answers[qid] = told{code, time.Now()}
		s.answered.Add(1)
		return true, nil
	case reply.Code/100 == 4 && !s.perfect:
		s.deferred.Add(1)
		pause(20 * time.Millisecond) // the daemon is not there, and comes again
		return false, nil
	}
	return false, fmt.Errorf("reply = %v; want %d with a queue id", reply, code)
}

// await waits for a number of answers.
func (s *senders) await(n int64) {
	s.t.Helper()
	await(s.t, stopTime, func() string {
		return fmt.Sprintf("%d answers; there are %d, and %d messages that Postfix has deferred\n%s", n, s.answered.Load(), s.deferred.Load(), tail(s.postfix.Log()))
	}, func() bool { return s.answered.Load() >= n || s.t.Failed() })
}

// startPostfix has Postfix ask the daemon of this host, with the lines of the
// README.
func (h *host) startPostfix() *mtatest.Postfix {
	h.t.Helper()
	return mtatest.StartPostfix(h.t, mtatest.PostfixConfig{MainCF: postfixLines(h.t, h.socket)})
}

var lateID = regexp.MustCompile(`qid=(\w+) .*record=late`)

// lateIDs returns the queue ids of the messages that were answered before their
// rows were written.
func lateIDs(log string) map[string]bool {
	ids := make(map[string]bool)
	for _, m := range lateID.FindAllStringSubmatch(log, -1) {
		ids[m[1]] = true
	}
	return ids
}

// Postfix has no message of its own to answer while the daemon restarts on a
// socket that systemd holds.
func TestPostfixDefersNothingDuringRestartsOnAPassedSocket(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), passed: true})
	p := h.start()
	s := newSenders(t, h.startPostfix())
	s.perfect = true
	s.start(6)
	restarts := min(2*scale.Of(t), 20)
	for range restarts {
		s.await(s.answered.Load() + 20)
		p.terminate()
		p.wait()
		p = h.start()
	}
	s.await(s.answered.Load() + 20)
	s.stop()
	p.stop()
	s.checkRows(h, lostNever)
	t.Logf("%d restarts, %d messages answered", restarts, s.answered.Load())
}

// A session that outlives the drain costs one message a 4xx, and the next
// session is served.
func TestPostfixDefersOneMessageOfASessionThatIsCut(t *testing.T) {
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), passed: true, extra: "[limits]\ndrain_timeout = \"100ms\"\n"})
	p := h.start()
	postfix := h.startPostfix()
	session, err := postfix.Session(shopHost)
	if err != nil {
		t.Fatal(err)
	}
	send := func(session *mtatest.Session) mtatest.Reply {
		return sendLetter(t, session, "a@good.example", mailText("a@good.example", "long session", ""))
	}
	if r := send(session); r.Code != 250 {
		t.Fatalf("reply = %v; want 250", r)
	}
	p.stop()
	if !p.logged("open sessions closed at shutdown", "1 sessions of mta") {
		t.Error("the log does not say that a session was cut")
	}
	h.start()
	if r := send(session); r.Code/100 != 4 {
		t.Errorf("reply in the session that was cut = %v; want 4xx, so that the sender tries again", r)
	}
	session, err = postfix.Session(shopHost)
	if err != nil {
		t.Fatal(err)
	}
	if r := send(session); r.Code != 250 {
		t.Errorf("reply in the next session = %v; want 250\n%s", r, postfix.Log())
	}
}
