package admin

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAccessSaysForWhomAFileIs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed")
	for _, d := range []string{closed, filepath.Join(dir, "open")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "open", "results.db")
	if err := os.WriteFile(file, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, tt := range []struct {
		path, at string
		mode     os.FileMode
		uid, gid int
		want     string
	}{
		{file, file, 0o640, 2, 3, file + " is for the group sys"},
		{file, file, 0o600, 2, 3, file + " is for the user bin alone"},
		{file, file, 0o640, 2, 0, file + " is for the user bin alone"},
		{file, file, 0o640, 2, 54321, file + " is for the group 54321"},
		{socket, socket, 0o660, 2, 3, socket + " is for the group sys"},
		{socket, socket, 0o640, 2, 3, socket + " is for the user bin alone"}, // connecting is writing
		{filepath.Join(closed, "control.sock"), closed, 0o750, 2, 3, closed + " is for the group sys"},
		{filepath.Join(closed, "a", "control.sock"), closed, 0o700, 54321, 3, closed + " is for the user 54321 alone"},
	} {
		if err := os.Chmod(tt.at, tt.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(tt.at, tt.uid, tt.gid); err != nil {
			t.Fatal(err)
		}
		if got := Access(tt.path); !strings.HasPrefix(got, tt.want) || !strings.HasSuffix(got, "use sudo") {
			t.Errorf("Access(%s), mode %v of %d:%d = %q; want %q, and what to do", tt.path, tt.mode, tt.uid, tt.gid, got, tt.want)
		}
	}
}

func TestDialOfATrustedDaemonAsksTheKernelWhoItIs(t *testing.T) {
	c := dial(t, Control{Reload: func() ReloadResult { return ReloadResult{OK: true} }})
	var asked []Peer
	ok := DialIf(c.path, func(p Peer) error {
		asked = append(asked, p)
		return nil
	})
	if r, err := ok.Reload(t.Context()); err != nil || !r.OK || len(asked) != 1 || asked[0] != (Peer{PID: os.Getpid(), UID: uint32(os.Geteuid())}) {
		t.Errorf("Reload() = %+v, %v, with %+v at the other end; want this process", r, err, asked)
	}
	no := DialIf(c.path, func(Peer) error { return os.ErrPermission })
	if _, err := no.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), c.path) {
		t.Errorf("Reload() of a daemon that is not trusted = %v; want an error that names the socket", err)
	}
}
