//go:build linux

package mtatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Sendmail is a private instance of Sendmail that delivers to a Sink. It is
// the real one of Debian, on a network of its own, where a client has the
// address that the test says. Its methods may be used by several goroutines,
// except Stop.
type Sendmail struct {
	instance
	root string // where the packages are unpacked
	host *host
}

// StartSendmail starts a private Sendmail and stops it when the test ends. It
// takes about a tenth of a second. It makes no connection, so a milter has
// seen nothing of it when the test begins.
func StartSendmail(t testing.TB, cfg SendmailConfig) *Sendmail {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a network for Sendmail can only be made by root")
	}
	root, err := unpacked()
	if err != nil {
		t.Fatal(err)
	}
	s := &Sendmail{instance: instance{t: t, dir: workDir(t, cfg.Dir)}, root: root}
	if err := need(s.program()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	if err := s.start(cfg); err != nil {
		t.Fatalf("starting Sendmail: %v", err)
	}
	return s
}

func (s *Sendmail) start(cfg SendmailConfig) error {
	var err error
	if s.host, err = newHost(s.dir, "mx.receiver.example"); err != nil {
		return err
	}
	err = s.host.do(func() (err error) {
		s.sink, err = StartSink()
		return err
	})
	if err != nil {
		return err
	}
	if err := s.layOut(cfg); err != nil {
		return err
	}
	// Sendmail logs through syslog alone; -d89.8 writes the same lines to the
	// file of -D as well.
	err = s.host.do(func() (err error) {
		s.process, err = run(s.logFile(), s.program(), "-C"+s.cfFile(), "-D", s.logFile(), "-d89.8", "-bD")
		return err
	})
	if err != nil {
		return err
	}
	return s.process.ready(func() bool {
		info, err := os.Stat(filepath.Join(s.dir, "pid"))
		return err == nil && info.Size() > 0 && s.listens("127.0.0.1") && s.listens("::1")
	})
}

// listens reports whether somebody takes connections at an address. The file
// with the process id can be there a moment before.
func (s *Sendmail) listens(addr string) bool {
	return s.host.do(func() error {
		conn, err := net.Dial("tcp", net.JoinHostPort(addr, strconv.Itoa(smtpPort)))
		if err != nil {
			return err
		}
		return conn.Close()
	}) == nil
}

// layOut makes the directories and files of the instance.
func (s *Sendmail) layOut(cfg SendmailConfig) error {
	text, err := cfg.mc(s.dir, s.sink.Addr())
	if err != nil {
		return err
	}
	if err := mkdir(s.queueDir(), 0o700); err != nil {
		return err
	}
	mcFile := filepath.Join(s.dir, "sendmail.mc")
	for file, text := range map[string]string{mcFile: text, filepath.Join(s.dir, "service.switch"): serviceSwitch} {
		if err := writeFile(file, text); err != nil {
			return err
		}
	}
	cf, err := s.m4(mcFile)
	if err != nil {
		return err
	}
	return writeFile(s.cfFile(), cf)
}

// m4 makes sendmail.cf from sendmail.mc.
func (s *Sendmail) m4(mcFile string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	lib := filepath.Join(s.root, "usr/share/sendmail/cf") + "/"
	out, err := exec.CommandContext(ctx, filepath.Join(s.root, "usr/bin/m4"), "-D_CF_DIR_="+lib, lib+"m4/cf.m4", mcFile).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("m4: %w: %s", err, exit.Stderr)
	}
	return string(out), err
}

func (s *Sendmail) program() string  { return filepath.Join(s.root, "usr/libexec/sendmail/sendmail") }
func (s *Sendmail) queueDir() string { return filepath.Join(s.dir, "queue") }
func (s *Sendmail) cfFile() string   { return filepath.Join(s.dir, "sendmail.cf") }

// Session opens an SMTP session as this client, from its address: greeted and
// EHLO done. It is closed when the test ends.
func (s *Sendmail) Session(c Client) (*Session, error) {
	conn, err := s.host.dial(c, smtpPort)
	if err != nil {
		return nil, err
	}
	session, err := greet(conn)
	if err != nil {
		return nil, err
	}
	s.t.Cleanup(func() { session.Close() })
	_, err = session.EHLO(c.helo())
	return session, err
}

// Send sends one message in a session of its own as this client and returns
// the answer to it.
func (s *Sendmail) Send(c Client, m Mail) (Reply, error) {
	session, err := s.Session(c)
	if err != nil {
		return Reply{}, err
	}
	return session.sendOnly(m)
}

// Stop ends Sendmail at once, open sessions too, and fails the test when a
// process of it stays. The log can still be read. Stop may be called again.
func (s *Sendmail) Stop() {
	s.once.Do(func() {
		if s.process != nil {
			s.stopDaemon()
		}
		if s.sink != nil {
			s.sink.Close()
		}
		if s.host != nil {
			s.host.close()
		}
	})
}

// stopDaemon tells the sessions too: they do not end with the daemon.
func (s *Sendmail) stopDaemon() {
	for _, pid := range s.process.processes() {
		syscall.Kill(pid, syscall.SIGTERM)
	}
	if err := s.process.stop(); err != nil {
		s.t.Errorf("stopping Sendmail: %v", err)
	}
}
