//go:build mta

package mtatest

import (
	"context"
	"dmarcgate/internal/childtest"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mta is what the tests need of Postfix and of Sendmail alike.
type mta interface {
	Session(Client) (*Session, error)
	Send(Client, Mail) (Reply, error)
	Delivered(context.Context, func(Mail) bool) (Mail, error)
	WaitEmpty(context.Context) error
	Processes() []int
	Log() string
	Stop()
}

var bank = Client{Addr: "192.0.2.1", Name: "mail.bank.example", Helo: "helo.bank.example"}

func inTime(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func letter(subject string) Mail {
	return Mail{
		From:  "a@sender.example",
		Rcpts: []string{"b@receiver.example"},
		Data:  []byte("From: A <a@sender.example>\r\nSubject: " + subject + "\r\n\r\n.\r\nbody\r\n"),
	}
}

func send(t *testing.T, m mta, c Client, letter Mail) Reply {
	t.Helper()
	r, err := m.Send(c, letter)
	if err != nil {
		t.Fatalf("Send: %v\n%s", err, m.Log())
	}
	return r
}

// wantReceived sends a letter as a client, and says what the Received field of
// the MTA has to hold of it. It returns the queue id.
func wantReceived(t *testing.T, m mta, c Client, want string) string {
	t.Helper()
	r := send(t, m, c, letter("x"))
	got, err := m.Delivered(inTime(t), func(m Mail) bool { return m.QueueID() == r.QueueID() })
	if err != nil {
		t.Fatalf("%v after %v\n%s", err, r, m.Log())
	}
	if top := got.Fields("Received")[0]; !strings.Contains(top, want) {
		t.Errorf("Received:%s; want %q", top, want)
	}
	return r.QueueID()
}

func TestMTADeliversToTheSink(t *testing.T) {
	for name, start := range map[string]func(*testing.T) mta{
		"Postfix":  func(t *testing.T) mta { return StartPostfix(t, PostfixConfig{}) },
		"Sendmail": func(t *testing.T) mta { return StartSendmail(t, SendmailConfig{}) },
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			m := start(t)
			t.Logf("start: %v", time.Since(begin))
			if log := m.Log(); strings.Contains(log, "connect from") || strings.Contains(log, "relay=") {
				t.Errorf("the start made a connection:\n%s", log)
			}
			sent := letter("hello")
			r := send(t, m, Client{}, sent)
			id := r.QueueID()
			if r.Code != 250 || id == "" {
				t.Fatalf("Send = %v; want 250 with a queue id", r)
			}
			got, err := m.Delivered(inTime(t), func(m Mail) bool { return m.QueueID() == id })
			if err != nil {
				t.Fatalf("%v\n%s", err, m.Log())
			}
			t.Logf("first message: %v", time.Since(begin))
			if got.From != sent.From || !slices.Equal(got.Rcpts, sent.Rcpts) {
				t.Errorf("envelope from %q to %q; want %q to %q", got.From, got.Rcpts, sent.From, sent.Rcpts)
			}
			if !slices.Equal(got.Fields("Subject"), sent.Fields("Subject")) || string(got.Body()) != string(sent.Body()) {
				t.Errorf("delivered %q; want the subject and body of %q", got.Data, sent.Data)
			}
			// Received on top is all that Postfix adds.
			if _, is := m.(*Postfix); is && (!strings.HasPrefix(string(got.Data), "Received: ") || !strings.HasSuffix(string(got.Data), "\r\n"+string(sent.Data))) {
				t.Errorf("delivered %q; want Received and %q", got.Data, sent.Data)
			}
			if err := m.WaitEmpty(inTime(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStopLeavesNothing(t *testing.T) {
	dir := filepath.Join(Dir(t), "postfix")
	if err := mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Run("Postfix", func(t *testing.T) { // master, smtpd, qmgr and more
		p := StartPostfix(t, PostfixConfig{Dir: dir})
		if _, err := stopped(t, p, 4).Command("NOOP"); err == nil {
			t.Error("the session goes on")
		}
		if _, err := Dial(p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial = %v; want refused", err)
		}
	})
	t.Run("Sendmail", func(t *testing.T) { // the daemon and a session
		if r, err := stopped(t, StartSendmail(t, SendmailConfig{}), 2).Command("NOOP"); err == nil && r.Code != 421 {
			t.Errorf("the session goes on: %v", r)
		}
	})
}

// stopped stops an MTA that has at least some processes, while a session is
// open, which it returns.
func stopped(t *testing.T, m mta, least int) *Session {
	t.Helper()
	s, err := m.Session(bank) // so that a child is at work
	if err != nil {
		t.Fatal(err)
	}
	pids := m.Processes()
	if len(pids) < least {
		t.Errorf("Processes() = %v; want at least %d", pids, least)
	}
	start := time.Now()
	m.Stop()
	t.Logf("stop: %v", time.Since(start))
	for _, pid := range pids {
		if p, ok := childtest.ReadProcess(pid); ok && p.State != "Z" {
			t.Errorf("process %d is there, state %s", pid, p.State)
		}
	}
	return s
}
