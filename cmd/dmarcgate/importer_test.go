package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// foreign is a directory with files of another program, by name below it.
func foreign(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestImportWritesFilesThatCheckConfigAccepts(t *testing.T) {
	many := strings.Repeat("x", 10)
	var hosts strings.Builder
	for i := range 60 {
		hosts.WriteString("mail" + string(rune('a'+i%26)) + strings.Repeat("b", i/26) + ".partner.example\n")
	}
	tests := []struct {
		program string
		config  string
		files   map[string]string
		want    []string // written below the directory
	}{
		{"opendmarc", "opendmarc.conf", map[string]string{
			"opendmarc.conf":  "RejectFailures true\nIgnoreHosts DIR/hosts\nDomainWhitelist lists.example.org\nSocket local:/var/spool/postfix/opendmarc/o.sock\nCopyFailuresTo " + many + "\n",
			"hosts":           "192.0.2.0/28\n" + hosts.String(),
			"unrelated/file1": "",
		}, []string{"dmarcgate.toml", "rules.d/maps/ignored-hosts.txt", "rules.d/opendmarc.toml"}},
		{"rspamd", "dmarc.conf", map[string]string{"dmarc.conf": "actions { reject = \"reject\"; quarantine = \"add_header\"; }\n"}, []string{"dmarcgate.toml"}},
		{"authentication-milter", "authentication_milter.json", map[string]string{
			"authentication_milter.json": `{"handlers":{"DMARC":{"hard_reject":1,"whitelisted":["dkim:lists.example.org"]}}}`,
		}, []string{"dmarcgate.toml", "rules.d/authentication-milter.toml"}},
	}
	for _, tt := range tests {
		t.Run(tt.program, func(t *testing.T) {
			dir := foreign(t, tt.files)
			target := filepath.Join(t.TempDir(), "etc")
			code, out, stderr := command("import", tt.program, "--config", filepath.Join(dir, tt.config), "--write", target)
			if code != 0 || !strings.HasPrefix(out, "written: ") {
				t.Fatalf("import = %d, %q, %q; want 0 and the files", code, out, stderr)
			}
			var made []string
			filepath.WalkDir(target, func(path string, d os.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					rel, _ := filepath.Rel(target, path)
					made = append(made, rel)
				}
				return err
			})
			if !slices.Equal(made, tt.want) {
				t.Errorf("files = %q; want %q", made, tt.want)
			}
			config := filepath.Join(target, "dmarcgate.toml")
			if code, out, stderr := command("check-config", "--no-host", "-c", config); code != 0 {
				t.Errorf("check-config = %d, %q, %q; want 0", code, out, stderr)
			}
			if len(tt.want) > 1 {
				if code, out, stderr := command("rules", "lint", "-c", config); code != 0 {
					t.Errorf("rules lint = %d, %q, %q; want 0", code, out, stderr)
				}
			}
			if code, _, stderr := command("import", tt.program, "--config", filepath.Join(dir, tt.config), "--write", target); code != 1 || !strings.Contains(stderr, "is there already") {
				t.Errorf("a second import = %d, %q; want 1, since the files are there", code, stderr)
			}
		})
	}
}

func TestImportPrintsFilesWithoutWrite(t *testing.T) {
	dir := foreign(t, map[string]string{"opendmarc.conf": "RejectFailures true\nDomainWhitelist lists.example.org\n"})
	code, out, stderr := command("import", "opendmarc", "--config", filepath.Join(dir, "opendmarc.conf"))
	for _, want := range []string{"### dmarcgate.toml\n", "profile = \"strict\"", "### rules.d/opendmarc.toml\n", "arc_pass = ['lists.example.org']", "rules_dir = \"/etc/dmarcgate/rules.d\""} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("import = %d, %q; want %q", code, out, want)
		}
	}
	if !strings.Contains(stderr, "opendmarc.conf:1: RejectFailures: becomes profile") {
		t.Errorf("standard error = %q; want the remarks", stderr)
	}
}

func TestImportReadsNoFileOutOfReach(t *testing.T) {
	outside := foreign(t, map[string]string{"secret": "192.0.2.99\n", "list": "192.0.2.98\n"})
	dir := foreign(t, map[string]string{"opendmarc.conf": "IgnoreHosts FILE\n"})
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, file string
		args       []string
		read       bool
	}{
		{"a file elsewhere", filepath.Join(outside, "secret"), nil, false},
		{"a link that leads out", filepath.Join(dir, "link"), nil, false},
		{"a way out by dots", dir + "/../" + filepath.Base(outside) + "/secret", nil, false},
		{"a pipe", filepath.Join(dir, "pipe"), nil, false},
		{"a device", "/dev/zero", []string{"--files", "/dev"}, false},
		{"a directory", dir, nil, false},
		{"a file that is allowed", filepath.Join(outside, "list"), []string{"--files", outside}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := filepath.Join(dir, "case.conf")
			if err := os.WriteFile(config, []byte("IgnoreHosts "+tt.file+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			code, out, stderr := command(append([]string{"import", "opendmarc", "--config", config}, tt.args...)...)
			if read := strings.Contains(out, `trusted_networks = ["192.0.2.9`); code != 0 || read != tt.read || !read && !strings.Contains(stderr, "is not read") {
				t.Errorf("import = %d, %q, %q; want the file read: %v", code, out, stderr, tt.read)
			}
		})
	}
}

func TestImportOfOpenDMARCTellsConfigurationAndHistoryApart(t *testing.T) {
	config := write(t, "opendmarc.conf", "RejectFailures true\n")
	for _, args := range [][]string{
		{"--config", config, "history"}, {"--write", t.TempDir(), "history"}, {"--files", "/tmp", "history"}, {},
	} {
		if code, _, stderr := command(append([]string{"import", "opendmarc"}, args...)...); code != exitUsage || stderr == "" {
			t.Errorf("import opendmarc %q = %d, %q; want %d and why", args, code, stderr, exitUsage)
		}
	}
	for _, program := range []string{"rspamd", "authentication-milter"} {
		if code, _, stderr := command("import", program); code != exitUsage || !strings.Contains(stderr, "--config") {
			t.Errorf("import %s = %d, %q; want %d and --config named", program, code, stderr, exitUsage)
		}
	}
	if code, _, stderr := command("import", "rspamd", "--config", "/nonexistent/dmarc.conf"); code != exitFailed || !strings.Contains(stderr, "/nonexistent/dmarc.conf") {
		t.Errorf("import of a file that is not there = %d, %q; want %d and its name", code, stderr, exitFailed)
	}
}

func TestImportPrintsNothingThatATerminalObeys(t *testing.T) {
	dir := foreign(t, map[string]string{"evil\x1b[2J.conf": "Key\x1b[2J \x1b]0;x\x07\nAuthservID \x1b[31m\nRejectString \x9b%s\u202e\nIgnoreMailFrom \u202eevil\n"})
	code, out, stderr := command("import", "opendmarc", "--config", filepath.Join(dir, "evil\x1b[2J.conf"))
	for _, text := range []string{out, stderr} {
		if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r > '~' }); code != 0 || i >= 0 {
			t.Errorf("import = %d, with %q; want printable text", code, text[max(0, i):])
		}
	}
}
