package system

import (
	"io/fs"
	"testing"
)

func TestCheckConfigUsesEffectivePermissions(t *testing.T) {
	a := Account{name: "x", UID: 10, GID: 20, groups: []int{30}}
	for _, tt := range []struct {
		mode     fs.FileMode
		uid, gid int
		want     bool
	}{
		{0o300, 10, 99, true}, {0o077, 10, 20, false}, // the owner, and nothing else
		{0o030, 99, 20, true}, {0o030, 99, 30, true}, {0o707, 99, 30, false}, // a group, and not others
		{0o003, 99, 99, true}, {0o770, 99, 99, false}, {0o002, 99, 99, false},
	} {
		if got := a.may(mayWrite|mayEnter, tt.mode, tt.uid, tt.gid); got != tt.want {
			t.Errorf("may(%04o of %d:%d) = %v; want %v", tt.mode, tt.uid, tt.gid, got, tt.want)
		}
	}
	if !(Account{}).may(mayWrite, 0, 5, 5) {
		t.Error("root may not")
	}
}
