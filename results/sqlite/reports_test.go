package sqlite

import (
	"fmt"
	"testing"
	"time"

	"dmarcgate/results"
)

func TestReportMarkIsKeptInTheFile(t *testing.T) {
	opt := options(t)
	s := open(t, opt)
	if text, err := s.ReportMark(t.Context()); err != nil || text != "" {
		t.Errorf("ReportMark() = %q, %v; want none in a new file", text, err)
	}
	for _, text := range []string{"a 1 2026-11-20", "a 2 2026-11-21"} {
		if err := s.SetReportMark(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	if text, err := open(t, opt).ReportMark(t.Context()); err != nil || text != "a 2 2026-11-21" {
		t.Errorf("ReportMark() = %q, %v; want the last one", text, err)
	}
}

func TestBarrierWaitsForRowsBefore(t *testing.T) {
	opt := options(t)
	opt.Durability = Async
	s := open(t, opt)
	if last, err := s.Barrier(t.Context()); err != nil || last != 0 {
		t.Errorf("Barrier() = %d, %v; want 0 in an empty store", last, err)
	}
	for n := range 50 {
		if got := s.Add(row(fmt.Sprint(n))).Outcome; got != results.Late {
			t.Fatalf("Add() = %v; want it queued", got)
		}
	}
	if last, err := s.Barrier(t.Context()); err != nil || last != 50 {
		t.Errorf("Barrier() = %d, %v; want 50", last, err)
	}
	if rows := contents(t, s.Reader); len(rows) != 50 {
		t.Errorf("%d rows are written; want 50", len(rows))
	}
	tamper(t, s, "DELETE FROM message")
	if last, err := s.Barrier(t.Context()); err != nil || last != 50 {
		t.Errorf("Barrier() = %d, %v; want 50: no number is given twice", last, err)
	}
	s.Close()
	if _, err := s.Barrier(t.Context()); err == nil {
		t.Error("Barrier() of a closed store succeeded")
	}
}

func TestLateRowsCountsRowsOfADayBehindTheLastOne(t *testing.T) {
	s := open(t, options(t))
	day := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	add := func(at time.Time, change func(r *results.Row)) {
		r := row("x")
		r.Facts.Time = at
		if change != nil {
			change(&r)
		}
		s.Add(r)
	}
	add(day.Add(time.Hour), nil)
	last, err := s.Barrier(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	end := day.AddDate(0, 0, 1)
	add(day, nil)
	add(end.Add(-time.Millisecond), nil)
	add(day.Add(-time.Millisecond), nil)
	add(end, nil)
	add(day.Add(time.Hour), func(r *results.Row) { r.State = results.Deferred })
	if n, err := s.LateRows(t.Context(), day, end, last); err != nil || n != 2 {
		t.Errorf("LateRows() = %d, %v; want 2", n, err)
	}
}

func TestLimitCountsRowsThatNoReportHas(t *testing.T) {
	opt := options(t)
	opt.Retention.MaxBytes = 300_000
	s := open(t, opt)
	day := time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC)
	for n := range 3 { // a closed day, one that is not closed, and today
		for i := range 400 {
			r := row(fmt.Sprint(n, "-", i))
			r.Facts.Time = day.AddDate(0, 0, n).Add(time.Duration(i) * time.Minute)
			if i%4 == 0 {
				r.State = results.Deferred
			}
			s.Add(r)
		}
	}
	next := day.AddDate(0, 0, 1)
	if err := s.SetReportsOpen(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if err := s.tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := map[int]int64{}
	for _, r := range contents(t, s.Reader) {
		if r.State == results.Answered {
			left[r.Facts.Time.Day()]++
		}
	}
	if left[18] != 0 || left[19] == 300 || left[20] == 0 {
		t.Fatalf("rows left = %v; want the oldest deleted, into the day that is not closed", left)
	}
	for n := range 3 {
		want := 300 - left[18+n]
		if n == 0 {
			want = 0
		}
		if lost, err := s.LostRows(t.Context(), day.AddDate(0, 0, n)); err != nil || lost != want {
			t.Errorf("LostRows(%d) = %d, %v; want %d", 18+n, lost, err, want)
		}
	}
	if err := s.SetReportsOpen(t.Context(), next.AddDate(0, 2, 0)); err != nil {
		t.Fatal(err)
	}
	if lost, err := s.LostRows(t.Context(), next); err != nil || lost != 0 {
		t.Errorf("LostRows = %d, %v; want it forgotten after a month", lost, err)
	}
}

func TestLimitCountsNoLostRowsWithoutReports(t *testing.T) {
	opt := options(t)
	opt.Retention.MaxBytes = 100_000
	s := open(t, opt)
	now := time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC)
	for i := range 400 {
		r := row(fmt.Sprint(i))
		r.Facts.Time = now
		s.Add(r)
	}
	if err := s.tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Status(t.Context()); err != nil || st.Deleted["size"] == 0 {
		t.Fatalf("Status = %+v, %v; want rows deleted", st, err)
	}
	if lost, err := s.LostRows(t.Context(), now); err != nil || lost != 0 {
		t.Errorf("LostRows = %d, %v; want none, since no reports are made", lost, err)
	}
}

func TestScanUptoLeavesOutLaterRows(t *testing.T) {
	s := open(t, options(t))
	for n := range 5 {
		s.Add(row(fmt.Sprint(n)))
	}
	for _, test := range []struct {
		upto map[string]int64
		want int
	}{{nil, 5}, {map[string]int64{s.ID(): 3}, 3}, {map[string]int64{s.ID(): 9}, 5}, {map[string]int64{"another": 9}, 0}, {map[string]int64{}, 0}} {
		got := 0
		err := s.Scan(t.Context(), results.Span{Upto: test.upto}, func(r results.Row) error {
			if got++; r.Sequence != int64(got) {
				t.Errorf("row %d has the number %d", got, r.Sequence)
			}
			return nil
		})
		if err != nil || got != test.want {
			t.Errorf("Scan(%v) gave %d rows, %v; want %d", test.upto, got, err, test.want)
		}
	}
}
