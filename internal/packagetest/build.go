//go:build linux

package packagetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Build makes the Debian package of this checkout under a version, and returns its
// file, which the test removes. An empty version is that of the commit.
func Build(t testing.TB, version string) string {
	t.Helper()
	top := checkout(t)
	cmd := exec.Command(filepath.Join(top, "deploy/debian/package.sh"), t.TempDir())
	cmd.Env = append(os.Environ(), "VERSION="+version)
	out := strings.TrimSpace(output(t, cmd))
	return out[strings.LastIndexByte(out, '\n')+1:]
}

// checkout returns the top folder of this checkout.
func checkout(t testing.TB) string {
	t.Helper()
	return strings.TrimSpace(output(t, exec.Command("git", "rev-parse", "--show-toplevel")))
}

// output runs a command of this host that must succeed.
func output(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}
