package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckConfigFindsProblemsOfHost(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give directories away")
	}
	dir := t.TempDir()
	for path := dir; path != "/"; path = filepath.Dir(path) { // a way for everybody
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o001 == 0 && os.Chmod(path, 0o755) != nil {
			t.Skipf("%s is closed", path)
		}
	}
	make := func(name string, mode fs.FileMode, uid, gid int) string {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := make("good", 0o750, 2, 2) // bin's
	group := make("group", 0o770, 0, 2)
	roots := make("roots", 0o755, 0, 0)
	readOnly := make("readonly", 0o550, 2, 2)
	shut := make("shut", 0o700, 0, 0)
	make("shut/in", 0o777, 0, 0)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, user, state, socket, more string
		want                            string // the problem, "" for none
	}{
		{"all is well", "bin", good, roots, "", ""},
		{"by the group", "bin", group, roots, "", ""},
		{"without user, as root", "", shut, shut, "", ""},
		{"no state_dir", "bin", dir + "/none", roots, "", ":1: state_dir: there is no directory " + dir + "/none"},
		{"a state_dir that is a file", "bin", file, roots, "", ":1: state_dir: " + file + " is not a directory"},
		{"a state_dir of root", "bin", roots, roots, "", `:1: state_dir: user = "bin" cannot write to ` + roots},
		{"a state_dir without rights to write", "bin", readOnly, roots, "", ":1: state_dir: "},
		{"a state_dir behind a closed one", "bin", shut + "/in", roots, "", "no permission on " + shut},
		{"no directory for the socket", "bin", good, dir + "/none", "", ":7: listener.address: there is no directory"},
		{"no directory for the socket of the pages", "bin", good, roots, "[pages]\nlisten = \"unix:/nonexistent/p.sock\"\n", "pages.listen: there is no directory /nonexistent"},
		{"no directory for the control socket", "bin", good, roots, "[admin]\ncontrol = \"/nonexistent/c.sock\"\n", "admin.control: there is no directory /nonexistent"},
		{"no directory for the store", "bin", good, roots, "[store]\npath = \"/nonexistent/r.db\"\n", "store.path: there is no directory /nonexistent"},
		{"a store that is off", "bin", good, roots, "[store]\npath = \"/nonexistent/r.db\"\ndurability = \"off\"\n", ""},
		{"no such user", "no-such-user", good, roots, "", ":2: user: unknown user no-such-user"},
		{"no such group", "bin:no-such-group", good, roots, "", ":2: user: "},
		{"no such socket_owner", "bin", good, roots, "socket_owner = \"no-such-user\"\n", ":9: listener.socket_owner: unknown user no-such-user"},
		{"no such group of the socket", "bin", good, roots, "socket_owner = \":no-such-group\"\n", ":9: listener.socket_owner: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			user := ""
			if tt.user != "" {
				user = fmt.Sprintf("user = %q", tt.user)
			}
			path := write(t, "c.toml", fmt.Sprintf("state_dir = %q\n%s\nauthserv_id = \"mx.example\"\n\n[[listener]]\nname = \"mta\"\naddress = \"unix:%s/m.sock\"\nprofile = \"monitor\"\n%s",
				tt.state, user, tt.socket, tt.more))
			code, out, stderr := command("check-config", "-c", path)
			want := exitOK
			if tt.want != "" {
				want = exitUsage
			}
			if code != want || !strings.Contains(stderr, tt.want) || tt.want == "" && stderr != "" {
				t.Errorf("check-config = %d, %s%s; want %d and %q", code, out, stderr, want, tt.want)
			}
			var told checked
			_, out, _ = command("check-config", "--json", "-c", path)
			if err := json.Unmarshal([]byte(out), &told); err != nil || told.OK != (tt.want == "") || len(told.Problems) == 0 != told.OK {
				t.Errorf("check-config --json = %s, %v; want the problem", out, err)
			}
			if code, out, stderr := command("check-config", "--no-host", "-c", path); code != exitOK {
				t.Errorf("check-config --no-host = %d, %s%s; want %d: the file is right", code, out, stderr, exitOK)
			}
		})
	}
}
