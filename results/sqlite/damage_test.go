package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"dmarcgate/metrics"
	"dmarcgate/results"
	"dmarcgate/results/dbfile"
)

// damagedRows is how many rows the file of these tests has.
const damagedRows = 300

// wholeFile makes a file with pages of all kinds.
func wholeFile(t *testing.T) (path string) {
	t.Helper()
	opt := options(t)
	opt.Path = filepath.Join(t.TempDir(), "r")
	rows := make([]results.Row, damagedRows)
	for i := range rows {
		rows[i] = mixRow(i)
		if i%100 == 0 {
			rows[i].Facts.Authors[0].Record = strings.Repeat("long ", 3000)
		}
	}
	fill(t, opt, rows...)
	s := open(t, opt)
	tamper(t, s, "CREATE TABLE gone AS SELECT * FROM message LIMIT 100; DROP TABLE gone;"+
		"INSERT INTO digest VALUES (1, 0, zeroblob(9000))")
	s.Close()
	return opt.Path
}

func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	for _, suffix := range dbfile.Suffixes[:2] {
		data, err := os.ReadFile(from + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(to+suffix, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// kindsOf returns a few pages of each kind.
func kindsOf(t *testing.T, path string) map[string][]int64 {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rs, err := db.Query("SELECT name, pagetype, pageno FROM dbstat")
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	kinds := map[string][]int64{"first": {1}, "map": {2}}
	known := map[int64]bool{1: true, 2: true}
	for rs.Next() {
		var name, kind string
		var page int64
		if err := rs.Scan(&name, &kind, &page); err != nil {
			t.Fatal(err)
		}
		known[page] = true
		if key := name + " " + kind; len(kinds[key]) < 1 {
			kinds[key] = append(kinds[key], page)
		}
	}
	var pages int64
	if err := db.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	for page := int64(3); page <= pages && len(kinds["free"]) < 2; page++ {
		if !known[page] {
			kinds["free"] = append(kinds["free"], page)
		}
	}
	return kinds
}

// evaluate opens a file that something was done to. Nothing may be lost without a
// word: the rows are all there, or a query fails, or the file was set aside, or
// Open says what is wrong and leaves it.
func evaluate(t *testing.T, path string) string {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	opt := Options{Path: path, Durability: Ack, Wait: time.Minute, Queue: 10, Log: slog.New(slog.NewTextHandler(&log, nil)), checked: make(chan struct{}, 9)}
	s, err := Open(context.Background(), opt)
	if err != nil {
		if after, _ := os.ReadFile(path); len(after) == 0 || !strings.Contains(err.Error(), path) {
			t.Errorf("Open() = %v, and %d bytes; want an error with the name of the file, and the file", err, len(after))
		}
		return "refused"
	}
	defer s.Close()
	<-s.loaded // who reads the store beside the mail logs, too
	<-opt.checked
	if got := s.Add(row("new")).Outcome; got != results.Written && !strings.Contains(log.String(), "results not recorded") {
		t.Errorf("Add() = %v without a word", got)
	}
	aside, _ := filepath.Glob(path + ".damaged-*")
	if len(aside) > 0 {
		if !strings.Contains(log.String(), aside[0]) {
			t.Errorf("the log does not name %s:\n%s", aside[0], &log)
		}
		if after, _ := os.ReadFile(aside[0]); len(after) < len(before) {
			t.Errorf("%s has %d bytes; want the %d that were there", aside[0], len(after), len(before))
		}
		return "set aside"
	}
	n := 0
	if err := s.Scan(context.Background(), results.Span{}, func(results.Row) error { n++; return nil }); err != nil {
		return "a query fails"
	}
	if n != damagedRows+1 {
		t.Errorf("%d rows without a word; want %d", n, damagedRows+1)
	}
	return "whole"
}

func TestOpenReportsEveryDamage(t *testing.T) {
	clean := wholeFile(t)
	random := rand.New(rand.NewPCG(1, 2))
	outcomes := make(map[string]int)
	try := func(name string, damage func(f *os.File) error) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "r")
			copyFiles(t, clean, path)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err == nil {
				err = errors.Join(damage(f), f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
			outcomes[evaluate(t, path)]++
		})
	}
	const pageSize = 4096
	for kind, pages := range kindsOf(t, clean) {
		for _, page := range pages {
			for _, at := range []int64{int64(random.IntN(8)), int64(8 + random.IntN(400)), int64(pageSize - 1 - random.IntN(400))} {
				try(fmt.Sprintf("%s page %d at %d", kind, page, at), func(f *os.File) error {
					var b [1]byte
					if _, err := f.ReadAt(b[:], (page-1)*pageSize+at); err != nil {
						return err
					}
					b[0] ^= byte(1 + random.IntN(255))
					_, err := f.WriteAt(b[:], (page-1)*pageSize+at)
					return err
				})
			}
			try(fmt.Sprintf("%s page %d of zeros", kind, page), func(f *os.File) error {
				_, err := f.WriteAt(make([]byte, pageSize), (page-1)*pageSize)
				return err
			})
		}
	}
	for _, size := range []int64{1, 99, 100, pageSize - 1, pageSize, 10*pageSize + 7, 100 * pageSize} {
		try(fmt.Sprint("cut to ", size), func(f *os.File) error { return f.Truncate(size) })
	}
	try("a header of zeros", func(f *os.File) error { _, err := f.WriteAt(make([]byte, 100), 0); return err })
	t.Log(outcomes)
	if outcomes["set aside"] < 25 || outcomes["whole"] == 0 {
		t.Errorf("outcomes = %v; want that most damage is found, and some does not matter", outcomes)
	}
}

func TestOpenRenamesInvalidFile(t *testing.T) {
	reg := prometheus.NewRegistry()
	opt := options(t)
	opt.Metrics = metrics.New(reg, nil)
	text := strings.Repeat("not a database ", 1000)
	if err := os.WriteFile(opt.Path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, opt)
	if got := s.Add(row("q")).Outcome; got != results.Written {
		t.Errorf("Add() = %v; want %v", got, results.Written)
	}
	st, err := s.Status(context.Background())
	if err != nil || st.SetAside == "" || st.Rows != 1 {
		t.Fatalf("Status() = %+v, %v; want one row, and the name of the old file", st, err)
	}
	if got, err := os.ReadFile(st.SetAside); err != nil || string(got) != text {
		t.Errorf("%s has %d bytes, %v; want what was there", st.SetAside, len(got), err)
	}
	if got := value(t, reg, "dmarcgate_store_damaged_total", "file"); got != 1 {
		t.Errorf("damaged_total{file} = %v; want 1", got)
	}
}

func value(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s with %s", name, label)
	return 0
}

// killed is a store's files as kill -9 leaves them, with rows in the log.
func killed(t *testing.T) string {
	t.Helper()
	opt := options(t)
	opt.checked = make(chan struct{}, 9)
	s := open(t, opt)
	<-opt.checked // readers keep SQLite from beginning the log anew
	<-s.loaded
	for i := range 50 {
		s.Add(row(fmt.Sprint(i)))
	}
	path := filepath.Join(t.TempDir(), "r")
	copyFiles(t, opt.Path, path)
	return path
}

func TestOpenReadsLogOrReportsLoss(t *testing.T) {
	from := killed(t)
	info, err := os.Stat(from + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	const header, frame = 32, 24 + 4096 // sqlite.org/fileformat2.html, Section 4
	middle := header + info.Size()/frame/2*frame
	for _, tt := range []struct {
		name   string
		damage func(f *os.File) error
		rows   string // how many of 50 are there
		log    string
	}{
		{"as it was left", func(*os.File) error { return nil }, "all", ""},
		{"the last frame was not written to its end", func(f *os.File) error { return f.Truncate(info.Size() - 5) }, "most", ""},
		{"a frame in the middle is damaged", func(f *os.File) error { _, err := f.WriteAt([]byte("damage"), middle+100); return err }, "some", "last commits before the start are lost"},
		{"the header is damaged", func(f *os.File) error { _, err := f.WriteAt([]byte("damage"), 10); return err }, "none", "store file damaged"},
		{"the header is gone", func(f *os.File) error { _, err := f.WriteAt(make([]byte, header), 0); return err }, "none", "store file damaged"},
		{"it is empty", func(f *os.File) error { return f.Truncate(0) }, "none", ""},
		{"it is all zeros", func(f *os.File) error { return errors.Join(f.Truncate(0), f.Truncate(3*frame)) }, "none", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "r")
			copyFiles(t, from, path)
			f, err := os.OpenFile(path+"-wal", os.O_RDWR, 0)
			if err == nil {
				err = errors.Join(tt.damage(f), f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			opt := options(t)
			opt.Path, opt.Log, opt.checked = path, slog.New(slog.NewTextHandler(&log, nil)), make(chan struct{}, 9)
			s := open(t, opt)
			<-s.loaded
			<-opt.checked
			n := len(contents(t, s.Reader))
			got := map[bool]string{n == 50: "all", n == 49: "most", n > 5 && n < 49: "some", n == 0: "none"}[true]
			if got != tt.rows || !strings.Contains(log.String(), tt.log) || tt.log == "" && log.Len() > 0 {
				t.Errorf("%d rows, and the log says %q; want %s and %q", n, &log, tt.rows, tt.log)
			}
		})
	}
}

func TestOpenRenamesLogWithoutFile(t *testing.T) {
	path := killed(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	opt := options(t)
	opt.Path = path
	s := open(t, opt)
	if logs, err := filepath.Glob(path + ".damaged-*-wal"); err != nil || len(logs) != 1 {
		t.Errorf("logs set aside = %v, %v; want one", logs, err)
	}
	if got := s.Add(row("q")).Outcome; got != results.Written {
		t.Errorf("Add() = %v; want %v", got, results.Written)
	}
}

func TestOpenKeepsFileAfterOtherErrors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		want    string
	}{
		{"a directory", func(t *testing.T, path string) { os.Mkdir(path, 0o700) }, "directory"},
		{"a newer schema", func(t *testing.T, path string) { script(t, path, "PRAGMA user_version = 99") }, "schema version 99"},
		{"a database of another program", func(t *testing.T, path string) { script(t, path, "CREATE TABLE theirs (a)") }, "another program"},
		{"a store without a table", func(t *testing.T, path string) {
			script(t, path, fmt.Sprint("CREATE TABLE meta (key, value); PRAGMA user_version = ", dbfile.Version))
		}, "store id"},
		{"a path below a file", func(t *testing.T, path string) {
			os.WriteFile(filepath.Dir(path), nil, 0o600)
		}, "not a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opt := options(t)
			opt.Path = filepath.Join(t.TempDir(), "d", "r")
			if !strings.Contains(tt.name, "below") {
				os.Mkdir(filepath.Dir(opt.Path), 0o700)
			}
			tt.prepare(t, opt.Path)
			_, err := Open(context.Background(), opt)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), opt.Path) {
				t.Errorf("Open() = %v; want an error with %q and the path", err, tt.want)
			}
			if aside, _ := filepath.Glob(opt.Path + ".*"); len(aside) > 0 {
				t.Errorf("set aside: %v; want nothing", aside)
			}
		})
	}
}

// script does something to a file without a store.
func script(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err == nil {
		_, err = db.Exec(text)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAddSurvivesDamageFoundLater(t *testing.T) {
	reg := prometheus.NewRegistry()
	opt := options(t)
	opt.Metrics = metrics.New(reg, nil)
	s := open(t, opt)
	before := s.Add(row("before"))
	old := s.ID()
	damage(t, s)
	if got := s.Add(row("after")).Outcome; got != results.Written {
		t.Errorf("Add() = %v; want %v", got, results.Written)
	}
	s.MarkUnanswered(before) // the new file has another row with its number
	s.Add(row("later"))
	st, err := s.Status(context.Background())
	if err != nil || st.SetAside == "" || st.ID == old || len(st.Dropped) > 0 || st.Failure != "" {
		t.Errorf("Status() = %+v, %v; want a new store, and nothing dropped", st, err)
	}
	rows := contents(t, s.Reader)
	if len(rows) != 2 || rows[0].Facts.QueueID != "after" || rows[0].State != results.Answered {
		t.Errorf("rows = %+v; want the two that came after", rows)
	}
	if n, err := testutil.GatherAndCount(reg, "dmarcgate_store_damaged_total"); err != nil || n != 3 || value(t, reg, "dmarcgate_store_damaged_total", "file") != 1 {
		t.Errorf("damaged_total has %d series, %v; want 3, and one file", n, err)
	}
	damage(t, s)
	if got := s.Add(row("again")).Outcome; got != results.Dropped {
		t.Errorf("Add() after damage within a minute = %v; want %v", got, results.Dropped)
	}
	if st, err := s.Status(context.Background()); err == nil && st.Dropped["damaged"] != 1 {
		t.Errorf("dropped = %v; want one as damaged", st.Dropped)
	}
}

// damage spoils all pages of an open file, and what SQLite remembers of them.
func damage(t *testing.T, s *Store) {
	t.Helper()
	<-s.loaded // whoever reads keeps the log from being emptied
	if err := s.on(context.Background(), nil, func(conn *sql.Conn) error {
		err := checkpoint(context.Background(), conn)
		info, failed := os.Stat(s.opt.Path)
		if err = errors.Join(err, failed); err != nil {
			return err
		}
		f, err := os.OpenFile(s.opt.Path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err = f.WriteAt([]byte(strings.Repeat("\xff", int(info.Size())-4096)), 4096); err != nil {
			return err
		}
		_, err = conn.ExecContext(context.Background(), "PRAGMA shrink_memory")
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
