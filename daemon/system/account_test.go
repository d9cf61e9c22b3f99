package system

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"dmarcgate/config"
)

func TestCheckConfigUserNeedsRootOrSameUser(t *testing.T) {
	me := Account{name: "me", UID: os.Geteuid(), GID: os.Getegid()}
	if err := me.Check(); err != nil || me.Become() != nil {
		t.Errorf("Check() of this process = %v; want nil, and nothing done", err)
	}
	if err := (Account{}).Check(); err != nil {
		t.Errorf("Check() of no user = %v; want nil", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can become another user")
	}
	nobody, err := LookupAccount("nobody")
	if err != nil {
		t.Fatal(err)
	}
	asUserErr := error(nil)
	asEffective(t, nobody, func() { asUserErr = Account{name: "games", UID: 5, GID: 60}.Check() })
	if asUserErr == nil || !strings.Contains(asUserErr.Error(), "only root can become another user") {
		t.Errorf("Check() without the rights of root = %v; want an error", asUserErr)
	}
}

// asEffective calls f as a user, for what asks who it is, in a thread that ends
// with it: the others stay root's.
func asEffective(t *testing.T, a Account, f func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		_, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(a.UID), ^uintptr(0))
		if errno != 0 {
			done <- errno
			return
		}
		f()
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Addresses in the queue of reports are for the daemon's user alone as well, and so are the
// log of the queue and a queue that was set aside.
func TestKeepPrivateTakesFurtherFilesWithTheirLogs(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o022))
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Store.Path = filepath.Join(dir, "results.db")
	kept := []string{"results.db", "results.db-wal", "reports.db", "reports.db-wal", "reports.db-shm", "reports.db.damaged"}
	for _, name := range append(kept, "other.db") {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := KeepPrivate(&cfg, filepath.Join(dir, "reports.db"), filepath.Join(dir, "not there")); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(kept, "other.db") {
		want := os.FileMode(0o600)
		if name == "other.db" {
			want = 0o640
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
}
