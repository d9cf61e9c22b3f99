package private

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadRefusesFilesOfEveryUser(t *testing.T) {
	const secret = "the secret text"
	for _, tt := range []struct {
		name string
		text string
		mode os.FileMode
		want string // in the error; empty means none
	}{
		{"file of the daemon", secret, 0o600, ""},
		{"systemd credential", secret, 0o400, ""},
		{"file of root for the group of the daemon", secret, 0o640, ""},
		{"empty file", "", 0o600, ""},
		{"file that every user can read", secret, 0o644, "chmod o="},
		{"file that every user can write", secret, 0o602, "chmod o="},
		{"file that every user can run", secret, 0o601, "chmod o="},
		{"64 KiB", strings.Repeat("x", maxFile), 0o600, ""},
		{"64 KiB and a byte", strings.Repeat("x", maxFile+1), 0o600, "too large"},
	} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path)
		switch {
		case tt.want == "" && (err != nil || string(got) != tt.text):
			t.Errorf("%s: Read() = %.50q, %v; want the text", tt.name, got, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), secret)):
			t.Errorf("%s: Read() = %v; want an error with the path and %q", tt.name, err, tt.want)
		}
	}
	for name, path := range map[string]string{"missing file": filepath.Join(t.TempDir(), "none"), "folder": t.TempDir(), "device": "/dev/null"} {
		if _, err := Read(path); err == nil {
			t.Errorf("%s: Read() has no error", name)
		}
	}
}
