package milter

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"dmarcgate/internal/miltertest"
)

// tick is a progress interval for tests, in which the client counts.
const tick = time.Millisecond

// atEnd has a message wait in Finish, and returns when the MTA has been told of
// n progresses.
func atEnd(t *testing.T, c *miltertest.Client, n int) {
	t.Helper()
	ok(t)(c.Mail("a@b.example"))
	ok(t)(c.EndOfHeader())
	must(t, c.WriteFrame('E', nil))
	for range n {
		code, data, err := c.ReadFrame()
		if err != nil || code != 'p' || len(data) != 0 {
			t.Fatalf("ReadFrame() = %q %q, %v; want progress", code, data, err)
		}
	}
}

func TestProgressIsSentUntilAnswer(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			release := make(chan struct{})
			g := newGate(&recorder{answer: func(*seen) Answer {
				<-release
				return Answer{Edits: []Edit{InsertField("X", "y")}}
			}}, Limits{})
			g.Progress = tick
			if network == "tcp" {
				g.openTCP(t)
			} else {
				g.open(t)
			}
			c := g.dial(t, miltertest.Options{})
			atEnd(t, c, 3)
			close(release)
			r, err := c.RestOfMessage()
			ok(t)(r.Reply, err)
			if len(r.Edits) != 1 {
				t.Errorf("edits = %v; want one", r.Edits)
			}
			send(t, c, mail()) // each event has its own answer, so none was left
			must(t, c.WriteFrame('Q', nil))
			closedByFilter(t, c)
		})
	}
}

func TestProgressComesEveryFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := pipe(t, &recorder{answer: func(m *seen) Answer {
			<-time.After(18 * time.Second)
			return Answer{}
		}}, Limits{})
		began := time.Now()
		r := send(t, c, mail())
		if d := time.Since(began); r.Progress != 3 || d != 18*time.Second {
			t.Errorf("%d progresses in %v; want 3 in 18s", r.Progress, d)
		}
		must(t, c.Quit())
	})
}

func TestProgressIsNotSentBeforeQuickAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := pipe(t, &recorder{}, Limits{})
		if r := send(t, c, mail()); r.Progress != 0 {
			t.Errorf("%d progresses; want none", r.Progress)
		}
		must(t, c.Quit())
	})
}

func TestSessionCancelsMessageWhenMTAVanishesDuringFinish(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			cancelled, release := make(chan struct{}), make(chan struct{})
			sent := make(chan error, 9)
			g := newGate(&recorder{answer: func(m *seen) Answer {
				<-m.ctx.Done()
				close(cancelled)
				<-release
				return Answer{Sent: func(err error) { sent <- err }}
			}}, Limits{})
			g.Progress = tick
			if network == "tcp" {
				g.openTCP(t)
			} else {
				g.open(t)
			}
			c := g.dial(t, miltertest.Options{})
			atEnd(t, c, 1)
			must(t, c.Close())
			<-cancelled
			if len(sent) != 0 || g.count(t, "milter_messages_in_flight") != 1 {
				t.Error("the message is over before Finish is")
			}
			close(release)
			if err := <-sent; !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("Sent(%v); want what the write said", err)
			}
			g.wantCount(t, 0, "milter_sessions_active")
			g.wantCount(t, 0, "milter_messages_in_flight")
			g.wantCount(t, 1, "milter_errors_total", "eom", "io")
			g.wantCount(t, 0, "milter_eom_duration_seconds")
			if len(sent) != 0 {
				t.Error("Sent is called again")
			}
		})
	}
}

func TestSessionClosesWhenMTADoesNotReadProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan error, 9)
		g, c := pipe(t, &recorder{answer: func(m *seen) Answer {
			<-m.ctx.Done()
			return Answer{Sent: func(err error) { sent <- err }}
		}}, Limits{})
		ok(t)(c.Mail("a@b.example"))
		ok(t)(c.EndOfHeader())
		must(t, c.WriteFrame('E', nil))
		must(t, c.Flush())
		began := time.Now()
		if err := <-sent; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Sent(%v); want a timeout", err)
		}
		if d, want := time.Since(began), defaultProgress+DefaultLimits().WriteTimeout; d != want {
			t.Errorf("given up after %v; want %v", d, want)
		}
		closedByFilter(t, c)
		g.wantCount(t, 1, "milter_errors_total", "eom", "timeout")
	})
}

func TestSessionSurvivesPanicAfterProgress(t *testing.T) {
	release := make(chan struct{})
	rec := &recorder{answer: func(*seen) Answer { <-release; panic("boom") }}
	g := newGate(rec, Limits{})
	g.Progress = tick
	g.open(t)
	c := g.dial(t, miltertest.Options{})
	atEnd(t, c, 2)
	close(release)
	r, err := c.RestOfMessage()
	must(t, err)
	if r.Code != 451 || r.Enhanced != "4.3.0" {
		t.Errorf("answer = %+v; want 451 4.3.0", r)
	}
	<-rec.message(t, 0).ctx.Done()
	rec.answer = nil
	if r := send(t, c, mail()); r.Action != miltertest.Continue {
		t.Errorf("the next message: %+v; want continue", r)
	}
	g.wantCount(t, 1, "milter_errors_total", "eom", "panic")
}

func TestShutdownCancelsEndlessMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan error, 9)
		g, c := pipe(t, &recorder{answer: func(m *seen) Answer {
			<-m.ctx.Done()
			return Answer{Sent: func(err error) { sent <- err }}
		}}, Limits{})
		go func() { _, _ = c.Send(mail()) }() // which is cut
		synctest.Wait()
		done := make(chan error, 1)
		ctx, stop := shut()
		defer stop()
		go func() { done <- g.Shutdown(ctx) }()
		if err := <-done; err == nil {
			t.Error("Shutdown() = nil; want an error")
		}
		if err := <-sent; err == nil {
			t.Error("Sent(nil); want an error")
		}
		g.wantCount(t, 1, "milter_sessions_cut_total", "in")
	})
}
