//go:build mta

package postfix

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/internal/mtatest"
)

func TestConnectGoesAsTheUserOfPostfixIntoTheChroot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("only root can become the user postfix")
	}
	queue := mtatest.Dir(t)
	owner, err := lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	listen := func(name string, uid int) {
		t.Helper()
		path := filepath.Join(queue, name)
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		if err := os.Chown(path, uid, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listen("ours", owner.uid)
	listen("roots", 0)
	i := &Instance{Values: map[string]string{"queue_directory": queue, "mail_owner": "postfix"}}
	for _, tt := range []struct{ chroot, address, want string }{
		{"y", "unix:ours", ""},
		{"y", "unix:/ours", ""},
		{"n", "unix:ours", ""},
		{"n", "unix:" + queue + "/ours", ""},
		{"y", "unix:" + queue + "/ours", "no such file"},
		{"n", "unix:/ours", "no such file"},
		{"y", "unix:roots", "permission denied"},
		{"n", "unix:roots", "permission denied"},
	} {
		conn, err := i.Connect(t.Context(), Service{Chroot: tt.chroot}, Milter{Address: tt.address})
		if err == nil {
			conn.Close()
		}
		if got := errText(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("chroot %s, %s: %v; want %q", tt.chroot, tt.address, err, tt.want)
		}
	}
	if os.Geteuid() != 0 {
		t.Error("the process is not root any more")
	}
	if _, err := os.Stat(queue); err != nil {
		t.Errorf("the process has another root directory: %v", err)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
