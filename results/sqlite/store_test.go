package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"dmarcgate/auth/dmarc"
	"dmarcgate/metrics"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/dbread"
)

func options(t *testing.T) Options {
	return Options{
		Path: filepath.Join(t.TempDir(), "a b?#%.db"), Durability: Ack, Wait: time.Minute, Queue: 1000,
		MaintenanceEvery: 24 * time.Hour, // tests do the rounds themselves: see tend
		Log:              slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func open(t *testing.T, opt Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// tamper does something to the file between two groups of rows.
func tamper(t *testing.T, s *Store, text string) {
	t.Helper()
	if err := s.on(context.Background(), nil, func(conn *sql.Conn) error {
		_, err := conn.ExecContext(context.Background(), text)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAddKeepsRow(t *testing.T) {
	s := open(t, options(t))
	want := row("4XyZ1")
	if got := s.Add(want).Outcome; got != results.Written {
		t.Fatalf("Add() = %v; want %v", got, results.Written)
	}
	rows, err := s.ByQueueID(context.Background(), "4XyZ1")
	if err != nil || len(rows) != 1 {
		t.Fatalf("ByQueueID() = %d rows, %v; want one", len(rows), err)
	}
	want.Sequence = 1
	if !reflect.DeepEqual(rows[0], want) {
		t.Errorf("ByQueueID() = %+v; want %+v", rows[0], want)
	}
	s2 := policy.Settings{Profile: policy.Strict, EnforceShare: 100}
	if got := s2.Decide(rows[0].Facts); got.Action != policy.Reject {
		t.Errorf("deciding again from the stored facts = %v; want %v", got.Action, policy.Reject)
	}
}

func TestAddColumnsNameDecidingDomain(t *testing.T) {
	s := open(t, options(t))
	r := row("q")
	r.Facts.Authors = append([]policy.Author{{Domain: "first.example"}}, r.Facts.Authors...)
	s.Add(r)
	var author, domain string
	var result, requested, disposition, action int
	err := s.QueryRowContext(context.Background(), "SELECT author, policy_domain, result, requested, disposition, action FROM message").
		Scan(&author, &domain, &result, &requested, &disposition, &action)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(author, domain, result, requested, disposition, action)
	if want := fmt.Sprint("bank.example", "", int(dmarc.Fail), int(dmarc.Reject), int(policy.Rejected), int(policy.Reject)); got != want {
		t.Errorf("columns = %v; want %v", got, want)
	}
}

func TestAddConcurrently(t *testing.T) {
	reg := prometheus.NewRegistry()
	opt := options(t)
	opt.Metrics = metrics.New(reg, []string{"mta"})
	s := open(t, opt)
	const writers, each = 20, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if got := s.Add(row(fmt.Sprintf("%d-%d", w, i))).Outcome; got != results.Written {
					t.Errorf("Add() = %v; want %v", got, results.Written)
				}
			}
		})
	}
	wg.Wait()
	var n int
	if err := s.QueryRowContext(context.Background(), "SELECT count(DISTINCT qid) FROM message").Scan(&n); err != nil || n != writers*each {
		t.Errorf("rows = %d, %v; want %d", n, err, writers*each)
	}
	families, err := testutil.GatherAndCount(reg, "dmarcgate_store_records_total")
	if err != nil || families != 2 {
		t.Errorf("store_records_total has %d series, %v; want 2", families, err)
	}
}

func TestCloseCommitsQueuedRows(t *testing.T) {
	opt := options(t)
	opt.Durability = Async
	s := open(t, opt)
	for i := range 50 {
		s.Add(row(fmt.Sprint(i)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.Add(row("late")).Outcome; got != results.Dropped {
		t.Errorf("Add after Close = %v; want %v", got, results.Dropped)
	}
	again := open(t, opt)
	rows, err := again.Recent(context.Background(), 100)
	if err != nil || len(rows) != 50 {
		t.Errorf("rows after reopening = %d, %v; want 50", len(rows), err)
	}
	if again.ID() != s.ID() || len(s.ID()) != 32 {
		t.Errorf("store id = %q, then %q; want the same 32 digits", s.ID(), again.ID())
	}
}

// A store that another process has locked is the slow disk of this test.
func TestAddWaitIsLimited(t *testing.T) {
	opt := options(t)
	opt.Wait = time.Millisecond
	s := open(t, opt)
	other, err := sql.Open("sqlite", dsn(opt))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	lock, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	receipt := s.Add(row("q"))
	if receipt.Outcome != results.Late {
		t.Errorf("Add() with a locked file = %v; want %v", receipt.Outcome, results.Late)
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	<-receipt.Token.(*op).done
	if rows, err := s.ByQueueID(context.Background(), "q"); err != nil || len(rows) != 1 {
		t.Errorf("rows when the lock is gone = %d, %v; want 1", len(rows), err)
	}
}

func TestAddDropsRowsWhenQueueIsFull(t *testing.T) {
	reg := prometheus.NewRegistry()
	opt := options(t)
	opt.Metrics = metrics.New(reg, nil)
	opt.Queue, opt.Wait = 1, time.Millisecond
	s := newStore(opt) // no writer
	if got := s.Add(row("1")).Outcome; got != results.Late {
		t.Errorf("Add() into the queue = %v; want %v", got, results.Late)
	}
	if got := s.Add(row("2")).Outcome; got != results.Dropped {
		t.Errorf("Add() into the full queue = %v; want %v", got, results.Dropped)
	}
	want := strings.NewReader(`
# HELP dmarcgate_store_dropped_total Results lost, by cause.
# TYPE dmarcgate_store_dropped_total counter
dmarcgate_store_dropped_total{why="damaged"} 0
dmarcgate_store_dropped_total{why="disk_full"} 0
dmarcgate_store_dropped_total{why="locked"} 0
dmarcgate_store_dropped_total{why="no_space"} 0
dmarcgate_store_dropped_total{why="queue_full"} 1
dmarcgate_store_dropped_total{why="write_failed"} 0
`)
	if err := testutil.GatherAndCompare(reg, want, "dmarcgate_store_dropped_total"); err != nil {
		t.Error(err)
	}
}

func TestMarkUnansweredMarksRow(t *testing.T) {
	s := open(t, options(t))
	s.MarkUnanswered(s.Add(row("lost")))
	s.Add(row("next")) // committed after the mark
	rows, err := s.ByQueueID(context.Background(), "lost")
	if err != nil || len(rows) != 1 || rows[0].State != results.Unanswered {
		t.Errorf("rows = %+v, %v; want one that is unanswered", rows, err)
	}
	s.MarkUnanswered(nil)
	s.MarkUnanswered(&results.Receipt{})
}

func TestOpenRejectsNewerSchema(t *testing.T) {
	opt := options(t)
	s := open(t, opt)
	tamper(t, s, "PRAGMA user_version = 99")
	s.Close()
	_, err := Open(context.Background(), opt)
	if err == nil || !strings.Contains(err.Error(), "schema version 99") || !strings.Contains(err.Error(), opt.Path) {
		t.Errorf("Open() = %v; want an error that names the version and the file", err)
	}
}

func TestOpenSetsIncrementalVacuumAndWAL(t *testing.T) {
	s := open(t, options(t))
	for pragma, want := range map[string]string{"auto_vacuum": "2", "journal_mode": "wal", "user_version": "5"} {
		var got string
		if err := s.QueryRowContext(context.Background(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("PRAGMA %s = %q, %v; want %q", pragma, got, err, want)
		}
	}
}

func TestOpenCreatesPrivateFiles(t *testing.T) {
	opt := options(t)
	s := open(t, opt)
	s.Add(row("q"))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(opt.Path + suffix)
		if err != nil || info.Mode().Perm()&0o007 != 0 {
			t.Errorf("mode of results.db%s = %v, %v; want nothing for others", suffix, info.Mode(), err)
		}
	}
}

func TestCheckReportsFailedCommit(t *testing.T) {
	s := open(t, options(t))
	if err := s.Check(context.Background()); err != nil {
		t.Errorf("Check() of a good store = %v; want nil", err)
	}
	tamper(t, s, "DROP TABLE message")
	if got := s.Add(row("q")).Outcome; got != results.Dropped {
		t.Errorf("Add() without a table = %v; want %v", got, results.Dropped)
	}
	if err := s.Check(context.Background()); err == nil {
		t.Error("Check() after a failed commit = nil; want an error")
	}
}

func BenchmarkAddAck(b *testing.B) {
	s, err := Open(context.Background(), Options{Path: filepath.Join(b.TempDir(), "r"), Durability: Ack, Wait: time.Minute, Queue: 1000, Log: slog.Default()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Add(row("4XyZ1"))
		}
	})
}

func TestCloseLeavesOneFile(t *testing.T) {
	opt := options(t)
	s := open(t, opt)
	s.Add(row("q"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(filepath.Dir(opt.Path))
	if err != nil || len(files) != 1 {
		t.Errorf("%d files, %v; want the one that a copy needs: %v", len(files), err, files)
	}
}

func TestReaderIsReadOnlyBesideWriter(t *testing.T) {
	opt := options(t)
	s := open(t, opt)
	s.Add(row("4XyZ1"))
	r, err := dbread.Open(context.Background(), opt.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	s.Add(row("4XyZ2"))
	if rows, err := r.ByQueueID(context.Background(), "4XyZ2"); err != nil || len(rows) != 1 {
		t.Errorf("ByQueueID() = %d rows, %v; want the one that was written meanwhile", len(rows), err)
	}
	if _, err := r.QueryContext(context.Background(), "DELETE FROM message RETURNING seq"); err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("a reader deletes rows: %v; want that the database is read-only", err)
	}
	missing := filepath.Join(t.TempDir(), "none.db")
	if _, err := dbread.Open(context.Background(), missing); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("dbread.Open of nothing: error %v; want that there is no such file", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a reader has made a file")
	}
	tamper(t, s, "PRAGMA user_version = 99")
	if _, err := dbread.Open(context.Background(), opt.Path); err == nil || !strings.Contains(err.Error(), "schema version 99") {
		t.Errorf("dbread.Open of a newer store: error %v; want its version", err)
	}
}
