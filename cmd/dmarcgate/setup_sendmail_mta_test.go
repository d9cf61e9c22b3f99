//go:build mta

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/internal/mtatest"
)

// sendmailHost is a host with a private Sendmail and a daemon that Sendmail does
// not ask yet.
type sendmailHost struct {
	*host
	sendmail *mtatest.Sendmail
	conf     string // directory of sendmail.mc and sendmail.cf
}

func newSendmailHost(t *testing.T, cfg mtatest.SendmailConfig) *sendmailHost {
	t.Helper()
	cfg.Dir = mtatest.Dir(t)
	m := mtatest.StartSendmail(t, cfg)
	h := groupHost(t, daemonUser, `socket_owner = ":root"`)
	return &sendmailHost{host: h, sendmail: m, conf: cfg.Dir}
}

// run runs dmarcgate setup sendmail and what it starts to its end.
func (s *sendmailHost) run(env string, args ...string) (code int, out string) {
	s.t.Helper()
	unpacked, err := filepath.Abs("../../.cache/sendmail/current")
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), binary(s.t), append([]string{"setup", "sendmail", "-c", s.config(),
		"--config-dir", s.conf, "--cf-dir", filepath.Join(unpacked, "usr/share/sendmail/cf")}, args...)...)
	cmd.Env = append(os.Environ(), env, "PATH="+filepath.Join(unpacked, "usr/bin")+":"+os.Getenv("PATH"))
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

func (s *sendmailHost) must(want string, args ...string) {
	s.t.Helper()
	if code, out := s.run("", args...); code != 0 || !strings.Contains(out, want) {
		s.t.Fatalf("setup sendmail %q = %d, %s; want 0 and %q\nlog of Sendmail:\n%s", args, code, out, want, s.sendmail.Log())
	}
}

// files are sendmail.mc and sendmail.cf, and the names beside them that setup makes.
func (s *sendmailHost) files() (out string) {
	s.t.Helper()
	for _, name := range []string{"sendmail.mc", "sendmail.cf"} {
		text, err := os.ReadFile(filepath.Join(s.conf, name))
		if err != nil {
			s.t.Fatal(err)
		}
		out += string(text)
	}
	if _, err := os.Stat(filepath.Join(s.conf, "dmarcgate-setup")); err == nil {
		out += "dmarcgate-setup\n"
	}
	return out
}

// answers sends a spoof, which gets this code. A message that is taken is also
// delivered when answers returns.
func (s *sendmailHost) answers(want int) {
	s.t.Helper()
	subject := fmt.Sprintf("spoof %d", len(s.sendmail.Mails()))
	r, err := s.sendmail.Send(mtatest.Client{Addr: "192.0.2.66", Helo: "[192.0.2.66]"},
		mtatest.Mail{From: "a@bad.example", Rcpts: []string{"user@receiver.example"}, Data: []byte("From: a@bad.example\r\nSubject: " + subject + "\r\n\r\nhello\r\n")})
	if err != nil || r.Code != want {
		s.t.Errorf("reply = %v, %v; want %d\n%s", r, err, want, s.sendmail.Log())
	}
	if r.Code != 250 {
		return
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), mtaTime)
	defer cancel()
	if _, err := s.sendmail.Delivered(ctx, func(m mtatest.Mail) bool { return bytes.Contains(m.Data, []byte("Subject: "+subject)) }); err != nil {
		s.t.Errorf("the message was not delivered: %v\n%s", err, s.sendmail.Log())
	}
}

func TestSetupSendmailMakesItsChangesAndTakesThemBack(t *testing.T) {
	t.Parallel()
	s := newSendmailHost(t, mtatest.SendmailConfig{MC: "INPUT_MAIL_FILTER(`other', `S=local:/nowhere')dnl"})
	d := s.start()
	defer d.stop()
	before := s.files()
	s.must(fmt.Sprintf("INPUT_MAIL_FILTER(`dmarcgate', `S=local:%s, F=T, T=C:30s;S:30s;R:10s;E:5m')dnl", s.socket))
	if s.files() != before {
		t.Error("setup sendmail without --apply has changed files")
	}
	s.answers(250)

	s.must("done", "--apply")
	s.answers(550)
	applied := s.files()
	if !strings.Contains(applied, "\nO InputMailFilters=other, dmarcgate\n") {
		t.Error("sendmail.cf does not have the milter behind the other")
	}
	s.must("nothing to change", "--apply")
	if s.files() != applied {
		t.Error("a second --apply has changed files")
	}

	s.must("is without the changes", "--undo")
	if s.files() != before {
		t.Error("--undo has not put the files back")
	}
	s.answers(250)
	s.must("nothing to undo", "--undo")
}

func TestSetupSendmailKilledAtAnyStepLeavesSendmailAsItWas(t *testing.T) {
	t.Parallel()
	s := newSendmailHost(t, mtatest.SendmailConfig{})
	d := s.start()
	defer d.stop()
	before := s.files()
	for _, step := range []string{"begun", "edited", "noted", "replaced sendmail.mc", "replaced sendmail.cf", "kept"} {
		if code, out := s.run("DMARCGATE_KILL_AT="+step, "--apply"); code != -1 {
			t.Fatalf("setup killed at %q = %d, %s; want an end by a signal", step, code, out)
		}
		if s.files() != before {
			t.Errorf("killed at %q: the files have changed", step)
		}
	}
	s.answers(250)
}

func TestSetupSendmailLeavesAFileThatIsMadeByHand(t *testing.T) {
	t.Parallel()
	s := newSendmailHost(t, mtatest.SendmailConfig{})
	d := s.start()
	defer d.stop()
	cf := filepath.Join(s.conf, "sendmail.cf")
	text, err := os.ReadFile(cf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cf, append(text, "O MaxMessageSize=1000000\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	before := s.files()
	if code, out := s.run("", "--apply"); code != exitFailed || !strings.Contains(out, "by hand") {
		t.Errorf("setup sendmail = %d, %s; want a refusal", code, out)
	}
	if s.files() != before {
		t.Error("the files have changed")
	}
}
