package childtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const deadline = 15 * time.Second // for a process to end, on a busy machine

// TestMain plays the test process that dies.
func TestMain(m *testing.M) {
	runtime.LockOSThread() // so that no test has the first thread, which never ends
	if os.Getenv("CHILDTEST_DIE") != "" {
		cmd := exec.Command("sleep", "600")
		if err := Start(cmd, func(error) {}); err == nil {
			fmt.Println(cmd.Process.Pid)
		}
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	os.Exit(m.Run())
}

// runs reports whether a process has not ended.
func runs(pid int) bool {
	p, ok := ReadProcess(pid)
	return ok && p.State != "Z" && p.State != "X"
}

func TestAProgramOutlivesTheThreadThatAskedForIt(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	ended := make(chan error, 1)
	var thread int
	asked := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		thread = syscall.Gettid()
		asked <- Start(cmd, func(err error) { ended <- err })
	}()
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	gone := func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", thread))
		return os.IsNotExist(err)
	}
	if err := Poll(ctx, gone); err != nil {
		t.Fatal("the thread does not end:", err)
	}
	// The kernel sends the signal before the thread is gone.
	if !runs(cmd.Process.Pid) {
		t.Fatal("the program has ended with the thread")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the program ended with %v; want a word of the signal", err)
	}
}

func TestAProgramEndsWithATestProcessThatIsKilled(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CHILDTEST_DIE=1")
	out, err := cmd.Output()
	if err == nil {
		t.Fatal("the process was not killed")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatalf("no program was started: %q", out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if err := Poll(ctx, func() bool { return !runs(pid) }); err != nil {
		t.Errorf("process %d still runs", pid)
	}
}

func TestAProgramThatIsMissingIsAnError(t *testing.T) {
	if err := Start(exec.Command("/no/such/program"), func(error) { t.Error("a program that was not started has ended") }); err == nil {
		t.Error("no error")
	}
}
