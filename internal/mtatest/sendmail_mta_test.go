//go:build mta

package mtatest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/milter"
)

func sendBy(t *testing.T, s *Sendmail, c Client, m Mail) Reply {
	t.Helper()
	r, err := s.Send(c, m)
	if err != nil {
		t.Fatalf("Send: %v\n%s", err, s.Log())
	}
	return r
}

func TestSendmailDeliversToTheSink(t *testing.T) {
	start := time.Now()
	s := StartSendmail(t, SendmailConfig{})
	t.Logf("start: %v", time.Since(start))
	if strings.Contains(s.Log(), "relay=") {
		t.Errorf("the start made a connection:\n%s", s.Log())
	}
	sent := letter("hello")
	r := sendBy(t, s, Client{}, sent)
	id := r.QueueID()
	if r.Code != 250 || id == "" {
		t.Fatalf("Send = %v; want 250 with a queue id", r)
	}
	got, err := s.Delivered(inTime(t), func(m Mail) bool { return m.QueueID() == id })
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	t.Logf("first message: %v", time.Since(start))
	if got.From != sent.From || !slices.Equal(got.Rcpts, sent.Rcpts) {
		t.Errorf("envelope from %q to %q; want %q to %q", got.From, got.Rcpts, sent.From, sent.Rcpts)
	}
	if !slices.Equal(got.Fields("Subject"), sent.Fields("Subject")) || string(got.Body()) != string(sent.Body()) {
		t.Errorf("delivered %q; want the subject and body of %q", got.Data, sent.Data)
	}
	if err := s.WaitEmpty(inTime(t)); err != nil {
		t.Error(err)
	}
}

func TestSendmailSeesTheAddressAndTheNameOfTheClient(t *testing.T) {
	s := StartSendmail(t, SendmailConfig{})
	tests := []struct {
		client   Client
		received string
	}{
		{bank, "from helo.bank.example (mail.bank.example [192.0.2.1])"},
		{Client{Addr: "198.51.100.7", Helo: "x.example"}, "from x.example ([198.51.100.7])"},
		{Client{Addr: "2001:db8::1", Helo: "y.example"}, "from y.example ([IPv6:2001:db8:"},
		{Client{}, "from localhost (localhost [127.0.0.1])"},
	}
	for _, tt := range tests {
		t.Run(tt.received, func(t *testing.T) {
			r := sendBy(t, s, tt.client, letter("x"))
			got, err := s.Delivered(inTime(t), func(m Mail) bool { return m.QueueID() == r.QueueID() })
			if err != nil {
				t.Fatalf("%v after %v\n%s", err, r, s.Log())
			}
			if top := got.Fields("Received")[0]; !strings.Contains(top, tt.received) {
				t.Errorf("Received:%s; want %q", top, tt.received)
			}
		})
	}
}

// Nothing of the host that Sendmail runs on can be seen from outside.
func TestTheHostOfSendmailIsItsOwn(t *testing.T) {
	before, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	s := StartSendmail(t, SendmailConfig{})
	sendBy(t, s, bank, letter("x"))
	if after, err := os.ReadFile("/etc/hosts"); err != nil || string(after) != string(before) {
		t.Errorf("/etc/hosts = %q, %v; want it as it was", after, err)
	}
	if got, err := os.Hostname(); err != nil || got != name {
		t.Errorf("host name = %q, %v; want %q", got, err, name)
	}
	if l, err := net.Listen("tcp", bank.Addr+":0"); err == nil {
		l.Close()
		t.Errorf("%s is an address of the host around", bank.Addr)
	}
	if _, err := Dial(s.sink.Addr()); err == nil {
		t.Error("the sink can be reached from the host around")
	}
}

func TestSendmailAsksTheMilterAndQuarantines(t *testing.T) {
	socket := filepath.Join(Dir(t), "milter.sock")
	s := StartSendmail(t, SendmailConfig{Milter: "S=local:" + socket + ", F=T"})
	m := letter("x")
	if r := sendBy(t, s, bank, m); r.Code != 451 {
		t.Errorf("without a milter: %v; want 451\n%s", r, s.Log())
	}
	startMilter(t, socket)
	r := sendBy(t, s, bank, m)
	held, err := s.Quarantined()
	if err != nil || len(held) != 1 {
		t.Fatalf("Quarantined() = %+v, %v after %v; want one message\n%s", held, err, r, s.Log())
	}
	if e := held[0]; e.ID != r.QueueID() || e.Hold != "by a milter" || e.Sender != m.From || !slices.Equal(e.Rcpts, m.Rcpts) || e.Size == 0 {
		t.Errorf("Quarantined() = %+v; want %s from %s to %v, by a milter", e, r.QueueID(), m.From, m.Rcpts)
	}
	queued, err := s.Queued(held[0].ID)
	if err != nil || !slices.Equal(queued.Fields("Subject"), m.Fields("Subject")) || string(queued.Body()) != string(m.Body()) {
		t.Errorf("Queued = %q, %v; want the subject and body of %q", queued.Data, err, m.Data)
	}
	if len(s.Mails()) != 0 {
		t.Error("a message in quarantine was delivered")
	}
}

// refusal is a milter handler that refuses every message with a text.
type refusal string

func (r refusal) Start(context.Context, *milter.Envelope, [][]byte) milter.Message { return r }
func (r refusal) Overflow(*milter.Envelope, [][]byte) milter.Overflow              { return r }
func (refusal) Field([]byte)                                                       {}
func (refusal) Write([]byte) (int, error)                                          { return 0, milter.ErrSkip }
func (r refusal) Finish() milter.Answer {
	return milter.Answer{Reply: milter.Refuse(550, "5.7.1", string(r))}
}

// Sendmail drops a text with a single "%" and says something of its own.
func TestARefusalArrivesAtTheClientOfSendmailAsItWasWritten(t *testing.T) {
	for _, text := range []string{"plain text", "100% of 5%d and %s, 50%% off %", "first line\nsecond 10% line"} {
		t.Run(text, func(t *testing.T) {
			socket := filepath.Join(Dir(t), "milter.sock")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			srv := &milter.Server{Name: "test", Handler: refusal(text)}
			done := make(chan error)
			go func() { done <- srv.Serve(l) }()
			s := StartSendmail(t, SendmailConfig{Milter: "S=local:" + socket + ", F=T"})
			r := sendBy(t, s, bank, letter("x"))
			if want := strings.ReplaceAll("5.7.1 "+text, "\n", "\n5.7.1 "); r.Code != 550 || r.Text != want {
				t.Errorf("reply = %v; want 550 %q\n%s", r, want, s.Log())
			}
			s.Stop()
			if err := srv.Shutdown(inTime(t)); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
}

func TestStopOfSendmailLeavesNothing(t *testing.T) {
	s := StartSendmail(t, SendmailConfig{})
	session, err := s.Session(bank) // open, so that a child is at work
	if err != nil {
		t.Fatal(err)
	}
	pids := s.Processes()
	if len(pids) < 2 {
		t.Errorf("Processes() = %v; want the daemon and a session", pids)
	}
	start := time.Now()
	s.Stop()
	t.Logf("stop: %v", time.Since(start))
	for _, pid := range pids {
		if p, ok := readStat(fmt.Sprintf("/proc/%d/stat", pid)); ok && p.state != "Z" {
			t.Errorf("process %d is there, state %s", pid, p.state)
		}
	}
	if r, err := session.Command("NOOP"); err == nil && r.Code != 421 {
		t.Errorf("the session goes on: %v", r)
	}
}

func TestAFailedStartOfSendmailShowsWhatIsWrong(t *testing.T) {
	root, err := unpacked()
	if err != nil {
		t.Fatal(err)
	}
	s := &Sendmail{t: t, root: root, dir: Dir(t)}
	t.Cleanup(s.Stop)
	err = s.start(SendmailConfig{MC: "LOCAL_CONFIG\nO NoSuchOption=1\nV99\n"})
	if err == nil || !strings.Contains(err.Error(), "sendmail.cf: line") {
		t.Errorf("start = %v; want the line of sendmail.cf", err)
	}
}
