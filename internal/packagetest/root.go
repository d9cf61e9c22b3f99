//go:build linux

package packagetest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dmarcgate/internal/childtest"
)

// bootTime is how long systemd may take to start the host. It takes about two
// seconds.
const bootTime = 90 * time.Second

// Root is a running host.
type Root struct {
	t   testing.TB
	dir string
	pid int // of systemd, seen from here
}

// Start starts a host, which ends with the test. It takes about four seconds, and
// a minute when the archive has to be made first.
func Start(t testing.TB) *Root {
	t.Helper()
	r := &Root{t: t, dir: unpack(t)}
	r.boot(filepath.Join(checkout(t), "internal/packagetest/boot.sh"))
	return r
}

// unpack returns a folder with a bare Debian, which the test removes.
func unpack(t testing.TB) string {
	t.Helper()
	top := checkout(t)
	archive := filepath.Join(top, ".cache", "packagetest", "bookworm.tar")
	output(t, exec.Command(filepath.Join(top, "internal/packagetest/root.sh"), archive))
	dir, err := os.MkdirTemp("", "mta")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the host: %v", err)
		}
	})
	output(t, exec.Command("tar", "-C", dir, "-xpf", archive))
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// boot starts systemd and returns when all units have started.
func (r *Root) boot(script string) {
	r.t.Helper()
	booted, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: r.Path("/booted.sock"), Net: "unixgram"})
	if err != nil {
		r.t.Fatal(err)
	}
	defer booted.Close()
	group := r.controlGroup()
	defer group.Close()
	var log bytes.Buffer
	cmd := exec.Command("sh", script, r.dir)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		// After the process has joined its group, which is the top of all that it sees.
		Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWCGROUP,
		UseCgroupFD:  true, CgroupFD: int(group.Fd()),
	}
	r.start(cmd)
	if err := hears(booted, "READY=1"); err != nil {
		r.t.Fatalf("the host does not start: %v\n%s", err, log.String())
	}
}

// start starts the first process of the host, and ends it at the end of the test,
// and with it every process of the host.
func (r *Root) start(cmd *exec.Cmd) {
	r.t.Helper()
	ended := make(chan struct{})
	if err := childtest.Start(cmd, func(error) { close(ended) }); err != nil { // it is killed
		r.t.Fatal(err)
	}
	r.pid = cmd.Process.Pid
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
}

// hears waits until systemd tells its state (sd_notify(3)).
func hears(conn *net.UnixConn, want string) error {
	if err := conn.SetReadDeadline(time.Now().Add(bootTime)); err != nil {
		return err
	}
	for buf := make([]byte, 4096); ; {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		if strings.Contains(string(buf[:n]), want) {
			return nil
		}
	}
}

// controlGroup makes the control group of the host, and removes it when the test
// has ended all processes in it.
func (r *Root) controlGroup() *os.File {
	r.t.Helper()
	top := "/sys/fs/cgroup"
	if _, err := os.Stat(top + "/cgroup.procs"); err != nil {
		top += "/unified" // beside groups of version 1
	}
	path := filepath.Join(top, "packagetest-"+strconv.Itoa(os.Getpid())+"-"+filepath.Base(r.dir))
	if err := os.Mkdir(path, 0o755); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if out, err := exec.Command("find", path, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").CombinedOutput(); err != nil {
			r.t.Errorf("removing %s: %v\n%s", path, err, out)
		}
	})
	f, err := os.Open(path)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// Path is where a file of the host is seen from here. What the host mounts, such
// as /run, is not seen.
func (r *Root) Path(file string) string { return filepath.Join(r.dir, file) }

// Try runs a shell command in the host, as root, without a terminal and without
// input, and returns what it prints.
func (r *Root) Try(command string) (string, error) {
	cmd := exec.Command("nsenter", "-t", strconv.Itoa(r.pid), "-m", "-u", "-i", "-n", "-p", "-C", "--", "sh", "-c", command)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Run is Try for a command that must succeed.
func (r *Root) Run(command string) string {
	r.t.Helper()
	out, err := r.Try(command)
	if err != nil {
		r.t.Fatalf("%s: %v\n%s\n%s", command, err, out, r.journal())
	}
	return out
}

// journal returns the end of the log of the host.
func (r *Root) journal() string {
	out, _ := r.Try("journalctl --no-pager -n 40 -o cat 2>&1") // without a log there is nothing to tell
	return out
}

// Inside calls f in the network of the host. Sockets that f opens stay there. f
// starts no goroutine that opens another one.
func (r *Root) Inside(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", r.pid))
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}
