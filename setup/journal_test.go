package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dmarcgate/mta/postfix"
)

// newJournal is a journal over two files "a" and "b".
func newJournal(t *testing.T) *journal {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		put(t, filepath.Join(dir, name), "old "+name)
	}
	j, err := openJournal(dir, false, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.close)
	return j
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

// attempt replaces both files, and does not finish.
func attempt(t *testing.T, j *journal, text string) {
	t.Helper()
	if err := j.begin(); err != nil {
		t.Fatal(err)
	}
	for _, name := range j.files {
		put(t, filepath.Join(j.edited(), name), text+" "+name)
	}
	if err := j.swap(); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, j, text)
}

func wantFiles(t *testing.T, j *journal, text string) {
	t.Helper()
	for _, name := range j.files {
		got, err := os.ReadFile(j.file(name))
		info, err2 := os.Stat(j.file(name))
		if err != nil || err2 != nil || string(got) != text+" "+name || info.Mode().Perm() != 0o640 {
			t.Errorf("%s = %q, mode %v, %v; want %q, mode 0640", name, got, info.Mode(), err, text+" "+name)
		}
	}
}

func TestRecoverPutsBackWhatAnAttemptHasReplaced(t *testing.T) {
	j := newJournal(t)
	attempt(t, j, "new")
	if moved, err := j.recover(); err != nil || !moved {
		t.Errorf("recover = %v, %v; want that it moved files", moved, err)
	}
	wantFiles(t, j, "old")
	if _, err := os.Stat(j.path()); !os.IsNotExist(err) {
		t.Errorf("the folder: %v; want none", err)
	}
	if moved, err := j.recover(); err != nil || moved {
		t.Errorf("recover again = %v, %v; want nothing to do", moved, err)
	}
}

func TestRecoverLeavesAFileThatSomebodyElseHasChanged(t *testing.T) {
	j := newJournal(t)
	attempt(t, j, "new")
	put(t, j.file("b"), "others' b")
	if _, err := j.recover(); err == nil || !strings.Contains(err.Error(), "changed by somebody else") {
		t.Errorf("recover = %v; want an error with the name of the file", err)
	}
	for name, want := range map[string]string{"a": "old a", "b": "others' b", filepath.Join(folderName, attemptName, "before", "b"): "old b"} {
		if got, err := os.ReadFile(j.file(name)); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestSwapRefusesAFileThatHasChangedMeanwhile(t *testing.T) {
	j := newJournal(t)
	if err := j.begin(); err != nil {
		t.Fatal(err)
	}
	// Editors replace files; one that writes in place changes the link as well.
	put(t, j.file("c"), "others' a")
	if err := os.Rename(j.file("c"), j.file("a")); err != nil {
		t.Fatal(err)
	}
	if err := j.swap(); err == nil || !strings.Contains(err.Error(), "has changed meanwhile") {
		t.Errorf("swap = %v; want a refusal", err)
	}
}

func TestFinishKeepsTheOriginalsOfTheFirstChange(t *testing.T) {
	j := newJournal(t)
	finish := func(text, old string, was bool) done {
		t.Helper()
		attempt(t, j, text)
		if err := j.finish([]postfix.Change{{Name: "p", Old: old, New: text, Was: was}}); err != nil {
			t.Fatal(err)
		}
		var d done
		if err := readJSON(j.path("done.json"), &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	finish("first", "", false)
	d := finish("second", "first", true)
	want := postfix.Change{Name: "p", New: "second"}
	if len(d.Changes) != 1 || d.Changes[0] != want || !d.Exact {
		t.Errorf("done = %+v; want one change %+v, exact", d, want)
	}
	if got, err := os.ReadFile(j.path(originalName, "a")); err != nil || string(got) != "old a" {
		t.Errorf("original = %q, %v; want that of the first change", got, err)
	}
	put(t, j.file("a"), "others' a")
	if d := finish("third", "second", true); d.Exact {
		t.Error("the originals are exact although somebody has edited a file between two changes")
	}
	wantFiles(t, j, "third")
}

func TestBeginRefusesAFileThatIsNoPlainFile(t *testing.T) {
	j := newJournal(t)
	if err := os.Rename(j.file("b"), j.file("c")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("c", j.file("b")); err != nil {
		t.Fatal(err)
	}
	if err := j.begin(); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("begin = %v; want a refusal of a symbolic link", err)
	}
	if _, err := j.recover(); err != nil {
		t.Errorf("recover: %v", err)
	}
}

func TestOpenJournalAllowsOneAtATime(t *testing.T) {
	j := newJournal(t)
	if other, err := openJournal(j.dir, false, "a"); err != errBusy {
		if other != nil {
			other.close()
		}
		t.Errorf("a second journal: %v; want %v", err, errBusy)
	}
}

func TestReadAllHasALimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	put(t, path, strings.Repeat("x", maxFile))
	if got, err := readAll(path); err != nil || len(got) != maxFile {
		t.Errorf("readAll of %d bytes = %d, %v", maxFile, len(got), err)
	}
	put(t, path, strings.Repeat("x", maxFile+1))
	if _, err := readAll(path); err == nil {
		t.Errorf("readAll of %d bytes: want an error", maxFile+1)
	}
}
