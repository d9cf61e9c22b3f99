//go:build mta

package mtatest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dmarcgate/milter"
)

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
			wantReceived(t, s, tt.client, tt.received)
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
	send(t, s, bank, letter("x"))
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
	if r := send(t, s, bank, m); r.Code != 451 {
		t.Errorf("without a milter: %v; want 451\n%s", r, s.Log())
	}
	startMilter(t, socket)
	r := send(t, s, bank, m)
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
			r := send(t, s, bank, letter("x"))
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

func TestAFailedStartOfSendmailShowsWhatIsWrong(t *testing.T) {
	root, err := unpacked()
	if err != nil {
		t.Fatal(err)
	}
	s := &Sendmail{instance: instance{t: t, dir: Dir(t)}, root: root}
	t.Cleanup(s.Stop)
	err = s.start(SendmailConfig{MC: "LOCAL_CONFIG\nO NoSuchOption=1\nV99\n"})
	if err == nil || !strings.Contains(err.Error(), "sendmail.cf: line") {
		t.Errorf("start = %v; want the line of sendmail.cf", err)
	}
}
