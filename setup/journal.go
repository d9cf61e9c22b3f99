package setup

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"dmarcgate/mta/postfix"
)

// The folder of setup stands beside the files that it changes, so that they can be
// moved there and back by rename(2), and belongs to root alone:
//
//	dmarcgate-setup/done.json   what was changed; needed to undo
//	dmarcgate-setup/original/   the files as they were before the first change
//	dmarcgate-setup/attempt/    during a change: attempt.json, the files before, and
//	                            the new ones; who finds it without the process that
//	                            made it moves the former files back (recover)
const (
	folderName   = "dmarcgate-setup"
	originalName = "original"
	attemptName  = "attempt"
	overName     = "over" // an attempt that has ended and is being removed
)

// maxFile bounds a configuration file of an MTA: our limit; Debian's main.cf has
// 1.5 KiB, and a large one some hundred.
const maxFile = 4 << 20

// journal is the folder of setup for one MTA.
type journal struct {
	dir   string   // that has the files
	files []string // names of the files, in the order in which they are replaced
	lock  *os.File
}

// done is what setup has changed, for undo.
type done struct {
	Changes []postfix.Change
	After   map[string]string // SHA-256 of each file after the change
	Exact   bool              // original/ has the files as they were, and nobody has changed them since
}

// errBusy means that another setup is at work.
var errBusy = errors.New("another dmarcgate setup is running for this MTA")

// openJournal takes the lock of the MTA whose files are in dir. The lock is on dir
// itself, so that nothing is left behind.
func openJournal(dir string, wait bool, files ...string) (*journal, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return &journal{dir, files, f}, nil
}

func (j *journal) close() { j.lock.Close() }

func (j *journal) file(name string) string { return filepath.Join(j.dir, name) }

func (j *journal) path(names ...string) string {
	return filepath.Join(append([]string{j.dir, folderName}, names...)...)
}

// begin makes the folder of an attempt: hard links to the files as they are, and
// copies to be edited, in attempt/new.
func (j *journal) begin() error {
	for _, dir := range []string{j.path(), j.path(attemptName), j.path(attemptName, "before"), j.path(attemptName, "new")} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for _, name := range j.files {
		info, err := os.Lstat(j.file(name))
		switch {
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is not a regular file: make the changes by hand", j.file(name))
		case info.Mode().Perm()&0o200 == 0:
			return fmt.Errorf("%s is read-only: make the changes by hand", j.file(name))
		}
		if err := os.Link(j.file(name), j.path(attemptName, "before", name)); err != nil {
			return fmt.Errorf("keeping %s: %w", j.file(name), err)
		}
		if err := copyFile(j.file(name), j.path(attemptName, "new", name), info); err != nil {
			return err
		}
	}
	return nil
}

// edited is the directory with the copies.
func (j *journal) edited() string { return j.path(attemptName, "new") }

// swap puts the edited copies into their places, each by rename(2), after it has
// noted what they are.
func (j *journal) swap() error {
	after := map[string]string{}
	for _, name := range j.files {
		sum, err := sumOf(j.path(attemptName, "new", name))
		if err != nil {
			return err
		}
		after[name] = sum
		now, err := sumOf(j.file(name))
		before, err2 := sumOf(j.path(attemptName, "before", name))
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if now != before {
			return fmt.Errorf("%s has changed meanwhile", j.file(name))
		}
	}
	if err := writeJSON(j.path(attemptName, "attempt.json"), after); err != nil {
		return err
	}
	reached("noted")
	for _, name := range j.files {
		if same, err := sameContent(j.path(attemptName, "new", name), j.file(name)); err != nil || same {
			if err != nil {
				return err
			}
			continue
		}
		if err := matchOwner(j.path(attemptName, "new", name), j.file(name)); err != nil {
			return err
		}
		if err := os.Rename(j.path(attemptName, "new", name), j.file(name)); err != nil {
			return err
		}
		reached("replaced " + name)
	}
	return syncDir(j.dir)
}

// finish ends an attempt: its changes are noted for undo.
func (j *journal) finish(changes []postfix.Change) error {
	var d done
	var after map[string]string
	if err := readJSON(j.path(attemptName, "attempt.json"), &after); err != nil {
		return err
	}
	if err := j.keepOriginals(&d); err != nil {
		return err
	}
	reached("kept")
	d.Changes, d.After = mergeChanges(d.Changes, changes), after
	if err := writeJSON(j.path("done.json"), d); err != nil {
		return err
	}
	reached("finished")
	return j.discard()
}

// discard ends an attempt at once, so that a kill leaves all of it or nothing.
func (j *journal) discard() error {
	if err := os.Rename(j.path(attemptName), j.path(overName)); err != nil {
		return err
	}
	return os.RemoveAll(j.path(overName))
}

// keepOriginals has original/ hold the files as they were before the first change.
// Where somebody has edited them after an earlier one, they cannot be put back.
func (j *journal) keepOriginals(d *done) error {
	switch err := readJSON(j.path("done.json"), d); {
	case err == nil:
		for name, sum := range d.After {
			before, err := sumOf(j.path(attemptName, "before", name))
			d.Exact = d.Exact && err == nil && before == sum
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.RemoveAll(j.path(originalName)); err != nil {
		return err
	}
	if err := os.Mkdir(j.path(originalName), 0o700); err != nil {
		return err
	}
	for _, name := range j.files {
		if err := os.Link(j.path(attemptName, "before", name), j.path(originalName, name)); err != nil {
			return err
		}
	}
	d.Exact = true
	return nil
}

// mergeChanges adds later changes to earlier ones: of a parameter that both change
// the old value is that of the earlier.
func mergeChanges(first, later []postfix.Change) []postfix.Change {
	out := slices.Clone(first)
	for _, c := range later {
		n := slices.IndexFunc(out, func(o postfix.Change) bool { return o.Service == c.Service && o.Name == c.Name })
		if n < 0 {
			out = append(out, c)
			continue
		}
		out[n].New = c.New
	}
	return out
}

// recover moves the files of an attempt back that did not finish, and reports
// whether the MTA may have seen others. A file that is neither as before nor as the
// attempt left it has been changed by somebody else, and stays.
func (j *journal) recover() (moved bool, err error) {
	if err := os.RemoveAll(j.path(overName)); err != nil {
		return false, err
	}
	if _, err := os.Lstat(j.path(attemptName)); errors.Is(err, fs.ErrNotExist) {
		return false, j.tidy()
	}
	var after map[string]string
	err = readJSON(j.path(attemptName, "attempt.json"), &after)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	var d done
	if readJSON(j.path("done.json"), &d) == nil && len(after) > 0 && sameSums(d.After, after) {
		return false, j.discard() // it had finished
	}
	var foreign []error
	for _, name := range slices.Backward(j.files) {
		m, err := j.restore(j.path(attemptName, "before", name), name, after[name])
		moved = moved || m
		if err != nil {
			foreign = append(foreign, err)
		}
	}
	if len(foreign) > 0 {
		return moved, errors.Join(foreign...)
	}
	return moved, errors.Join(syncDir(j.dir), j.discard(), j.tidy())
}

// restore moves a former file back to its place, where a file with the sum after
// stands.
func (j *journal) restore(former, name, after string) (moved bool, err error) {
	old, err := os.Lstat(former)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // not yet kept
	}
	now, err2 := os.Lstat(j.file(name))
	if err := errors.Join(err, err2); err != nil {
		return false, err
	}
	if os.SameFile(old, now) {
		return false, nil
	}
	if sum, err := sumOf(j.file(name)); err != nil || sum != after {
		return false, errors.Join(err, fmt.Errorf("%s has been changed by somebody else meanwhile and stays; the former file is %s", j.file(name), former))
	}
	return true, os.Rename(former, j.file(name))
}

// tidy removes the folder when there is nothing to undo.
func (j *journal) tidy() error {
	if _, err := os.Lstat(j.path("done.json")); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(j.path())
}

func sameSums(a, b map[string]string) bool {
	for name, sum := range a {
		if b[name] != sum {
			return false
		}
	}
	return len(a) == len(b)
}

// readAll reads a file of at most maxFile bytes.
func readAll(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return data, err
}

func sumOf(path string) (string, error) {
	data, err := readAll(path)
	return fmt.Sprintf("%x", sha256.Sum256(data)), err
}

func sameContent(a, b string) (bool, error) {
	x, err := sumOf(a)
	y, err2 := sumOf(b)
	return x == y, errors.Join(err, err2)
}

// copyFile copies a file with its mode and owner.
func copyFile(from, to string, info fs.FileInfo) error {
	data, err := readAll(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		return err
	}
	return matchOwner(to, from)
}

// matchOwner gives a file the owner and the mode of another, and writes it to disk.
func matchOwner(path, like string) error {
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := os.Chown(path, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	if err := os.Chmod(path, info.Mode().Perm()); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// writeJSON writes a file whole or not at all.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func readJSON(path string, v any) error {
	data, err := readAll(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
