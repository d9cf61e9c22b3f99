package mtatest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// maxDir is the longest directory a server may be given. The path of a UNIX
// socket has at most 107 bytes (unix(7)), and "/spool/private/" and a service
// name of Postfix follow.
const maxDir = 80

// Dir makes a short directory that every user can pass, and removes it when
// the test ends. (The one of t.TempDir has a long name and belongs to one user
// alone: a socket in it is out of the user postfix's reach.)
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mta")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing %s: %v", dir, err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// workDir returns dir as an absolute path, or a new directory when dir is
// empty, and fails the test where a server could not work in it.
func workDir(t testing.TB, dir string) string {
	t.Helper()
	if dir == "" {
		dir = Dir(t)
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = usable(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// usable says why servers, which run as users of their own, cannot work below
// the directory.
func usable(dir string) error {
	if len(dir) > maxDir {
		return fmt.Errorf("%s: longer than %d bytes, too long for the sockets in it", dir, maxDir)
	}
	for d := dir; ; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("%s: the user postfix cannot pass %s (mode %v)", dir, d, info.Mode())
		}
		if d == filepath.Dir(d) {
			return nil
		}
	}
}

// mkdir makes a directory with exactly this mode, whatever the umask.
func mkdir(path string, mode os.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// writeFile writes a file that every user can read, whatever the umask.
func writeFile(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
