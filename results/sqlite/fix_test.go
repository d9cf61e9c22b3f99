package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/metrics"
	"dmarcgate/results"
	"dmarcgate/results/dbfile"
	"dmarcgate/results/dbread"
)

// qids are the queue ids of a file's rows, oldest first.
func qids(t *testing.T, r *dbread.Reader) string {
	t.Helper()
	var out []string
	for _, row := range contents(t, r) {
		out = append(out, row.Facts.QueueID)
	}
	return strings.Join(out, " ")
}

func qidsOf(t *testing.T, path string) string {
	t.Helper()
	r, err := dbread.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return qids(t, r)
}

func TestAddReopensRemovedFile(t *testing.T) {
	for _, tt := range []struct {
		name string
		take func(path, other string) error
		rows string // of the store afterwards
		kept string // of what was renamed
	}{
		{"removed", func(path, _ string) error { return os.Remove(path) }, "c d", ""},
		{"renamed", func(path, _ string) error { return os.Rename(path, path+".old") }, "c d", "a b"},
		{"replaced by another store", func(path, other string) error {
			return errors.Join(os.Rename(path, path+".old"), os.Rename(other, path))
		}, "x c d", "a b"},
		{"removed with its log", func(path, _ string) error {
			return errors.Join(os.Remove(path), os.Remove(path+"-wal"), os.Remove(path+"-shm"))
		}, "c d", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			opt := options(t)
			other := opt
			other.Path = filepath.Join(t.TempDir(), "other.db")
			fill(t, other, row("x"))
			opt.Metrics = metrics.New(reg, nil)
			s := open(t, opt)
			s.Add(row("a"))
			s.Add(row("b"))
			spool, err := s.Spool(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer spool.Close()
			id := s.ID()
			<-s.loaded // who reads keeps what is in the log out of the file
			if err := tt.take(opt.Path, other.Path); err != nil {
				t.Fatal(err)
			}
			for _, qid := range []string{"c", "d"} {
				if got := s.Add(row(qid)).Outcome; got != results.Written {
					t.Errorf("Add(%s) = %v; want %v", qid, got, results.Written)
				}
			}
			if got := qids(t, s.Reader); got != tt.rows || s.ID() == id {
				t.Errorf("rows = %q of store %s; want %q of another than %s", got, s.ID(), tt.rows, id)
			}
			if got := value(t, reg, "dmarcgate_store_damaged_total", "gone"); got != 1 {
				t.Errorf("damaged_total{gone} = %v; want 1", got)
			}
			if _, err := spool.After(t.Context(), 0, 10, 1000); !errors.Is(err, results.ErrReplaced) {
				t.Errorf("After() on the old file = %v; want %v", err, results.ErrReplaced)
			}
			if ids, err := spool.Identities(t.Context()); err != nil || ids[0].StoreID != s.ID() {
				t.Errorf("Identities() = %v, %v; want those of %s", ids, err, s.ID())
			}
			if err := spool.SetShipped(t.Context(), 1); err != nil {
				t.Errorf("SetShipped() = %v", err)
			}
			if err := errors.Join(spool.Close(), s.Close()); err != nil {
				t.Error(err)
			}
			if got := qidsOf(t, opt.Path); got != tt.rows {
				t.Errorf("rows of the file when it is closed = %q; want %q", got, tt.rows)
			}
			if tt.kept != "" {
				if got := qidsOf(t, opt.Path+".old"); got != tt.kept {
					t.Errorf("rows of the file that was renamed = %q; want %q", got, tt.kept)
				}
			}
		})
	}
}

func TestAddCountsRowsWithoutFile(t *testing.T) {
	opt := options(t)
	opt.Path = filepath.Join(t.TempDir(), "d", "r")
	if err := os.Mkdir(filepath.Dir(opt.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, opt)
	s.Add(row("a"))
	if err := os.RemoveAll(filepath.Dir(opt.Path)); err != nil {
		t.Fatal(err)
	}
	for _, qid := range []string{"b", "c"} {
		if got := s.Add(row(qid)).Outcome; got != results.Dropped {
			t.Errorf("Add(%s) without a directory = %v; want %v", qid, got, results.Dropped)
		}
	}
	if err := s.Check(t.Context()); err == nil {
		t.Error("Check() = nil; want that there is no file")
	}
	if err := os.Mkdir(filepath.Dir(opt.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	s.fix.tried = time.Time{} // a second later
	if got := s.Add(row("d")).Outcome; got != results.Written {
		t.Errorf("Add() with the directory again = %v; want %v", got, results.Written)
	}
	st, err := s.Status(t.Context())
	if err != nil || st.Rows != 1 || st.Dropped["write_failed"] != 2 || st.Failure != "" {
		t.Errorf("Status() = %+v, %v; want one row, and 2 dropped", st, err)
	}
}

// PRAGMA max_page_count is a disk of its size, as far as a commit can tell.
func TestAddCountsRowsLostToFullDisk(t *testing.T) {
	reg := prometheus.NewRegistry()
	opt := options(t)
	opt.Metrics = metrics.New(reg, nil)
	s := open(t, opt)
	tamper(t, s, "PRAGMA max_page_count = 40")
	written, dropped := 0, 0
	for i := 0; dropped < 100; i++ {
		if s.Add(mixRow(i)).Outcome == results.Written {
			written++
		} else {
			dropped++
		}
	}
	tamper(t, s, "PRAGMA max_page_count = 1000000")
	if got := s.Add(row("again")).Outcome; got != results.Written {
		t.Errorf("Add() with space again = %v; want %v", got, results.Written)
	}
	st, err := s.Status(t.Context())
	if err != nil || st.Rows != int64(written)+1 || st.Dropped["disk_full"] != 100 || st.SetAside != "" {
		t.Errorf("Status() = %+v, %v; want %d rows and 100 dropped", st, err, written+1)
	}
	if got := value(t, reg, "dmarcgate_store_dropped_total", "disk_full"); got != 100 {
		t.Errorf("dropped_total{disk_full} = %v; want 100", got)
	}
}

func TestMinFreeDropsRowsBeforeDiskIsFull(t *testing.T) {
	opt := options(t)
	var asked, free atomic.Int64
	free.Store(1000)
	opt.Now = func() time.Time { return today.Add(time.Duration(asked.Add(1)) * spaceEvery) }
	opt.Free = func(string) (int64, int64, error) { return free.Load(), 100_000, nil }
	opt.Retention.FreeBytes = 400
	s := open(t, opt)
	first := s.Add(row("a"))
	for _, step := range []struct {
		free int64
		want results.Outcome
	}{{400, results.Written}, {399, results.Dropped}, {400, results.Dropped}, {499, results.Dropped}, {500, results.Written}, {400, results.Written}, {0, results.Dropped}} {
		free.Store(step.free)
		if got := s.Add(row(fmt.Sprint(step.free))).Outcome; got != step.want {
			t.Errorf("Add() with %d bytes free = %v; want %v", step.free, got, step.want)
		}
	}
	s.MarkUnanswered(first)
	s.Add(row("b"))
	st, err := s.Status(t.Context())
	if err != nil || !st.Guard || st.Dropped["no_space"] != 5 || st.Rows != 4 || s.Check(t.Context()) == nil {
		t.Errorf("Status() = %+v, %v; want 4 rows, 5 dropped, and the guard on", st, err)
	}
	if rows := contents(t, s.Reader); rows[0].State != results.Unanswered {
		t.Errorf("state of the first row = %v; want that it was marked", rows[0].State)
	}
}

func TestMinFreeOfFileSystem(t *testing.T) {
	for _, tt := range []struct{ set, size, want int64 }{
		{0, 100 << 30, 256 << 20}, {0, 1 << 30, 1 << 30 / 20}, {5, 1 << 30, 5}, {-1, 1 << 30, 0},
	} {
		if got := keepsFree(&results.Retention{FreeBytes: tt.set}, tt.size); got != tt.want {
			t.Errorf("keepsFree(%d) with %d = %d; want %d", tt.size, tt.set, got, tt.want)
		}
	}
	if free, size, err := statfs(t.TempDir()); err != nil || free <= 0 || size < free {
		t.Errorf("statfs() = %d of %d, %v", free, size, err)
	}
}

func TestStatusReportsUnreadableFile(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	s := open(t, options(t))
	if err := os.Chmod(s.opt.Path, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.tend(t.Context()); err == nil {
		t.Error("tend() = nil; want that the file cannot be opened")
	}
	if got := s.Add(row("q")).Outcome; got != results.Written {
		t.Errorf("Add() = %v; want %v", got, results.Written)
	}
}

func TestAddErrorsHaveCause(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "r")+"?_pragma=busy_timeout(0)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	one, err := db.Conn(t.Context())
	if err == nil {
		_, err = one.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	_, locked := db.ExecContext(context.Background(), "CREATE TABLE a (b)")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{locked, "locked"}, {fmt.Errorf("x: %w", errNoSpace), "no_space"}, {dbfile.ErrMalformed, "damaged"}, {errNoFile, "write_failed"}, {os.ErrPermission, "write_failed"},
	} {
		if got := cause(tt.err); got != tt.want {
			t.Errorf("cause(%v) = %s; want %s", tt.err, got, tt.want)
		}
	}
}

// A small tmpfs is a disk that is really full.
func TestOpenOnFullDiskRetries(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("no tmpfs of its own: ", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	full := filepath.Join(dir, "full")
	if err := os.WriteFile(full, make([]byte, 2<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	opt := options(t)
	opt.Path, opt.Retention.FreeBytes = filepath.Join(dir, "r"), -1
	s := open(t, opt)
	if got := s.Add(row("a")).Outcome; got != results.Dropped {
		t.Errorf("Add() on a full disk = %v; want %v", got, results.Dropped)
	}
	if err := s.Check(t.Context()); err == nil {
		t.Error("Check() on a full disk = nil; want an error")
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	s.fix.tried = time.Time{} // a second later
	if got := s.Add(row("b")).Outcome; got != results.Written {
		t.Errorf("Add() with room = %v; want %v", got, results.Written)
	}
	if err := os.WriteFile(full, make([]byte, 2<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	written, dropped := 1, 0
	for i := 0; dropped < 20; i++ {
		if s.Add(mixRow(i)).Outcome == results.Written {
			written++
		} else {
			dropped++
		}
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if got := s.Add(row("c")).Outcome; got != results.Written {
		t.Errorf("Add() with room again = %v; want %v", got, results.Written)
	}
	st, err := s.Status(t.Context())
	if err != nil || st.Rows != int64(written)+1 || st.Dropped["disk_full"] != 21 || st.SetAside != "" {
		t.Errorf("Status() = %+v, %v; want %d rows, and 21 dropped", st, err, written+1)
	}
}
