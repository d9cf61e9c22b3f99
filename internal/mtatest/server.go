package mtatest

import (
	"context"
	"dmarcgate/internal/childtest"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTime = 20 * time.Second // for a server to answer, on a busy machine
	stopTime  = 15 * time.Second // the patience of a server, on a busy machine
	logTail   = 4096             // bytes of a log shown when a start fails
)

// server is one foreign server in the foreground: a child of this process and
// leader of a session, so that what it forks can be told by the session id.
type server struct {
	name string
	log  string // where it and we look for its complaints
	pid  int
	// patience is how long stop waits from SIGTERM to SIGKILL, and again until
	// all are gone.
	patience time.Duration

	unguard func()
	done    chan struct{} // closed when the leader has been waited for
	err     error         // how it ended; read after done
}

// run starts a program whose standard output goes to the end of the log file.
func run(log, program string, args ...string) (*server, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = filepath.Dir(log)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	s := &server{name: filepath.Base(program), log: log, patience: stopTime, done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.pid = cmd.Process.Pid
	go func() {
		s.err = cmd.Wait()
		close(s.done)
	}()
	if s.unguard, err = guard(s.pid); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// guard starts a shell that ends the server's process group should this
// process die, however it dies: then the pipe between them closes. (The
// kernel's own way, PR_SET_PDEATHSIG, is forgotten when a process changes its
// user for a moment, as Postfix does.) The returned function takes the guard
// off.
func guard(pid int) (unguard func(), err error) {
	cmd := exec.Command("/bin/sh", "-c", `read -r _ || { kill -s TERM -- "-$0"; kill -s CONT -- "-$0"; }`, strconv.Itoa(pid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of reach of the terminal's ^C
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() {
		fmt.Fprintln(pipe)
		pipe.Close()
		cmd.Wait()
	}), nil
}

// ready waits until up answers true, and fails when the server ends first or
// does not get there in time.
func (s *server) ready(up func() bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	err := childtest.Poll(ctx, func() bool { return s.ended() || up() })
	switch {
	case s.ended():
		return fmt.Errorf("%s ended at once (%v); its log ends in:\n%s", s.name, s.err, s.tail())
	case err != nil:
		return fmt.Errorf("%s did not answer within %v; its log ends in:\n%s", s.name, startTime, s.tail())
	}
	return nil
}

func (s *server) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// stop ends the server and everything it started, and reports what would not
// go. Stopping it again does nothing.
func (s *server) stop() error {
	if s.unguard != nil {
		defer s.unguard()
	}
	if !s.ended() {
		syscall.Kill(s.pid, syscall.SIGTERM)
		syscall.Kill(s.pid, syscall.SIGCONT) // in case it was suspended
	}
	if s.gone() {
		return nil
	}
	for _, pid := range s.processes() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	if s.gone() {
		return fmt.Errorf("%s had to be killed", s.name)
	}
	return fmt.Errorf("%s left processes behind: %v", s.name, s.processes())
}

// gone waits until the leader has ended and nothing of its session runs.
func (s *server) gone() bool {
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	return childtest.Poll(ctx, func() bool { return s.ended() && len(s.processes()) == 0 }) == nil
}

// processes lists the running processes of the server's session. One that has
// ended and waits for init to collect it does not run.
func (s *server) processes() []int {
	var pids []int
	for _, p := range childtest.Processes() {
		if p.Session == s.pid && p.State != "Z" && p.State != "X" {
			pids = append(pids, p.ID)
		}
	}
	return pids
}

// signal sends a signal to the leader and waits until the kernel shows it in
// one of these states (proc(5)).
func (s *server) signal(sig syscall.Signal, states string) error {
	if err := syscall.Kill(s.pid, sig); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.patience)
	defer cancel()
	return childtest.Poll(ctx, func() bool {
		p, ok := childtest.ReadProcess(s.pid)
		return ok && strings.Contains(states, p.State)
	})
}

func (s *server) tail() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logTail):])
}

// need reports a program that is not installed.
func need(programs ...string) error {
	for _, p := range programs {
		if _, err := os.Stat(p); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is missing: run internal/mtatest/install.sh", p)
		}
	}
	return nil
}
