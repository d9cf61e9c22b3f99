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
	"syscall"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/internal/mtatest"
)

// setupHost is a host with a private Postfix, chrooted as Debian's, and a daemon
// whose socket is below the queue directory, which Postfix does not ask yet.
type setupHost struct {
	*host
	postfix *mtatest.Postfix
	conf    string // configuration directory of Postfix
}

func newSetupHost(t *testing.T, profile, owner string, cfg mtatest.PostfixConfig) *setupHost {
	t.Helper()
	cfg.Chroot = true
	p := mtatest.StartPostfix(t, cfg)
	h := groupHost(t, daemonUser, fmt.Sprintf("socket_owner = %q", owner))
	s := &setupHost{h, p, filepath.Join(filepath.Dir(p.QueueDir()), "conf")}
	text, err := os.ReadFile(h.config())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(p.QueueDir(), "dmarcgate")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	old := h.socket
	h.socket = filepath.Join(dir, "milter.sock")
	changed := strings.Replace(strings.Replace(string(text), old, h.socket, 1), `profile = "strict"`, fmt.Sprintf("profile = %q", profile), 1)
	if err := os.WriteFile(h.config(), []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

// setup runs dmarcgate setup postfix on the instance. It returns when every process
// that it has started has ended, for they hold its output.
func (s *setupHost) setup(env string, args ...string) (code int, out string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), binary(s.t), append([]string{"setup", "postfix", "-c", s.config(), "--config-dir", s.conf}, args...)...)
	cmd.Env = append(os.Environ(), env)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

// mustSetup is setup that has to succeed and to print a text.
func (s *setupHost) mustSetup(want string, args ...string) string {
	s.t.Helper()
	code, out := s.setup("", args...)
	if code != 0 || !strings.Contains(out, want) {
		s.t.Fatalf("setup postfix %q = %d, %s; want 0 and %q\nlog of Postfix:\n%s", args, code, out, want, s.postfix.Log())
	}
	return out
}

// confState is everything in the configuration directory of Postfix.
type confState map[string]string

func (s *setupHost) state() confState {
	s.t.Helper()
	state := confState{}
	err := filepath.WalkDir(s.conf, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		state[path] = fmt.Sprint(info.Mode())
		if d.Type().IsRegular() {
			text, err := os.ReadFile(path)
			state[path] += fmt.Sprint(info.ModTime(), info.Sys().(*syscall.Stat_t).Ino, "\n") + string(text)
			return err
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

// unchanged compares the configuration directory with an earlier state.
func (s *setupHost) unchanged(what string, before confState) {
	s.t.Helper()
	after := s.state()
	for path, text := range before {
		if after[path] != text {
			s.t.Errorf("%s: %s is now\n%s\nwant\n%s", what, path, after[path], text)
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			s.t.Errorf("%s: %s is new", what, path)
		}
	}
}

// answers waits until Postfix answers a spoof with this code: an smtpd that was idle
// during a reload takes one more session with its former settings.
func (s *setupHost) answers(want int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), mtaTime)
	defer cancel()
	var got int
	err := childtest.Poll(ctx, func() bool {
		r, err := s.postfix.Send(mtatest.Client{Addr: "192.0.2.66", Name: "[UNAVAILABLE]", Helo: "[192.0.2.66]"},
			mtatest.Mail{From: "a@bad.example", Rcpts: []string{"user@receiver.example"}, Data: []byte("From: a@bad.example\r\nSubject: x\r\n\r\nhello\r\n")})
		got = r.Code
		return err == nil && got == want
	})
	if err != nil {
		s.t.Errorf("reply = %d, %v; want %d\n%s", got, err, want, s.postfix.Log())
	}
}

func TestSetupPostfixMakesItsChangesAndTakesThemBack(t *testing.T) {
	t.Parallel() // they wait for Postfix most of the time
	s := newSetupHost(t, "strict", ":postfix", mtatest.PostfixConfig{
		Milter: "{ inet:127.0.0.1:1, connect_timeout=1s, default_action=accept }",
		MasterCF: `
127.0.0.1:9 inet n - y - - smtpd
  # comes back from a content filter
  -o content_filter= -o mynetworks=127.0.0.0/8
submission inet n - y - - smtpd -o smtpd_sasl_auth_enable=yes
`})

	d := s.start()
	defer d.stop()
	before := s.state()

	out := s.mustSetup("default_action=tempfail")
	for _, want := range []string{"127.0.0.1:9/inet", "-o { smtpd_milters = {inet:127.0.0.1:1", "unchanged: submission/inet", "--apply"} {
		if !strings.Contains(out, want) {
			t.Errorf("setup postfix prints\n%s\nwant %q", out, want)
		}
	}
	s.unchanged("setup without --apply", before)
	s.answers(250)

	s.mustSetup("tested: the daemon has seen message", "--apply")
	s.answers(550)
	if got, err := s.postfix.Command("postconf", "-h", "smtpd_milters"); err != nil || !strings.HasPrefix(got, "{ inet:127.0.0.1:1, connect_timeout=1s, default_action=accept }, { unix:dmarcgate/milter.sock, ") {
		t.Errorf("smtpd_milters = %s, %v; want the other milter first, as it was", got, err)
	}
	applied := s.state()
	s.mustSetup("nothing to change", "--apply")
	s.unchanged("a second --apply", applied)
	ctx, cancel := context.WithTimeout(t.Context(), mtaTime)
	defer cancel()
	if err := childtest.Poll(ctx, func() bool {
		queue, err := s.postfix.Command("postqueue", "-p")
		return err == nil && strings.Contains(queue, "empty")
	}); err != nil {
		t.Errorf("the queue is not empty: %v\n%s", err, s.postfix.Log())
	}
	for _, m := range s.postfix.Mails() {
		if bytes.Contains(m.Data, []byte("Subject: test message")) {
			t.Errorf("a test message was delivered to %v", m.Rcpts)
		}
	}

	s.mustSetup("is without the changes", "--undo")
	s.unchanged("--undo", before)
	s.answers(250)
	s.mustSetup("nothing to undo", "--undo")
}

func TestSetupPostfixKilledAtAnyStepLeavesPostfixAsItWas(t *testing.T) {
	t.Parallel() // they wait for Postfix most of the time
	s := newSetupHost(t, "strict", ":postfix", mtatest.PostfixConfig{MasterCF: "127.0.0.1:7 inet n - y - - smtpd\n  -o content_filter=\n"})
	d := s.start()
	defer d.stop()
	before := s.state()
	for _, step := range []string{"begun", "edited", "noted", "replaced master.cf", "replaced main.cf", "reloaded", "probed", "kept"} {
		code, out := s.setup("DMARCGATE_KILL_AT="+step, "--apply")
		if code != -1 {
			t.Fatalf("setup killed at %q = %d, %s; want an end by a signal", step, code, out)
		}
		s.unchanged("killed at "+step, before)
	}
	s.answers(250)
	code, out := s.setup("DMARCGATE_KILL_AT=finished", "--apply")
	if code != -1 {
		t.Fatalf("setup killed at the end = %d, %s", code, out)
	}
	s.mustSetup("nothing to change", "--apply")
	s.mustSetup("is without the changes", "--undo")
	s.unchanged("--undo", before)
}

func TestSetupPostfixWithoutTheGuardIsRepairedByTheNextRun(t *testing.T) {
	t.Parallel() // they wait for Postfix most of the time
	s := newSetupHost(t, "strict", ":postfix", mtatest.PostfixConfig{})
	d := s.start()
	defer d.stop()
	before := s.state()
	// The guard dies with everything else, as at a power cut.
	cmd := exec.CommandContext(t.Context(), binary(t), "setup", "postfix", "-c", s.config(), "--config-dir", s.conf, "--apply")
	cmd.Env = append(os.Environ(), "DMARCGATE_KILL_AT=replaced main.cf", "DMARCGATE_NO_GUARD=1")
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Fatalf("setup = %s; want that it was killed", out)
	}
	s.mustSetup("are back", "--undo")
	s.unchanged("the next run", before)
}

func TestSetupPostfixChangesNothingWhereItFails(t *testing.T) {
	t.Parallel() // they wait for Postfix most of the time
	t.Run("Postfix may not use the socket", func(t *testing.T) {
		s := newSetupHost(t, "monitor", ":daemon", mtatest.PostfixConfig{})
		d := s.start()
		defer d.stop()
		s.fails("permission denied")
	})
	t.Run("no daemon", func(t *testing.T) {
		newSetupHost(t, "monitor", ":postfix", mtatest.PostfixConfig{}).fails("no such file")
	})
	t.Run("the test message is refused", func(t *testing.T) {
		s := newSetupHost(t, "monitor", ":postfix", mtatest.PostfixConfig{MainCF: "smtpd_recipient_restrictions = reject"})
		d := s.start()
		defer d.stop()
		s.fails("did not take the test message")
	})
	t.Run("the daemon does not see the message", func(t *testing.T) {
		// A map takes the milters off for this client.
		s := newSetupHost(t, "monitor", ":postfix", mtatest.PostfixConfig{MainCF: "smtpd_milter_maps = inline:{127.0.0.1=DISABLE}"})
		d := s.start()
		defer d.stop()
		s.fails("did not see it")
	})
	t.Run("main.cf is marked read-only", func(t *testing.T) {
		s := newSetupHost(t, "monitor", ":postfix", mtatest.PostfixConfig{})
		d := s.start()
		defer d.stop()
		if err := os.Chmod(filepath.Join(s.conf, "main.cf"), 0o444); err != nil {
			t.Fatal(err)
		}
		s.fails("read-only")
	})
	t.Run("main.cf cannot be replaced", func(t *testing.T) {
		s := newSetupHost(t, "monitor", ":postfix", mtatest.PostfixConfig{})
		d := s.start()
		defer d.stop()
		file := filepath.Join(s.conf, "main.cf")
		if err := syscall.Mount(file, file, "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		defer syscall.Unmount(file, 0)
		s.fails("main.cf")
	})
}

// fails runs setup postfix --apply, which must fail with this text and leave
// everything as it was.
func (s *setupHost) fails(want string) {
	s.t.Helper()
	before := s.state()
	code, out := s.setup("", "--apply")
	if code != exitFailed || !strings.Contains(out, want) {
		s.t.Errorf("setup postfix --apply = %d, %s; want %d and %q\n%s", code, out, exitFailed, want, s.postfix.Log())
	}
	s.unchanged(want, before)
}

func TestSetupPostfixUndoKeepsWhatOthersHaveChanged(t *testing.T) {
	t.Parallel() // they wait for Postfix most of the time
	s := newSetupHost(t, "monitor", ":postfix", mtatest.PostfixConfig{Milter: "unix:first.sock"})
	// The other milters are not there; mail goes on.
	if err := s.postfix.Postconf("milter_default_action = accept"); err != nil {
		t.Fatal(err)
	}
	d := s.start()
	defer d.stop()
	s.mustSetup("tested", "--apply")
	now, err := s.postfix.Command("postconf", "-h", "smtpd_milters")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.postfix.Postconf("smtpd_milters = "+strings.TrimSpace(now)+", unix:later.sock", "notify_classes = resource"); err != nil {
		t.Fatal(err)
	}
	s.mustSetup("is without the changes", "--undo")
	got, err := s.postfix.Command("postconf", "-h", "smtpd_milters", "notify_classes")
	if want := "unix:first.sock, unix:later.sock\nresource\n"; err != nil || got != want {
		t.Errorf("after --undo = %q, %v; want %q", got, err, want)
	}
	if _, err := os.Stat(filepath.Join(s.conf, "dmarcgate-setup")); !os.IsNotExist(err) {
		t.Errorf("the folder of setup: %v; want none", err)
	}
}

func TestSetupPostfixFollowsTheProfile(t *testing.T) {
	t.Parallel() // they wait for Postfix most of the time
	s := newSetupHost(t, "monitor", ":postfix", mtatest.PostfixConfig{})
	d := s.start()
	before := s.state()
	s.mustSetup("default_action=accept", "--apply")
	d.stop()
	text, err := os.ReadFile(s.config())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config(), bytes.Replace(text, []byte(`"monitor"`), []byte(`"strict"`), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	d = s.start()
	defer d.stop()
	s.mustSetup("default_action=tempfail", "--apply")
	s.answers(550)
	s.mustSetup("is without the changes", "--undo")
	s.unchanged("--undo of two changes", before)
}

// TestSetupPostfixRunsAlone: two at once would take each other's changes back.
func TestSetupPostfixRunsAlone(t *testing.T) {
	t.Parallel() // they wait for Postfix most of the time
	s := newSetupHost(t, "monitor", ":postfix", mtatest.PostfixConfig{})
	d := s.start()
	defer d.stop()
	dir, err := os.Open(s.conf)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.fails("another dmarcgate setup is running")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("setup waited %v for another one; want an error at once", took)
	}
}
