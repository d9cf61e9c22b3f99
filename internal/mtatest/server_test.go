package mtatest

import (
	"context"
	"dmarcgate/internal/childtest"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func runShell(t *testing.T, script string) *server {
	t.Helper()
	s, err := run(filepath.Join(t.TempDir(), "log"), "/bin/sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop() })
	return s
}

func TestStopEndsWhatTheServerStarted(t *testing.T) {
	s := runShell(t, "sleep 600 & sleep 600 & echo up; wait")
	if err := s.ready(func() bool { return s.tail() == "up\n" }); err != nil {
		t.Fatal(err)
	}
	if got := s.processes(); len(got) < 3 || !slices.Contains(got, s.pid) {
		t.Errorf("processes() = %v; want %d and two more", got, s.pid)
	}
	s.patience = time.Second / 10
	// The shell ends at SIGTERM, its children do not: that is worth an error.
	if err := s.stop(); err == nil || !strings.Contains(err.Error(), "had to be killed") {
		t.Errorf("stop() = %v; want it to say that something had to be killed", err)
	}
	if got := s.processes(); len(got) != 0 {
		t.Errorf("processes() after stop = %v; want none", got)
	}
	if err := s.stop(); err != nil {
		t.Errorf("stop() again = %v; want nil", err)
	}
}

func TestAServerThatEndsAtOnceShowsItsLog(t *testing.T) {
	s := runShell(t, "echo no such zone; exit 3")
	err := s.ready(func() bool { return false })
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such zone") {
		t.Errorf("ready() = %v; want the exit status and the log", err)
	}
}

func TestAMissingProgramNamesTheScriptThatInstallsIt(t *testing.T) {
	err := need("/bin/sh", "/usr/sbin/no-such-server")
	if err == nil || !strings.Contains(err.Error(), "no-such-server is missing: run internal/mtatest/install.sh") {
		t.Errorf("need = %v", err)
	}
}

// TestMain plays the test process that dies: see the test below.
func TestMain(m *testing.M) {
	if log := os.Getenv("MTATEST_DIE"); log != "" {
		if s, err := run(log, "/bin/sh", "-c", "sleep 600 & sleep 600 & echo up; wait"); err == nil {
			s.ready(func() bool { return s.tail() == "up\n" })
			fmt.Println(s.pid)
		}
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	os.Exit(m.Run())
}

func TestServersEndWithATestProcessThatIsKilled(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "MTATEST_DIE="+filepath.Join(t.TempDir(), "log"))
	out, err := cmd.Output()
	if err == nil {
		t.Fatal("the process was not killed")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatalf("no server was started: %q", out)
	}
	s := &server{pid: pid}
	ctx, cancel := context.WithTimeout(t.Context(), stopTime)
	defer cancel()
	if err := childtest.Poll(ctx, func() bool { return len(s.processes()) == 0 }); err != nil {
		t.Errorf("left: %v", s.processes())
	}
}
