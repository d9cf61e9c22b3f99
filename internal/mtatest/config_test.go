package mtatest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASettingOfTheTestReplacesOurs(t *testing.T) {
	cfg := PostfixConfig{
		Milter: "unix:/run/x",
		MainCF: "\nsmtpd_milters = { unix:/run/y,\n  default_action=accept }\nmyhostname=mx2.receiver.example",
	}
	got, err := cfg.main("/tmp/d", "127.0.0.1:2526")
	if err != nil {
		t.Fatal(err)
	}
	for _, not := range []string{"unix:/run/x", "= mx.receiver.example", "%!"} {
		if strings.Contains(got, not) {
			t.Errorf("main.cf has %q:\n%s", not, got)
		}
	}
	for _, want := range []string{"{ unix:/run/y,\n  default_action=accept }\n", "myhostname=mx2", "= smtp:[127.0.0.1]:2526\n", "= /tmp/d/spool\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("main.cf lacks %q:\n%s", want, got)
		}
	}
}

func TestHoldLineIsTheOneOfThisMessage(t *testing.T) {
	const log = `Nov 21 18:49:25 mx postfix/cleanup[1]: 4AB: hold: header Subject: x from a[192.0.2.1]; from=<a@b>: why
Nov 21 18:49:25 mx postfix/cleanup[1]: 4ABC: milter-hold: END-OF-MESSAGE from a[192.0.2.1]: milter triggers HOLD action; from=<a@b>
`
	tests := []struct{ id, want string }{
		{"4AB", "header Subject: x from a[192.0.2.1]; from=<a@b>: why"},
		{"4ABC", "END-OF-MESSAGE from a[192.0.2.1]: milter triggers HOLD action; from=<a@b>"},
		{"4A", ""},
	}
	for _, tt := range tests {
		if got := holdLine(log, tt.id); got != tt.want {
			t.Errorf("holdLine(log, %q) = %q; want %q", tt.id, got, tt.want)
		}
	}
}

func TestADirectoryIsRefusedThatServersCannotUse(t *testing.T) {
	if err := usable(Dir(t)); err != nil {
		t.Errorf("a directory of Dir: %v", err)
	}
	closed := filepath.Join(Dir(t), "closed")
	if err := os.MkdirAll(filepath.Join(closed, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := usable(filepath.Join(closed, "below")); err == nil || !strings.Contains(err.Error(), "cannot pass "+closed) {
		t.Errorf("below a closed directory: %v; want an error that names it", err)
	}
	if err := usable("/" + strings.Repeat("x", maxDir)); err == nil {
		t.Error("a path too long for a socket was taken")
	}
}
