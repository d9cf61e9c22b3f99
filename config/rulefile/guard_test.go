package rulefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
)

// mapsRule is a rule without findings that names a map.
const mapsRule = `[[rule]]
id = "relay"
owner = "o"
created = 2026-11-02
expires = 2027-05-01
mode = "shadow"
action = "accept"
reason = "trusted_forwarder"
[rule.match]
client = ["192.0.2.3"]
author = ["map:maps/banks.txt"]
`

// guarded makes a directory with a rule, its map and a change of the test's own.
func guarded(t *testing.T, change func(dir string) error) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "rules")
	write(t, dir, "a.toml", mapsRule)
	write(t, dir, "maps/banks.txt", "bank.example\n")
	if err := change(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// chmod changes the mode, and the group, of a file below the directory.
func chmod(name string, mode os.FileMode, group int) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, name)
		return errors.Join(os.Chown(path, -1, group), os.Chmod(path, mode))
	}
}

// linked puts a link in the place of a file of the directory, which moves away.
func linked(name, to string) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, name)
		target := filepath.Join(filepath.Dir(path), to)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		return errors.Join(os.Rename(path, target), os.Symlink(to, path))
	}
}

func TestLoadRefusesFilesThatOthersCanWrite(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for files of other groups")
	}
	const other = 12345
	for name, tt := range map[string]struct {
		change func(string) error
		want   string // the start of the only problem, below the directory; "" for none
	}{
		"as packages have it":                    {chmod("a.toml", 0o644, 0), ""},
		"of another group":                       {chmod("a.toml", 0o640, other), ""},
		"the group of root writes":               {chmod("a.toml", 0o664, 0), ""},
		"a rule file, everybody":                 {chmod("a.toml", 0o666, 0), "/a.toml: can be written by everybody (mode 0666); run chmod go-w on it"},
		"a rule file, another group":             {chmod("a.toml", 0o664, other), "/a.toml: can be written by its group (mode 0664); "},
		"a map, everybody":                       {chmod("maps/banks.txt", 0o602, 0), "/maps/banks.txt: can be written by everybody (mode 0602); "},
		"a map, another group":                   {chmod("maps/banks.txt", 0o660, other), "/maps/banks.txt: can be written by its group (mode 0660); "},
		"the directory, everybody":               {chmod(".", 0o777, 0), ": can be written by everybody (mode 0777); "},
		"the directory, everybody, but sticky":   {chmod(".", 0o777|os.ModeSticky, 0), ": can be written by everybody (mode 0777); "},
		"the directory, another group":           {chmod(".", 0o775, other), ": can be written by its group (mode 0775); "},
		"the directory of a map":                 {chmod("maps", 0o775, other), "/maps: can be written by its group (mode 0775); "},
		"a directory that no rule file needs":    {func(dir string) error { return errors.Join(os.Mkdir(dir+"/x", 0o700), os.Chmod(dir+"/x", 0o777)) }, ""},
		"a link within the directory":            {linked("a.toml", "real/a.txt"), ""},
		"a link to a map within the directory":   {linked("maps/banks.txt", "../lists/banks.txt"), ""},
		"as a volume of a container has it":      {linked("a.toml", "..data/a.toml"), ""},
		"a link out of the directory":            {linked("a.toml", "../a.txt"), "/a.toml: is a symbolic link that leads out of the directory, to "},
		"a map by a link out of the directory":   {linked("maps/banks.txt", "../../banks.txt"), "/maps/banks.txt: is a symbolic link that leads out of the directory, to "},
		"a directory by a link out of directory": {linked("maps", "../maps"), "/maps/banks.txt: is a symbolic link that leads out of the directory, to "},
		"a link into a directory of others": {func(dir string) error {
			return errors.Join(linked("a.toml", "real/a.txt")(dir), os.Chmod(filepath.Join(dir, "real"), 0o777))
		}, "/real: can be written by everybody (mode 0777); "},
		"a link in a directory of others": {func(dir string) error {
			return errors.Join(linked("maps/banks.txt", "../lists/banks.txt")(dir), os.Chmod(filepath.Join(dir, "maps"), 0o777))
		}, "/maps: can be written by everybody (mode 0777); "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := guarded(t, tt.change)
			_, err := Load(dir, lintOptions())
			if tt.want == "" {
				if err != nil {
					t.Errorf("Load = %v; want rules", err)
				}
				return
			}
			var errs *tomlfile.Errors
			if !errors.As(err, &errs) || len(errs.Problems) != 1 || !strings.HasPrefix(errs.Error(), dir+tt.want) {
				t.Fatalf("Load = %v; want one problem, %s%s…", err, dir, tt.want)
			}
			code := CodeWritable
			if strings.Contains(tt.want, "leads out") {
				code = CodeLeadsOut
			}
			if p := errs.Problems[0]; p.Code != code || p.Fix == "" {
				t.Errorf("problem %+v; want code %s and a fix", p, code)
			}
		})
	}
}

// The configuration can name the directory by a link: root has made it.
func TestLoadFollowsTheLinkOfTheDirectoryItself(t *testing.T) {
	dir := guarded(t, func(dir string) error { return os.Chmod(filepath.Join(dir, "maps"), 0o777) })
	link := filepath.Join(t.TempDir(), "rules.d")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(link, lintOptions()); err == nil || !strings.HasPrefix(err.Error(), link+"/maps: can be written by everybody") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Load = %v; want the directory of the map alone, as it is configured", err)
	}
}

// A file outside may be one that only root can read: nothing of it is told.
func TestLoadReadsNothingOutside(t *testing.T) {
	dir := guarded(t, func(dir string) error {
		secret := filepath.Join(filepath.Dir(dir), "secret")
		return errors.Join(os.WriteFile(secret, []byte("password = [\n"), 0o600), os.Remove(filepath.Join(dir, "maps/banks.txt")),
			os.Symlink(secret, filepath.Join(dir, "b.toml")), os.Symlink(secret, filepath.Join(dir, "maps/banks.txt")))
	})
	_, err := Load(dir, lintOptions())
	if err == nil || strings.Contains(err.Error(), "password") || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("Load = %v; want one problem for each of the two links, and nothing of the file", err)
	}
}

func TestLoadOfACopyWarnsOfFilesThatOthersCanWrite(t *testing.T) {
	dir := guarded(t, chmod("a.toml", 0o666, -1))
	o := lintOptions()
	o.Copied = true
	set, err := Load(dir, o)
	wantWarningAbout(t, set, err, CodeWritable, dir+"/a.toml")
	next, err := set.Refresh(o)
	wantWarningAbout(t, next, err, CodeWritable, dir+"/a.toml")
}

// wantWarningAbout wants one warning, about a file.
func wantWarningAbout(t *testing.T, set *Set, err error, code string, files ...string) {
	t.Helper()
	if err != nil {
		t.Fatalf("Load = %v; want rules", err)
	}
	var got []string
	for _, f := range set.Findings {
		if f.Code == code {
			got = append(got, f.File)
		}
		if f.Code == code && (f.Level != policy.Warning || f.Text == "" || f.Fix == "") {
			t.Errorf("finding %+v; want a warning with text and fix", f)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(files) {
		t.Errorf("files with %s = %q; want %q", code, got, files)
	}
}

func TestLoadWarnsOfIgnoredFiles(t *testing.T) {
	dir := guarded(t, func(dir string) error {
		for _, name := range []string{".a.toml", "a.toml~", "#a.toml#", "B.TOML", "sub/c.toml", "sub/deep/d.toml"} {
			write(t, dir, name, "not TOML")
		}
		for _, name := range []string{"README", ".git/config.toml", "notes.txt", "sub/e.txt"} {
			write(t, dir, name, "nothing")
		}
		return nil
	})
	set, err := Load(dir, lintOptions())
	var want []string
	for _, name := range []string{"#a.toml#", ".a.toml", "B.TOML", "a.toml~", "sub/c.toml", "sub/deep/d.toml"} {
		want = append(want, filepath.Join(dir, name))
	}
	wantWarningAbout(t, set, err, CodeIgnoredFile, want...)
	next, err := set.Refresh(lintOptions())
	wantWarningAbout(t, next, err, CodeIgnoredFile, want...)
}

func TestLoadNamesSomeIgnoredFilesAndCountsTheRest(t *testing.T) {
	dir := guarded(t, func(dir string) error {
		for i := range maxIgnored + 3 {
			write(t, dir, fmt.Sprintf("%02d.toml~", i), "")
		}
		return nil
	})
	set, err := Load(dir, lintOptions())
	if err != nil {
		t.Fatal(err)
	}
	var last policy.Finding
	n := 0
	for _, f := range set.Findings {
		if f.Code == CodeIgnoredFile {
			last, n = f, n+1
		}
	}
	if n != maxIgnored+1 || last.File != dir || last.Text != "has 3 more files that are not read" {
		t.Errorf("%d findings, the last %+v; want %d files and that there are 3 more", n, last, maxIgnored)
	}
}

func TestLoadWarnsOfEmptyMaps(t *testing.T) {
	dir := guarded(t, func(dir string) error {
		write(t, dir, "maps/banks.txt", "# all gone\n\n")
		return nil
	})
	set, err := Load(dir, lintOptions())
	wantWarningAbout(t, set, err, CodeEmptyMap, dir+"/maps/banks.txt")
	write(t, dir, "maps/banks.txt", "bank.example\n")
	next, err := set.Refresh(lintOptions())
	wantWarningAbout(t, next, err, CodeEmptyMap)
	write(t, dir, "maps/banks.txt", "")
	next, err = next.Refresh(lintOptions())
	wantWarningAbout(t, next, err, CodeEmptyMap, dir+"/maps/banks.txt")
}
