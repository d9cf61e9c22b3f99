package control

import (
	"os"
	"testing"
)

func TestReloadTrustsOnlyDaemonUser(t *testing.T) {
	users := daemonUsers("bin")
	for uid, want := range map[uint32]bool{0: true, uint32(os.Geteuid()): true, 2: true, 54321: false} {
		got := false
		for _, u := range users {
			got = got || u == uid
		}
		if got != want {
			t.Errorf("daemonUsers(bin) = %v; want user %d in it: %v", users, uid, want)
		}
	}
	if got := daemonUsers("no-such-user-here"); len(got) > 3 {
		t.Errorf("daemonUsers of a user that does not exist = %v", got)
	}
}
