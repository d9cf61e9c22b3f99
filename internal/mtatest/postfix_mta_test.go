//go:build mta

package mtatest

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-milter"
)

func TestXCLIENTChangesTheClient(t *testing.T) {
	p := StartPostfix(t, PostfixConfig{})
	tests := []struct {
		client           Client
		logged, received string
	}{
		{bank, "client=mail.bank.example[192.0.2.1]", "from helo.bank.example (mail.bank.example [192.0.2.1])"},
		{Client{Addr: "2001:db8::1"}, "client=unknown[2001:db8::1]", "from [IPv6:2001:db8::1] (unknown [IPv6:2001:db8::1])"},
	}
	for _, tt := range tests {
		t.Run(tt.logged, func(t *testing.T) {
			id := wantReceived(t, p, tt.client, tt.received)
			if _, err := p.WaitLog(inTime(t), id, tt.logged); err != nil {
				t.Errorf("%v\n%s", err, p.Log())
			}
		})
	}
}

func TestASessionGoesOnAfterARefusalAndSendsSMTPUTF8(t *testing.T) {
	p := StartPostfix(t, PostfixConfig{})
	s, err := p.Session(bank)
	if err != nil {
		t.Fatal(err)
	}
	m := letter("ümlaut")
	m.From, m.Params = "jürgen@sender.example", []string{"SMTPUTF8"}
	refused := letter("x")
	refused.Rcpts = []string{"b@elsewhere.example"}
	if r, err := s.Send(refused); err != nil || r.Code != 554 {
		t.Errorf("Send to another domain = %v, %v; want 554", r, err)
	}
	if r, err := s.Send(m); err != nil || r.Code != 250 {
		t.Errorf("Send with SMTPUTF8 after a refusal = %v, %v; want 250", r, err)
	}
	if _, err := p.Delivered(inTime(t), func(got Mail) bool { return got.From == m.From }); err != nil {
		t.Errorf("%v\n%s", err, p.Log())
	}
	// The client that is played is not one that may say XCLIENT.
	if r, err := s.XCLIENT("198.51.100.7", "", "other.example"); err != nil || r.Code != 550 {
		t.Fatalf("XCLIENT again = %v, %v; want 550", r, err)
	}
	if r, err := s.HELO("other.example"); err != nil || r.Code != 250 {
		t.Fatalf("HELO = %v, %v; want 250", r, err)
	}
	if r, err := s.Send(letter("y")); err != nil || r.Code != 250 {
		t.Errorf("Send = %v, %v; want 250", r, err)
	}
}

func TestAHeldMessageIsListedReadAndReleased(t *testing.T) {
	p := StartPostfix(t, PostfixConfig{})
	checks := filepath.Join(p.confDir(), "header_checks")
	if err := writeFile(checks, "/^Subject: suspicious/ HOLD looks odd\n"); err != nil {
		t.Fatal(err)
	}
	if err := p.Postconf("header_checks = regexp:" + checks); err != nil {
		t.Fatal(err)
	}
	if err := p.Reload(); err != nil {
		t.Fatal(err)
	}
	m := letter("suspicious")
	m.From = ""
	id := send(t, p, bank, m).QueueID()
	held, err := p.HoldQueue()
	if err != nil || len(held) != 1 {
		t.Fatalf("HoldQueue() = %v, %v; want one message\n%s", held, err, p.Log())
	}
	got := held[0]
	if got.ID != id || got.Queue != "hold" || got.Sender != "" || !slices.Equal(got.Rcpts, m.Rcpts) || got.Size == 0 || !strings.HasSuffix(got.Hold, ": looks odd") {
		t.Errorf("HoldQueue() = %+v; want %s from the null sender to %v, looks odd", got, id, m.Rcpts)
	}
	queued, err := p.Queued(id)
	if err != nil || !strings.HasSuffix(string(queued.Data), string(m.Data)) {
		t.Errorf("Queued(%s) = %q, %v; want it to end in %q", id, queued.Data, err, m.Data)
	}
	if len(p.Mails()) != 0 {
		t.Error("a message on hold was delivered")
	}
	if err := p.Release(id); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Delivered(inTime(t), func(m Mail) bool { return m.QueueID() == id }); err != nil {
		t.Errorf("after Release: %v\n%s", err, p.Log())
	}
}

// quarantine is a milter that puts everything on hold.
type quarantine struct{ milter.NoOpMilter }

func (quarantine) Body(m *milter.Modifier) (milter.Response, error) {
	if err := m.Quarantine("by a milter"); err != nil {
		return nil, err
	}
	return milter.RespAccept, nil
}

// startMilter serves on a UNIX socket that Postfix may open.
func startMilter(t *testing.T, socket string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	srv := milter.Server{NewMilter: func() milter.Milter { return quarantine{} }, Actions: milter.OptQuarantine}
	done := make(chan error)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
}

func TestPostfixAsksTheMilter(t *testing.T) {
	for _, chroot := range []bool{false, true} {
		name := map[bool]string{false: "with an absolute socket", true: "chrooted as in Debian"}[chroot]
		t.Run(name, func(t *testing.T) {
			dir := Dir(t)
			socket := filepath.Join(dir, "milter.sock")
			cfg := PostfixConfig{Milter: "unix:" + socket}
			if chroot {
				cfg = PostfixConfig{Milter: "unix:gate/milter.sock", Chroot: true}
			}
			p := StartPostfix(t, cfg)
			if chroot {
				socket = filepath.Join(p.QueueDir(), "gate/milter.sock")
				if err := mkdir(filepath.Dir(socket), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if r := send(t, p, bank, letter("x")); r.Code != 451 {
				t.Errorf("without a milter: %v; want 451", r)
			}
			startMilter(t, socket)
			id := send(t, p, bank, letter("x")).QueueID()
			held, err := p.HoldQueue()
			if err != nil || len(held) != 1 || held[0].ID != id || !strings.Contains(held[0].Hold, "END-OF-MESSAGE from mail.bank.example[192.0.2.1]") {
				t.Errorf("HoldQueue() = %+v, %v; want %s, held at end of message\n%s", held, err, id, p.Log())
			}
		})
	}
}

func TestASessionAfterReloadHasTheNewSettings(t *testing.T) {
	p := StartPostfix(t, PostfixConfig{})
	for _, banner := range []string{"first", "second", "third"} {
		start := time.Now()
		if err := p.Postconf("smtpd_banner = mx.receiver.example " + banner); err != nil {
			t.Fatal(err)
		}
		t.Logf("postconf: %v", time.Since(start))
		if err := p.Reload(); err != nil {
			t.Fatal(err)
		}
		t.Logf("reload: %v", time.Since(start))
		s := newSession(t, p.Addr())
		if !strings.HasSuffix(s.Greeting.Text, banner) {
			t.Errorf("greeting %q; want %q", s.Greeting.Text, banner)
		}
		if _, err := s.QUIT(); err != nil {
			t.Error(err)
		}
	}
}

func TestAFailedStartShowsTheLog(t *testing.T) {
	sink := newSink(t)
	p := &Postfix{instance: instance{t: t, sink: sink, dir: Dir(t)}}
	err := p.start(PostfixConfig{MasterCF: "nonsense inet n\n"})
	if err == nil || !strings.Contains(err.Error(), "master.cf") {
		t.Errorf("start = %v; want the complaint about master.cf", err)
	}
	if p.process != nil && len(p.process.processes()) != 0 {
		t.Errorf("processes left: %v", p.process.processes())
	}
}

func TestTwoInstancesRunBesideEachOther(t *testing.T) {
	start := time.Now()
	a, b := StartPostfix(t, PostfixConfig{}), StartPostfix(t, PostfixConfig{})
	t.Logf("two starts: %v", time.Since(start))
	a.Stop()
	if r := send(t, b, bank, letter("x")); r.Code != 250 {
		t.Errorf("the other one: %v; want 250", r)
	}
}
