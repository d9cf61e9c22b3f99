//go:build mta

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/internal/mtatest"
)

// The keys of the README, with the user of this test: Postfix connects from its
// chroot, and its user reaches nothing else of the daemon.
func TestPostfixReachesTheMilterSocketAlone(t *testing.T) {
	var keys string
	for _, b := range blocks(t, "README.md", "toml") {
		if strings.Contains(b, "socket_owner") {
			keys = b
		}
	}
	for _, want := range []string{`user = "dmarcgate"`, `socket_owner = ":postfix"`, `address = "unix:/var/spool/postfix/dmarcgate/milter.sock"`} {
		if !strings.Contains(keys, want) {
			t.Fatalf("README.md has no keys with %s", want)
		}
	}
	p := mtatest.StartPostfix(t, mtatest.PostfixConfig{Chroot: true, Milter: "unix:dmarcgate/milter.sock"})
	h := groupHost(t, daemonUser, `socket_owner = ":postfix"`)
	socketDir := filepath.Join(p.QueueDir(), "dmarcgate")
	if err := os.Mkdir(socketDir, 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(h.config())
	if err != nil {
		t.Fatal(err)
	}
	old := h.socket
	h.socket = filepath.Join(socketDir, "milter.sock")
	if err := os.WriteFile(h.config(), []byte(strings.Replace(string(text), old, h.socket, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	d := h.start()
	r, err := p.Send(mtatest.Client{Addr: "192.0.2.66", Name: "[UNAVAILABLE]", Helo: "[192.0.2.66]"},
		mtatest.Mail{From: "a@bad.example", Rcpts: []string{"user@receiver.example"}, Data: fmt.Append(nil, "From: a@bad.example\r\nSubject: x\r\n\r\nhello\r\n")})
	if err != nil || r.Code != 550 {
		t.Errorf("reply = %v, %v; want 550\n%s", r, err, p.Log())
	}
	postfix := accountOf(t, "postfix")
	if sockets, files := reached(t, h, postfix); len(sockets)+len(files) > 0 {
		t.Errorf("the user postfix reaches %q and %q; want nothing", sockets, files)
	}
	d.stop()
}
