package file

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/internal/queuetest"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/tables"
	"dmarcgate/results/dbfile"
	"dmarcgate/results/sqlite"
)

// clock is the time of a test.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC).Add(time.Duration(c.ahead.Load()))
}

func options(t *testing.T) Options {
	return Options{Path: filepath.Join(t.TempDir(), "reports.db"), Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: new(clock).now}
}

func TestQueueInFile(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queuetest.Subject {
		c, opt := new(clock), options(t)
		opt.Now = c.now
		again := func() tables.Database {
			db, err := openDatabase(t.Context(), opt)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			return db
		}
		return queuetest.Subject{Database: again(), Advance: func(d time.Duration) { c.ahead.Add(int64(d)) }, Again: again}
	})
}

// mail plans, renders and sends reports about a day, by an owner and a fence, and
// returns how many mails went out.
func mail(t *testing.T, q *tables.Queue, f *queue.Fence, day time.Time, domains ...string) (mails int) {
	t.Helper()
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := q.CloseDay(ctx, queue.Run{Day: day})
	ok(err)
	if _, err = q.TakeDay(ctx, "a"); !errors.Is(err, queue.ErrUnknown) {
		ok(err)
		var plan queue.Plan
		for _, name := range domains {
			plan.Reports = append(plan.Reports, queue.Report{ID: name + day.Format("20060102"), Kind: queue.Aggregate, PolicyDomain: name, Begin: day, End: day.Add(queue.Day),
				PolicyHash: "h", Form: "rfc9990", Deliveries: []queue.Delivery{{Key: "a@" + name, Host: name, URI: "mailto:a@" + name}}})
		}
		_, err = q.Plan(ctx, "a", day, plan)
		ok(err)
	}
	planned, err := q.Take(ctx, "a", queue.Planned, 100)
	ok(err)
	for _, r := range planned {
		ok(q.StoreBody(ctx, "a", r.ID, queue.Body{Gzip: []byte(r.ID)}))
		ok(q.Release(ctx, "a", r.ID))
	}
	ready, err := q.Take(ctx, "a", queue.Ready, 100)
	ok(err)
	for _, r := range ready {
		a, err := f.Begin(ctx, "a", queue.Begin{Delivery: r.Deliveries[0].ID})
		ok(err)
		mails++
		ok(q.Settle(ctx, "a", a, queue.Outcome{State: queue.Sent}))
	}
	return mails
}

func openAt(t *testing.T, opt Options) *tables.Queue {
	t.Helper()
	q, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func results(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "results.db"), Durability: sqlite.Ack, Wait: time.Minute, Queue: 10,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func fence(t *testing.T, q *tables.Queue, s *sqlite.Store) (*queue.Fence, queue.Restored) {
	t.Helper()
	f, found, err := queue.NewFence(t.Context(), q, s)
	if err != nil {
		t.Fatal(err)
	}
	return f, found
}

var friday = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

// copyFile copies a closed queue.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o640); err != nil {
		t.Fatal(err)
	}
}

func TestRestoredFileSendsNothingTwice(t *testing.T) {
	opt, s := options(t), results(t)
	backup := opt.Path + ".backup"
	q := openAt(t, opt)
	f, found := fence(t, q, s)
	if found != (queue.Restored{}) {
		t.Fatalf("new queue: %+v; want nothing found", found)
	}
	if n := mail(t, q, f, friday.AddDate(0, 0, -1), "one.example"); n != 1 {
		t.Fatalf("%d mails; want 1", n)
	}
	q.Close()
	copyFile(t, opt.Path, backup)
	q = openAt(t, opt)
	f, found = fence(t, q, s)
	if n := mail(t, q, f, friday, "one.example", "two.example"); n != 2 || found.Condition != queue.AsLeft {
		t.Fatalf("%d mails, %+v; want 2 from a queue that is as it was", n, found)
	}
	q.Close()
	copyFile(t, backup, opt.Path)
	q = openAt(t, opt)
	f, found = fence(t, q, s)
	if found.Condition != queue.WasOlder {
		t.Errorf("NewFence found %+v; want an older queue", found)
	}
	if n := mail(t, q, f, friday, "one.example", "two.example"); n != 0 {
		t.Errorf("%d mails after the restore; want none", n)
	}
	if n := mail(t, q, f, friday.AddDate(0, 0, 1), "one.example"); n != 1 {
		t.Errorf("%d mails about the next day; want 1", n)
	}
}

func TestDamagedFileIsSetAsideAndSendsNothingTwice(t *testing.T) {
	opt, s := options(t), results(t)
	q := openAt(t, opt)
	f, _ := fence(t, q, s)
	mail(t, q, f, friday, "one.example")
	q.Close()
	text, err := os.ReadFile(opt.Path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(text); i++ {
		text[i] = 0xa5
	}
	if err := os.WriteFile(opt.Path, text, 0o640); err != nil {
		t.Fatal(err)
	}
	q = openAt(t, opt)
	if aside, err := filepath.Glob(opt.Path + ".damaged-*"); err != nil || len(aside) != 1 {
		t.Errorf("set aside: %v, %v; want one file", aside, err)
	}
	f, found := fence(t, q, s)
	if n := mail(t, q, f, friday, "one.example"); n != 0 || found.Condition != queue.Another {
		t.Errorf("%d mails, %+v; want none from a queue that knows nothing", n, found)
	}
}

func TestDamageWithinAStatementAsksToOpenAgain(t *testing.T) {
	opt := options(t)
	db, err := openDatabase(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	q := tables.New(db)
	err = db.Do(t.Context(), func(tables.Tx) error { return dbfile.ErrMalformed })
	if !errors.Is(err, queue.ErrReopen) {
		t.Errorf("Do = %v; want ErrReopen", err)
	}
	if _, err := q.Now(t.Context()); !errors.Is(err, queue.ErrReopen) {
		t.Errorf("Now = %v; want ErrReopen until the file is opened again", err)
	}
}

func TestReplacedFileAsksToOpenAgain(t *testing.T) {
	for name, replace := range map[string]func(path string) error{
		"removed":  os.Remove,
		"renamed":  func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o640)) },
	} {
		t.Run(name, func(t *testing.T) {
			opt := options(t)
			q := openAt(t, opt)
			if err := replace(opt.Path); err != nil {
				t.Fatal(err)
			}
			if err := q.SetNote(t.Context(), "x", "y"); !errors.Is(err, queue.ErrReopen) {
				t.Errorf("SetNote = %v; want ErrReopen", err)
			}
		})
	}
}

func TestOpenRefusesOtherDatabases(t *testing.T) {
	for name, script := range map[string]string{
		"of another program": "CREATE TABLE meta (key, value); PRAGMA user_version = 1",
		"of a newer program": "CREATE TABLE report (id); PRAGMA application_id = 1684894321; PRAGMA user_version = 99",
	} {
		t.Run(name, func(t *testing.T) {
			opt := options(t)
			db, err := sql.Open("sqlite", dsn(opt.Path))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(script); err != nil {
				t.Fatal(err)
			}
			db.Close()
			if q, err := Open(t.Context(), opt); err == nil {
				q.Close()
				t.Error("Open took the file")
			}
			if aside, _ := filepath.Glob(opt.Path + ".damaged-*"); len(aside) > 0 {
				t.Errorf("%v was set aside; want it left alone", aside)
			}
		})
	}
}

func TestFileIsReadableByItsGroupAlone(t *testing.T) {
	opt := options(t)
	openAt(t, opt)
	for _, suffix := range dbfile.Suffixes {
		info, err := os.Stat(opt.Path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode&0o007 != 0 {
			t.Errorf("mode of %s = %v; want nothing for others", info.Name(), mode)
		}
	}
}

func TestDeletedAddressLeavesNoTrace(t *testing.T) {
	opt, s := options(t), results(t)
	q := openAt(t, opt)
	f, _ := fence(t, q, s)
	other := openAt(t, opt) // so that the log outlives q, as in a daemon
	defer other.Close()
	mail(t, q, f, friday, "secret-address.example", "other.example")
	if _, err := q.Purge(t.Context(), queue.Purge{Domain: "secret-address.example"}); err != nil {
		t.Fatal(err)
	}
	q.Close()
	for _, suffix := range dbfile.Suffixes[:2] {
		text, err := os.ReadFile(opt.Path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if suffix == "" && !bytes.Contains(text, []byte("a@other.example")) || bytes.Contains(text, []byte("a@secret-address")) {
			t.Errorf("the file%s has the deleted address, or has lost the other one", suffix)
		}
	}
}

func TestFullFileFailsAStepAndGoesOnLater(t *testing.T) {
	opt := options(t)
	db, err := openDatabase(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	q := tables.New(db)
	pages := func(text string) {
		t.Helper()
		if _, err := db.conn.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	pages("PRAGMA max_page_count = 1") // SQLite takes the size that the file has
	failed := false
	for n := 0; n < 100 && !failed; n++ {
		err := q.SetNote(t.Context(), fmt.Sprint("note", n), strings.Repeat("x", 2000))
		failed = dbfile.IsFull(err)
		if err != nil && !failed {
			t.Fatal(err)
		}
	}
	if !failed {
		t.Fatal("the file is never full")
	}
	if _, err := q.Now(t.Context()); err != nil {
		t.Errorf("Now = %v; want that the queue can be read", err)
	}
	pages("PRAGMA max_page_count = 1000000")
	if err := q.SetNote(t.Context(), "later", "x"); err != nil {
		t.Errorf("SetNote = %v; want it to succeed when there is room again", err)
	}
}

func TestClosedAndCancelledQueueFails(t *testing.T) {
	q := openAt(t, options(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.SetNote(ctx, "a", "b"); !errors.Is(err, context.Canceled) {
		t.Errorf("SetNote = %v; want that it was cancelled", err)
	}
	if text, err := q.Note(t.Context(), "a"); err != nil || text != "" {
		t.Errorf("Note = %q, %v; want nothing written", text, err)
	}
	for range 2 {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := q.SetNote(t.Context(), "a", "b"); err == nil {
		t.Error("SetNote of a closed queue succeeded")
	}
}
