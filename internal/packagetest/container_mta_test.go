//go:build mta && linux

package packagetest

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"dmarcgate/internal/mtatest"
)

// image is the root folder of the container image, without a container engine
// around.
type image struct {
	t   *testing.T
	dir string
}

// newImage makes the image with the configuration of compose.yaml, and what an
// engine adds: a name server and a secret.
func newImage(t *testing.T) *image {
	t.Helper()
	i := &image{t, mtatest.Dir(t)}
	output(t, exec.Command(filepath.Join(containers, "rootfs.sh"), i.dir))
	output(t, exec.Command("chown", "65532:65532", i.path("var/lib/dmarcgate")))
	for file, text := range map[string]string{
		"etc/resolv.conf":              "nameserver 127.0.0.1\n",
		"run/secrets/pg-password":      "secret\n",
		"etc/dmarcgate/dmarcgate.toml": string(read(t, filepath.Join(containers, "dmarcgate.toml"))),
	} {
		if err := os.MkdirAll(filepath.Dir(i.path(file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(i.path(file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

func (i *image) path(file string) string { return filepath.Join(i.dir, file) }

// command is the program in the image, as the image's user, in a network of its
// own.
func (i *image) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/usr/sbin/dmarcgate", args...)
	cmd.Dir, cmd.Env = "/", []string{"NOTIFY_SOCKET=/tmp/notify.sock"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: i.dir, Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Credential: &syscall.Credential{Uid: 65532, Gid: 65532},
	}
	return cmd
}

func TestContainerImageRunsWithoutRootAndShell(t *testing.T) {
	i := newImage(t)
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: i.path("tmp/notify.sock"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	if err := os.Chmod(i.path("tmp/notify.sock"), 0o666); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	daemon := i.command(t.Context(), "serve")
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	if err := hears(ready, "READY=1"); err != nil {
		_ = daemon.Process.Kill()
		_ = daemon.Wait() // it was killed
		t.Fatalf("the image does not start: %v\n%s", err, log.String())
	}
	// The health check of the Dockerfile.
	if out, err := i.command(t.Context(), "status").CombinedOutput(); err != nil {
		t.Errorf("status beside the daemon: %v\n%s", err, out)
	}
	if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Wait(); err != nil {
		t.Errorf("the daemon ends with %v\n%s", err, log.String())
	}
	if out, err := i.command(t.Context(), "status").CombinedOutput(); err == nil {
		t.Errorf("status without a daemon succeeds: %s", out)
	}
	if out, err := exec.Command("find", i.dir, "-name", "*sh", "-perm", "/111", "-type", "f").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("the image has the shells %s, %v; want none", out, err)
	}
}
