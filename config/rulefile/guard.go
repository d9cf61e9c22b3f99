package rulefile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"dmarcgate/config/tomlfile"
	"dmarcgate/policy"
	"dmarcgate/policy/pattern"
)

// guard finds other users that can change rule files, maps and their directories: a
// user with write access can exempt any mail. The checks are of mode and group, as
// those of sshd for the keys of users. The owner was chosen by root, and is not looked at; neither are
// access control lists and the directories above.
type guard struct {
	dir, real string          // as configured, and without symbolic links
	seen      map[string]bool // directories, without symbolic links
	problems  []tomlfile.Problem
}

func newGuard(dir string) *guard {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		real = dir // what reads it says why
	}
	g := &guard{dir: dir, real: real, seen: make(map[string]bool)}
	g.directory(real)
	return g
}

// inside reports whether path, with all symbolic links followed, is below the
// directory. A file outside is not to be opened.
func (g *guard) inside(path string) bool {
	to, err := filepath.EvalSymlinks(path)
	if err != nil {
		return true // what reads it says why
	}
	if rel, err := filepath.Rel(g.real, to); err == nil && filepath.IsLocal(rel) {
		return true
	}
	g.add(path, CodeLeadsOut, "is a symbolic link that leads out of the directory, to "+to, "copy the file into the directory")
	return false
}

// file looks at a file that was opened, and at the directories below g.dir that
// lead to it, by its path and by the symbolic links in it.
func (g *guard) file(path string, info fs.FileInfo) {
	g.look(path, info)
	g.above(path)
	if to, err := filepath.EvalSymlinks(path); err == nil {
		g.above(to)
	}
}

// above looks at the directories of a path.
func (g *guard) above(path string) {
	for dir := filepath.Dir(path); dir != g.dir && dir != g.real && len(dir) > 1; dir = filepath.Dir(dir) {
		g.directory(dir)
	}
}

func (g *guard) directory(dir string) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil || g.seen[real] {
		return
	}
	g.seen[real] = true
	if info, err := os.Stat(real); err == nil {
		g.look(real, info)
	}
}

// rootGroup is the group of root alone.
const rootGroup = 0

func (g *guard) look(path string, info fs.FileInfo) {
	who := ""
	st, known := info.Sys().(*syscall.Stat_t)
	switch mode := info.Mode().Perm(); {
	case mode&0o002 != 0:
		who = "everybody"
	case mode&0o020 != 0 && (!known || st.Gid != rootGroup):
		who = "its group"
	}
	if who != "" && !readOnly(path) {
		g.add(g.shown(path), CodeWritable, fmt.Sprintf("can be written by %s (mode %04o)", who, info.Mode().Perm()), "run chmod go-w on it")
	}
}

// readOnly reports whether the file system is mounted so: modes say nothing there,
// as in a volume of a container.
func readOnly(path string) bool {
	var fs syscall.Statfs_t
	return syscall.Statfs(path, &fs) == nil && fs.Flags&syscall.MS_RDONLY != 0
}

// shown is a path as the configuration has it.
func (g *guard) shown(path string) string {
	if rest, ok := strings.CutPrefix(path, g.real); ok && (rest == "" || rest[0] == filepath.Separator) {
		return g.dir + rest
	}
	return path
}

func (g *guard) add(file, code, text, fix string) {
	g.problems = append(g.problems, tomlfile.Problem{File: file, Text: text, Fix: fix, Code: code})
}

// take returns what was found: errors, and with copied warnings in place of those
// that are about the rights on this host.
func (g *guard) take(copied bool) (errs []tomlfile.Problem, warnings []policy.Finding) {
	for _, p := range g.problems {
		if copied && p.Code == CodeWritable {
			warnings = append(warnings, aboutFile(p.File, p.Code, p.Text, p.Fix))
		} else {
			errs = append(errs, p)
		}
	}
	return errs, warnings
}

// aboutFile is a warning about a whole file.
func aboutFile(file, code, text, fix string) policy.Finding {
	return policy.Finding{Level: policy.Warning, Code: code, File: file, Fault: pattern.Fault{Text: text, Fix: fix}}
}

const (
	maxIgnored = 20     // names that are told: our limit, a screen
	maxWalked  = 10_000 // entries of the directory that are looked at: our limit
)

// ignoredFiles names what an operator may take for a rule file and is none: an
// exemption that is thought of as active, or as gone.
func ignoredFiles(dir string) []policy.Finding {
	var found []policy.Finding
	left, more := maxWalked, 0
	_ = filepath.WalkDir(dir+string(filepath.Separator), func(path string, e fs.DirEntry, err error) error {
		if left--; left < 0 {
			return fs.SkipAll
		}
		name := filepath.Base(path)
		switch why := whyIgnored(dir, path, name); {
		case err != nil:
		case e.IsDir() && filepath.Clean(path) != filepath.Clean(dir) && name[0] == '.':
			return fs.SkipDir // of version control, or of a mounted volume
		case e.IsDir() || why == "":
		case len(found) == maxIgnored:
			more++
		default:
			found = append(found, aboutFile(path, CodeIgnoredFile, "is not read: "+why, "remove the file, or move it to "+filepath.Join(dir, "NAME.toml")))
		}
		return nil
	})
	if more > 0 {
		found = append(found, aboutFile(dir, CodeIgnoredFile, fmt.Sprintf("has %d more files that are not read", more), "remove them"))
	}
	return found
}

// whyIgnored says why a file is not read that looks like a rule file; "" for
// others.
func whyIgnored(dir, path, name string) string {
	switch {
	case !strings.HasSuffix(strings.ToLower(strings.Trim(name, "~#")), ".toml"):
		return ""
	case filepath.Dir(path) != filepath.Clean(dir):
		return "rule files are those in " + dir + " itself"
	case name[0] == '.':
		return "its name begins with a dot"
	case !strings.HasSuffix(name, ".toml"):
		return "its name does not end in .toml"
	}
	return ""
}
