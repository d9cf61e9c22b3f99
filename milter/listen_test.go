package milter

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestListenNamesWhatItCannotOpen(t *testing.T) {
	for _, in := range []Socket{{Network: "unix", Addr: "/nonexistent/s"}, {Network: "tcp", Addr: "127.0.0.1:99999"}, {Network: "http", Addr: "x:1"}} {
		if _, err := in.Listen(); err == nil || !strings.Contains(err.Error(), in.Network+":"+in.Addr) {
			t.Errorf("%+v.Listen() = %v; want an error that names it", in, err)
		}
	}
}

func TestListenSetsSocketMode(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o660, 0o666} {
		path := filepath.Join(t.TempDir(), "s")
		s := file(path)
		s.Mode = mode
		ln := listen(t, s)
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != mode {
			t.Errorf("mode %v; want %v", info.Mode().Perm(), mode)
		}
		must(t, ln.Close())
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after Close the file is there: %v", err)
		}
	}
}

func TestListenReplacesOnlyStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	stale.SetUnlinkOnClose(false)
	must(t, stale.Close())
	ln, err := file(path).Listen()
	if err != nil {
		t.Fatalf("Listen on a stale socket: %v", err)
	}
	if _, err := file(path).Listen(); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("Listen on a live socket = %v; want an error", err)
	}
	must(t, ln.Close())
	must(t, os.WriteFile(path, []byte("x"), 0o600))
	if _, err := file(path).Listen(); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("Listen on a file = %v; want an error", err)
	}
}

// otherUser is a user who is not this process's, if it may give files away.
func otherUser(t *testing.T) (uid, gid int) {
	if os.Geteuid() == 0 {
		return 65534, 65533 // nobody, and a group of another number
	}
	t.Log("not root: the owner is this user")
	return os.Getuid(), os.Getgid()
}

func owner(t *testing.T, info fs.FileInfo) (uid, gid int) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatalf("Sys() = %T; want a Stat_t", info.Sys())
	}
	return int(st.Uid), int(st.Gid)
}

func TestListenSetsSocketOwner(t *testing.T) {
	uid, gid := otherUser(t)
	for _, tt := range []struct {
		name                   string
		set                    Socket
		wantUID, wantGID, mode int
	}{
		{"both", Socket{Mode: 0o660, UID: uid, GID: gid}, uid, gid, 0o660},
		{"the group only", Socket{Mode: 0o620, UID: -1, GID: gid}, os.Geteuid(), gid, 0o620},
		{"the user only", Socket{Mode: 0o600, UID: uid, GID: -1}, uid, os.Getegid(), 0o600},
		{"for others, not for the owner", Socket{Mode: 0o022, UID: uid, GID: gid}, uid, gid, 0o022},
		{"bits that are no permissions are dropped", Socket{Mode: os.ModeSetuid | os.ModeSticky | 0o600, UID: -1, GID: -1}, os.Geteuid(), os.Getegid(), 0o600},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.set.Network, tt.set.Addr = "unix", filepath.Join(t.TempDir(), "s")
			ln := listen(t, tt.set)
			info, err := os.Lstat(tt.set.Addr)
			must(t, err)
			gotUID, gotGID := owner(t, info)
			if gotUID != tt.wantUID || gotGID != tt.wantGID || info.Mode() != os.ModeSocket|os.FileMode(tt.mode) {
				t.Errorf("%+v.Listen() makes %v of %d:%d; want %#o of %d:%d", tt.set, info.Mode(), gotUID, gotGID, tt.mode, tt.wantUID, tt.wantGID)
			}
			must(t, ln.Close())
		})
	}
}

// A socket that another user could connect to before it is the right user's
// would let whoever is quick past the configuration.
func TestListenSetsOwnerBeforeMode(t *testing.T) {
	uid, gid := otherUser(t)
	path := filepath.Join(t.TempDir(), "s")
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			// One look is not enough: Linux may read the owner before a change
			// and the mode behind it. Whoever is the owner of a file that was
			// open a moment ago must have been it by then.
			before, err := os.Lstat(path)
			if err != nil || before.Mode()&0o077 == 0 {
				continue
			}
			info, err := os.Lstat(path)
			if err != nil || !os.SameFile(before, info) {
				continue
			}
			if u, g := owner(t, info); info.Mode()&0o077 != 0 && (u != uid || g != gid) {
				t.Errorf("%v of %d:%d; want nothing for others before it is %d:%d's", info.Mode(), u, g, uid, gid)
				return
			}
		}
	})
	for range 300 {
		must(t, listen(t, Socket{Network: "unix", Addr: path, Mode: 0o666, UID: uid, GID: gid}).Close())
	}
	close(done)
	wg.Wait()
}
