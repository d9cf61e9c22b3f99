package sqlite

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/metrics"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/dbfile"
)

// many fills a store with rows, one in a minute, up to today.
func many(t *testing.T, opt Options, n int) {
	t.Helper()
	rows := make([]results.Row, n)
	for i := range rows {
		rows[i] = mixRow(i)
		rows[i].Facts.Time = today.Add(time.Duration(i-n) * time.Minute)
	}
	fill(t, opt, rows...)
}

func count(t *testing.T, s *Store, text string, args ...any) (n int64) {
	t.Helper()
	if err := s.QueryRowContext(t.Context(), text, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// tend does two rounds of maintenance: with the first of a file, its cut-offs begin.
func tend(t *testing.T, s *Store) {
	t.Helper()
	for range 2 {
		if err := s.tend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// patient makes each look at the monotonic clock come a year after the last, so
// that every round of maintenance cuts where the clock of the host says.
func patient(opt *Options) {
	var elapsed time.Duration
	opt.Elapsed = func() time.Duration {
		elapsed += 365 * 24 * time.Hour
		return elapsed
	}
}

func TestRetentionDeletesOldRows(t *testing.T) {
	opt := options(t)
	patient(&opt)
	opt.Now = func() time.Time { return today }
	many(t, opt, 3*1440)
	late := row("imported later")
	late.Facts.Time = today.AddDate(0, 0, -20)
	fill(t, opt, late)
	opt.Retention.Days = 2
	reg := prometheus.NewRegistry()
	opt.Metrics = metrics.New(reg, nil)
	s := open(t, opt)
	tend(t, s)
	if got := count(t, s, "SELECT count(*) FROM message"); got != 2*1440 {
		t.Errorf("rows = %d; want those of two days: %d", got, 2*1440)
	}
	if got := count(t, s, "SELECT count(*) FROM message WHERE time < ?", today.AddDate(0, 0, -2).UnixMilli()); got != 0 {
		t.Errorf("rows that are older = %d; want none", got)
	}
	if got := value(t, reg, "dmarcgate_store_deleted_total", "age"); got != 1440+1 {
		t.Errorf("deleted_total{age} = %v; want %d", got, 1440+1)
	}
	if got := count(t, s, "SELECT count(*) FROM sender WHERE org = 'bank.example'"); got != 0 {
		t.Errorf("senders of the old row = %d; want none", got)
	}
	if got := numbers(t, s.Reader, mixID(3*1440-1)); len(got) != 1 {
		t.Errorf("rows of the last queue id = %v; want one", got)
	}
}

func TestRetentionDeletesQueueIDBlocks(t *testing.T) {
	opt := options(t)
	patient(&opt)
	opt.Now = func() time.Time { return today.AddDate(0, 1, 0) }
	many(t, opt, digestRows+10)
	opt.Retention.Days = 1
	s := open(t, opt)
	if got := count(t, s, "SELECT count(*) FROM digest"); got != 1 {
		t.Fatalf("blocks = %d; want 1", got)
	}
	tend(t, s)
	if rows, blocks := count(t, s, "SELECT count(*) FROM message"), count(t, s, "SELECT count(*) FROM digest"); rows+blocks != 0 {
		t.Errorf("rows = %d, blocks = %d; want none", rows, blocks)
	}
	s.Close()
	s = open(t, opt)
	s.Add(row("next"))
	if got := numbers(t, s.Reader, "next"); !slices.Equal(got, []int64{digestRows + 11}) {
		t.Errorf("rows of the next id = %v; want the number after the last", got)
	}
	if got := bytesOf(opt.Path); got > 10<<20 {
		t.Errorf("the file has %d bytes", got)
	}
}

func TestMaxSizeDeletesOldestRows(t *testing.T) {
	opt := options(t)
	opt.Now = func() time.Time { return today }
	many(t, opt, 3000)
	opt.Retention.MaxBytes = 600_000
	s := open(t, opt)
	tend(t, s)
	z, err := sizeOf(t.Context(), s)
	if err != nil || z.used() > opt.Retention.MaxBytes {
		t.Errorf("used = %d bytes, %v; want at most %d", z.used(), err, opt.Retention.MaxBytes)
	}
	st, err := s.Status(t.Context())
	if err != nil || st.Rows < 200 || st.Rows+st.Deleted["size"] != 3000 || !st.Newest.Equal(today.Add(-time.Minute)) || !st.Oldest.After(today.Add(-3000*time.Minute)) {
		t.Errorf("Status() = %+v, %v; want that the oldest were deleted", st, err)
	}
}

func TestRetentionKeepsUnshippedRows(t *testing.T) {
	opt := options(t)
	patient(&opt)
	opt.Now = func() time.Time { return today }
	opt.Ship = true
	many(t, opt, 3000)
	opt.Retention.Days = 1
	s := open(t, opt)
	spool, err := s.Spool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	tend(t, s)
	if got := count(t, s, "SELECT count(*) FROM message"); got != 3000 {
		t.Errorf("rows before anything was shipped = %d; want all 3000", got)
	}
	if err := spool.SetShipped(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	tend(t, s)
	if first, n := count(t, s, "SELECT min(seq) FROM message"), count(t, s, "SELECT count(*) FROM message"); first != 1001 || n != 2000 {
		t.Errorf("%d rows from %d on; want 2000 from 1001 on", n, first)
	}
	s.opt.Retention.MaxBytes = 400_000
	tend(t, s)
	st, err := s.Status(t.Context())
	if err != nil || st.Deleted["unshipped"] == 0 || st.Deleted["unshipped"]+st.Rows != 2000 || st.Deleted["age"] != 1000 {
		t.Errorf("Status() = %+v, %v; want that what PostgreSQL has not is counted", st, err)
	}
}

func TestRetentionWithoutPostgreSQL(t *testing.T) {
	opt := options(t)
	patient(&opt)
	opt.Now = func() time.Time { return today.AddDate(0, 0, 5) }
	opt.Ship = true
	s := open(t, opt)
	spool, err := s.Spool(t.Context())
	if err == nil {
		err = spool.SetShipped(t.Context(), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.MarkUnanswered(s.Add(row("q")))
	s.Add(row("r"))
	spool.Close()
	s.Close()
	opt.Ship, opt.Retention.Days = false, 1
	s = open(t, opt)
	if got := count(t, s, "SELECT count(*) FROM restate"); got != 0 {
		t.Errorf("states that wait = %d; want none", got)
	}
	s.MarkUnanswered(s.Add(row("s")))
	s.Add(row("t"))
	if got := count(t, s, "SELECT count(*) FROM restate"); got != 0 {
		t.Errorf("states that wait = %d; want none", got)
	}
	tend(t, s)
	if got := count(t, s, "SELECT count(*) FROM message"); got != 0 {
		t.Errorf("rows = %d; want that the old ones were deleted", got)
	}
}

func TestMaintenanceDoesNotBlockAdd(t *testing.T) {
	opt := options(t)
	patient(&opt)
	opt.Now = func() time.Time { return today.AddDate(1, 0, 0) }
	many(t, opt, 3000)
	opt.Retention.Days = 1
	s := open(t, opt)
	done := make(chan error)
	go func() { done <- errors.Join(s.tend(t.Context()), s.tend(t.Context())) }()
	var longest time.Duration
	for i := 0; ; i++ {
		r := row(fmt.Sprint("new", i))
		r.Facts.Time = opt.Now()
		start := time.Now()
		if got := s.Add(r).Outcome; got != results.Written {
			t.Errorf("Add() = %v; want %v", got, results.Written)
		}
		longest = max(longest, time.Since(start))
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			t.Logf("%d rows while 3000 were deleted; the longest took %v", i, longest)
			if got := count(t, s, "SELECT count(*) FROM message"); i < 5 || got != int64(i)+1 {
				t.Errorf("%d rows were written meanwhile, %d are there; want many, and none of before", i, got)
			}
			return
		default:
		}
	}
}

func TestShortenIPAfterShortensOldAddresses(t *testing.T) {
	opt := options(t)
	patient(&opt)
	opt.Now = func() time.Time { return today }
	named := func(hours int, client string) results.Row {
		r := row(fmt.Sprint("h", hours))
		r.Facts.Time = today.Add(time.Duration(-hours) * time.Hour)
		r.Facts.Client = addr(client)
		r.Facts.ClientName, r.Facts.Helo, r.Facts.HELO.Domain = "host-77.isp.example", "["+client+"]", "["+client+"]"
		r.Facts.Version = policy.FactsVersion
		return r
	}
	fill(t, opt, named(100, "192.0.2.77"), named(90, "2001:db8:1:2::77"), named(80, "::ffff:192.0.2.77"), named(10, "192.0.2.78"))
	opt.Privacy.ShortenIPAfter = 48 * time.Hour
	s := open(t, opt)
	tend(t, s)
	s.Add(named(70, "192.0.2.79")) // imported
	tend(t, s)
	want := []string{"192.0.2.0  [192.0.2.0]", "2001:db8:1::  [2001:db8:1::]", "::ffff:192.0.2.0  [::ffff:192.0.2.0]",
		"192.0.2.78 host-77.isp.example [192.0.2.78]", "192.0.2.0  [192.0.2.0]"}
	for i, r := range contents(t, s.Reader) {
		if got := fmt.Sprint(r.Facts.Client, " ", r.Facts.ClientName, " ", r.Facts.Helo); got != want[i] {
			t.Errorf("row %d = %q; want %q", i, got, want[i])
		}
		if got, want := r.Facts.Missing != 0, r.Facts.ClientName == ""; got != want {
			t.Errorf("row %d lacks %b; want that it tells what was taken", i, r.Facts.Missing)
		}
		if r.Facts.HELO.Domain != r.Facts.Helo || r.Facts.Authors[0].Domain != "bank.example" || r.Decision.Action != policy.Reject {
			t.Errorf("row %d = %+v; want the rest as it was", i, r)
		}
	}
	s.Close()
	absent(t, opt.Path, "192.0.2.77", "2001:db8:1:2::77", string([]byte{192, 0, 2, 77}))
}

// absent checks that a file has none of these.
func absent(t *testing.T, path string, what ...string) {
	t.Helper()
	for _, suffix := range dbfile.Suffixes[:2] {
		data, err := os.ReadFile(path + suffix)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, w := range what {
			if n := countIn(data, w); n > 0 {
				t.Errorf("%s%s has %q %d times; want never", path, suffix, w, n)
			}
		}
	}
}
