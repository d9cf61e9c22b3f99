package whatif

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dmarcgate/results"
)

func TestTheLastReportIsKeptForThePages(t *testing.T) {
	dir := t.TempDir()
	if last, err := ReadLast(dir); last != nil || err != nil {
		t.Errorf("ReadLast without a report = %v, %v; want none", last, err)
	}
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	r := report{tally: newTally(&Candidate{}, 10), tried: &Candidate{words: "profile strict"}, span: results.Span{From: now.AddDate(0, 0, -7), To: now}}
	for range 2 { // the second replaces the first
		if err := r.keep(dir, now); err != nil {
			t.Fatal(err)
		}
	}
	last, err := ReadLast(dir)
	if err != nil || !last.Made.Equal(now) || !strings.Contains(string(last.Report), `"candidate":"profile strict"`) {
		t.Errorf("ReadLast = %+v, %v", last, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("the directory has %v, %v; want the report alone", files, err)
	}
	info, err := files[0].Info()
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the mode is %v, %v; want 0600", info.Mode(), err)
	}
}

func TestReadLastRefusesWhatIsNoReport(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"too large": func(path string) error { return os.WriteFile(path, make([]byte, maxLast+1), 0o600) },
		"no JSON":   func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) },
		"a link":    func(path string) error { return os.Symlink("/etc/hostname", path) },
		"a pipe":    func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder":  func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		dir := t.TempDir()
		if err := make(filepath.Join(dir, lastFile)); err != nil {
			t.Fatal(err)
		}
		if last, err := ReadLast(dir); err == nil {
			t.Errorf("%s: ReadLast = %+v; want an error", name, last)
		}
	}
}
