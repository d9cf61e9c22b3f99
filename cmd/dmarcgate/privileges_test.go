package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dmarcgate/daemon/system"
	"dmarcgate/internal/dnstest"
)

// Users and groups that every Debian has: one for the daemon, one for an MTA.
const (
	daemonUser = "nobody"
	mtaUser    = "games"
)

// needsRoot skips a test that becomes other users.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can become another user")
	}
}

func accountOf(t *testing.T, name string) system.Account {
	t.Helper()
	a, err := system.LookupAccount(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// asUser calls f with the rights of a user on files, in a thread that ends with
// it: the others stay root's.
func asUser(t *testing.T, a system.Account, f func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		done <- func() error {
			gid := uint32(a.GID)
			for _, call := range [][4]uintptr{
				{syscall.SYS_SETGROUPS, 0, 0, 0},
				{syscall.SYS_SETFSGID, uintptr(gid), 0, 0},
				{syscall.SYS_SETFSUID, uintptr(a.UID), 0, 0},
			} {
				if _, _, errno := syscall.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
					return errno
				}
			}
			f()
			return nil
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// reached tells which of the daemon's sockets and files a user can use.
func reached(t *testing.T, h *host, a system.Account) (sockets, files []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(h.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	asUser(t, a, func() {
		for _, path := range names {
			info, err := os.Lstat(path)
			if err != nil {
				continue
			}
			name := filepath.Base(path)
			switch {
			case info.Mode().Type() == fs.ModeSocket:
				if conn, err := net.Dial("unix", path); err == nil {
					conn.Close()
					sockets = append(sockets, name)
				}
			case !strings.HasPrefix(name, "log.") && name != "dmarcgate.toml":
				if f, err := os.Open(path); err == nil {
					f.Close()
					files = append(files, name)
				}
			}
		}
	})
	return sockets, files
}

// groupHost is a host with the daemon's user, and keys of the listener.
func groupHost(t *testing.T, daemon, listener string) *host {
	t.Helper()
	needsRoot(t)
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr(), extra: fmt.Sprintf("user = %q\n", daemon)})
	text, err := os.ReadFile(h.config())
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), `socket_mode = "0666`, `socket_mode = "0660"`+"\n"+listener+" #", 1))
	if err := os.WriteFile(h.config(), text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(h.config(), 0o644); err != nil {
		t.Fatal(err)
	}
	a := accountOf(t, daemon)
	if err := os.Chown(h.dir, a.UID, a.GID); err != nil {
		t.Fatal(err)
	}
	return h
}

// send sends a message that is recorded.
func (h *host) send(qid string) {
	h.t.Helper()
	c := h.session()
	defer c.Close()
	if err := sendDomain(c, "good.example", qid); err != nil {
		h.t.Fatal(err)
	}
}

// fails runs a daemon that cannot start.
func (h *host) fails() (code int, log string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), stopTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(h.t), "serve", "-c", h.config())
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState == nil {
		h.t.Fatalf("serve: %v; want it to fail", err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// The MTA has to reach the milter socket, and nothing else of the daemon.
func TestSocketOwnerGivesTheMTAsGroupTheMilterSocketAlone(t *testing.T) {
	h := groupHost(t, daemonUser, fmt.Sprintf("socket_owner = \":%s\"", groupName(t, accountOf(t, mtaUser).GID)))
	p := h.start()
	h.send("1")
	if sockets, files := reached(t, h, accountOf(t, mtaUser)); !slices.Equal(sockets, []string{"milter.sock"}) || len(files) > 0 {
		t.Errorf("the MTA reaches %q and %q; want milter.sock alone", sockets, files)
	}
	// The daemon's own group keeps what it had.
	sockets, files := reached(t, h, system.Account{UID: accountOf(t, mtaUser).UID, GID: accountOf(t, daemonUser).GID})
	if !slices.Equal(sockets, []string{"control.sock"}) || !slices.Contains(files, "results.db") || slices.Contains(files, "sampling.key") {
		t.Errorf("the daemon's group reaches %q and %q; want control.sock and results.db, and not sampling.key", sockets, files)
	}
	p.stop()
}

// Where the MTA is in the daemon's group, that group is for the MTA.
func TestSocketOfTheDaemonsGroupKeepsEverythingElsePrivate(t *testing.T) {
	mta := groupName(t, accountOf(t, mtaUser).GID)
	h := groupHost(t, daemonUser+":"+mta, "")
	old := filepath.Join(h.dir, "results.db.old") // set aside by an earlier start
	if err := os.WriteFile(old, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(old, accountOf(t, daemonUser).UID, accountOf(t, mtaUser).GID); err != nil {
		t.Fatal(err)
	}
	p := h.start()
	h.send("1")
	if sockets, files := reached(t, h, accountOf(t, mtaUser)); !slices.Equal(sockets, []string{"milter.sock"}) || len(files) > 0 {
		t.Errorf("the MTA reaches %q and %q; want milter.sock alone", sockets, files)
	}
	if !p.logged("control socket and results restricted to the daemon's user", "socket="+h.socket) {
		t.Error("the log does not say that the group is shared")
	}
	p.stop()
}

func groupName(t *testing.T, gid int) string {
	t.Helper()
	g, err := user.LookupGroupId(strconv.Itoa(gid))
	if err != nil {
		t.Fatal(err)
	}
	return g.Name
}

// Every thread has to give up root, for ever, and everything goes on.
func TestUserDropsTheRightsOfRoot(t *testing.T) {
	h := groupHost(t, daemonUser, `socket_owner = "root"`)
	p := h.start()
	a := accountOf(t, daemonUser)
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.cmd.Process.Pid))
	if err != nil || len(tasks) < 2 {
		t.Fatalf("threads = %q, %v; want some", tasks, err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", a.UID), fmt.Sprintf("Gid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", a.GID), "CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n",
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s:\n%swant %q", task, text, want)
			}
		}
	}
	h.send("1")
	p.reload()
	h.send("2")
	if p.logged("running as root") {
		t.Error("the log says that the daemon runs as root")
	}
	p.metricIs(1, "dmarcgate_config_last_reload_successful")
	p.stop()
	if rows := h.rows(); len(rows) != 2 {
		t.Errorf("rows = %d; want 2", len(rows))
	}
	// The socket file is root's, in a directory of the daemon's: the next start
	// finds its place free, and the store its own.
	p = h.start()
	h.send("3")
	p.stop()
}

// A configuration that root alone can read serves until it is to be read again.
func TestUserThatCannotReadTheConfigurationIsToldAtTheStart(t *testing.T) {
	h := groupHost(t, daemonUser, "")
	if err := os.Chmod(h.config(), 0o600); err != nil {
		t.Fatal(err)
	}
	p := h.start()
	if !p.logged("reloads will fail", "file="+h.config()) {
		t.Error("the log does not say that a reload will fail")
	}
	p.reload()
	if !p.logged("reload failed", "permission denied") {
		t.Error("the log does not say why the reload failed")
	}
	h.send("1")
	p.stop()
}

func TestUserIsRefusedWhereItCannotWork(t *testing.T) {
	tests := []struct {
		name string
		user string
		do   func(t *testing.T, h *host)
		want string
	}{
		{"a state directory of root", daemonUser, func(t *testing.T, h *host) { chown(t, h.dir, 0) }, "cannot write to the directory"},
		{"a store of root", daemonUser, func(t *testing.T, h *host) { rootFile(t, h, "results.db") }, "results.db"},
		{"a log of the store of root", daemonUser, func(t *testing.T, h *host) { rootFile(t, h, "results.db-wal") }, "results.db-wal"},
		{"a key of root", daemonUser, func(t *testing.T, h *host) { rootFile(t, h, "sampling.key") }, "sampling.key"},
		{"a user that does not exist", "nobody-here", nil, "unknown user nobody-here"},
		{"a group that does not exist", "nobody:nobody-here", nil, "unknown group nobody-here"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := groupHost(t, daemonUser, "")
			text, err := os.ReadFile(h.config())
			if err != nil {
				t.Fatal(err)
			}
			text = []byte(strings.Replace(string(text), fmt.Sprintf("user = %q", daemonUser), fmt.Sprintf("user = %q", tt.user), 1))
			if err := os.WriteFile(h.config(), text, 0o644); err != nil {
				t.Fatal(err)
			}
			if tt.do != nil {
				tt.do(t, h)
			}
			if code, log := h.fails(); code != exitFailed || !strings.Contains(log, tt.want) {
				t.Errorf("exit code %d, log\n%s\nwant 1, and %q", code, log, tt.want)
			}
			if _, err := net.Dial("unix", h.socket); err == nil {
				t.Error("the milter socket answers")
			}
		})
	}
}

func chown(t *testing.T, path string, uid int) {
	t.Helper()
	if err := os.Chown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
}

func rootFile(t *testing.T, h *host, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestServeAsRootWarns(t *testing.T) {
	needsRoot(t)
	dns := dnstest.New(t, processZone)
	h := newHost(t, hostConfig{dns: dns.Addr()})
	p := h.start()
	if !p.logged("running as root") {
		t.Error("the log does not say that the daemon runs as root")
	}
	p.stop()
}

// systemd must not start a daemon again whose configuration is wrong
// (RestartPreventExitStatus=2), so serve itself has to say so.
func TestServeExitsWithTwoForAConfigurationThatIsWrong(t *testing.T) {
	dns := dnstest.New(t, processZone)
	for name, broken := range map[string]string{
		"an unknown key": "authserv_idd = \"x\"\n", "no TOML": "= =\n", "a rule": "rules_dir = \"%s/rules\"\n", "a rule that cannot be read": "rules_dir = \"%s/broken\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, hostConfig{dns: dns.Addr()})
			for dir, rule := range map[string]string{"rules": "[[rule]]\nid = \"x\"\n", "broken": "= =\n"} {
				if err := os.MkdirAll(filepath.Join(h.dir, dir), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(h.dir, dir, "a.toml"), []byte(rule), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(h.config())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(h.config(), append([]byte(strings.ReplaceAll(broken, "%s", h.dir)), text...), 0o644); err != nil {
				t.Fatal(err)
			}
			if code, log := h.fails(); code != exitUsage || !strings.Contains(log, ".toml:") {
				t.Errorf("exit code %d, log\n%s\nwant 2, with file and line", code, log)
			}
		})
	}
}
