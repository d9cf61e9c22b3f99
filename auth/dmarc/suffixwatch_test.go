package dmarc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listText is a list of more than minSuffixes rules, with one that a test
// chooses.
func listText(rule string) string {
	var b strings.Builder
	for i := range minSuffixes {
		fmt.Fprintf(&b, "x%d\n", i)
	}
	return b.String() + rule + "\n"
}

// watched is a SuffixFile with a clock that a test turns.
type watched struct {
	*SuffixFile
	path  string
	clock time.Time
	told  []string
}

func watch(t *testing.T) *watched {
	t.Helper()
	w := &watched{path: filepath.Join(t.TempDir(), "list.dat"), clock: time.Unix(1e9, 0)}
	w.write(t, listText("example"))
	f, err := OpenSuffixes(w.path, func() time.Time { return w.clock }, func(err error) {
		w.told = append(w.told, strings.ReplaceAll(fmt.Sprint(err), w.path, "FILE"))
	})
	if err != nil {
		t.Fatal(err)
	}
	w.SuffixFile = f
	return w
}

func (w *watched) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(w.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *watched) wait() { w.clock = w.clock.Add(SuffixCheckInterval) }

func (w *watched) wantOrg(t *testing.T, when, want string) {
	t.Helper()
	if got := w.Org("a.b.bank.example"); got != want {
		t.Errorf("%s: Org = %q; want %q", when, got, want)
	}
}

func TestSuffixFileReloadsChangedFile(t *testing.T) {
	w := watch(t)
	w.wantOrg(t, "at first", "bank.example")
	w.write(t, listText("example\nbank.example"))
	w.wantOrg(t, "before the time", "bank.example")
	w.clock = w.clock.Add(SuffixCheckInterval - 1)
	w.wantOrg(t, "just before the time", "bank.example")
	w.clock = w.clock.Add(1)
	w.wantOrg(t, "when it is time", "b.bank.example")
	if w.Err() != nil || len(w.told) != 1 || w.told[0] != "<nil>" {
		t.Errorf("Err() = %v, told %v; want one good report", w.Err(), w.told)
	}
	w.wait()
	w.Current()
	if len(w.told) != 1 {
		t.Errorf("told %v; want nothing about a file that did not change", w.told)
	}
	w.write(t, listText("example"))
	w.wantOrg(t, "before it is time again", "b.bank.example")
}

func TestSuffixFileReloadsAffectedFile(t *testing.T) {
	w := watch(t)
	w.write(t, strings.Replace(listText("example"), "x0\n", "y0\n", 1))
	if err := os.Chtimes(w.path, time.Unix(5, 0), time.Unix(5, 0)); err != nil {
		t.Fatal(err)
	}
	w.wait()
	w.Current()
	if len(w.told) != 1 {
		t.Errorf("told %v; want one good report", w.told)
	}
}

func TestSuffixFileKeepsListAfterError(t *testing.T) {
	w := watch(t)
	for _, text := range []string{"com\n", "", "com\nnet\n"} {
		w.write(t, text)
		w.wait()
		w.wantOrg(t, "broken", "bank.example")
	}
	w.wait()
	w.wantOrg(t, "still broken", "bank.example")
	if w.Err() == nil || len(w.told) != 3 || !strings.Contains(w.told[0], "stays active") || !strings.Contains(w.told[0], "FILE") {
		t.Errorf("Err() = %v, told %v; want each fault once", w.Err(), w.told)
	}
	w.write(t, listText("example\nbank.example"))
	w.wait()
	w.wantOrg(t, "fixed", "b.bank.example")
	if w.Err() != nil || len(w.told) != 4 {
		t.Errorf("Err() = %v, told %v; want a good report at last", w.Err(), w.told)
	}
}

func TestSuffixFileSurvivesRemoval(t *testing.T) {
	w := watch(t)
	text, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	w.wait()
	w.wantOrg(t, "away", "bank.example")
	if w.Err() == nil {
		t.Error("Err() = nil; want the file missed")
	}
	w.write(t, string(text))
	w.wait()
	w.Current()
	if w.Err() != nil || len(w.told) != 2 {
		t.Errorf("Err() = %v, told %v; want it back", w.Err(), w.told)
	}
}

func TestOpenSuffixesNeedsList(t *testing.T) {
	if f, err := OpenSuffixes("/nonexistent.dat", time.Now, nil); err == nil {
		t.Errorf("OpenSuffixes(no file) = %v; want an error", f)
	}
}

func TestSuffixFileWithoutReport(t *testing.T) {
	w := watch(t)
	w.report = nil
	w.write(t, listText("example\nbank.example"))
	w.wait()
	w.wantOrg(t, "changed", "b.bank.example")
}

func TestSuffixFileReadsOnceAtATime(t *testing.T) {
	w := watch(t)
	w.write(t, listText("example\nbank.example"))
	w.wait()
	w.mu.Lock() // somebody reads it
	w.wantOrg(t, "while another reads", "bank.example")
	w.mu.Unlock()
	w.wantOrg(t, "afterwards", "b.bank.example")
}

func TestLoadSuffixesRejectsShortList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.dat")
	least := strings.Replace(listText("example"), "x0\n", "", 1)
	for text, want := range map[string]bool{least: true, strings.Replace(least, "x1\n", "", 1): false} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadSuffixes(path); (err == nil) != want {
			t.Errorf("LoadSuffixes(%d rules) = %v; want it taken: %t", strings.Count(text, "\n"), err, want)
		}
	}
	if _, err := LoadSuffixes(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("LoadSuffixes(a folder) = %v; want what the system says", err)
	}
}
