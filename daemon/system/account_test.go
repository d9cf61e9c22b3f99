package system

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
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
