package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"dmarcgate/results"
)

// countedDays are the sums of a store as its rows give them, and as the table has them.
func countedDays(t *testing.T, s *Store) (rows, table string) {
	t.Helper()
	for _, q := range []struct {
		text string
		into *string
	}{
		{`SELECT coalesce(group_concat(x, ' '), '') FROM (SELECT (time / 86400000) || ',' || state || ',' || ((flags & 8) <> 0) || ',' || result || ',' || requested || ',' || disposition || '=' || count(*) AS x
			FROM message WHERE state <> 3 GROUP BY time / 86400000, state, (flags & 8) <> 0, result, requested, disposition ORDER BY 1)`, &rows},
		{`SELECT coalesce(group_concat(x, ' '), '') FROM (SELECT day || ',' || state || ',' || skipped || ',' || result || ',' || requested || ',' || disposition || '=' || messages AS x
			FROM day_sum WHERE messages <> 0 ORDER BY 1)`, &table},
	} {
		if err := s.QueryRowContext(t.Context(), q.text).Scan(q.into); err != nil {
			t.Fatal(err)
		}
	}
	return rows, table
}

func sameSums(t *testing.T, s *Store, when string) {
	t.Helper()
	if rows, table := countedDays(t, s); rows != table {
		t.Errorf("%s: day_sum has %s; the rows have %s", when, table, rows)
	}
}

func TestDaySumsAgreeWithRowsAfterEachKindOfChange(t *testing.T) {
	s := open(t, options(t))
	receipts := make([]*results.Receipt, 0, 40)
	for i := range 40 {
		r := at(i*100, fmt.Sprintf("a%d.example", i%3), "192.0.2.1", nil)
		if i%7 == 0 {
			r.State = results.Imported
		}
		receipts = append(receipts, s.Add(r))
	}
	sameSums(t, s, "after rows were added")
	if rows, _ := countedDays(t, s); rows == "" {
		t.Fatal("there are no rows")
	}
	s.MarkUnanswered(receipts[1])
	s.Add(row("last")) // written behind the mark
	sameSums(t, s, "after a row became unanswered")
	f := s.current.Load()
	if err := s.in(t.Context(), f, func(tx *sql.Tx) error { return pack(tx, 1, 20) }); err != nil {
		t.Fatal(err)
	}
	sameSums(t, s, "after rows were written anew")
	if n, err := s.deleteOldest(t.Context(), f, today.Add(1500*time.Minute).UnixMilli(), false); err != nil || n == 0 {
		t.Fatalf("deleted %d rows, %v; want some", n, err)
	}
	sameSums(t, s, "after old rows were deleted")
	sums, complete, err := s.DaySums(t.Context(), time.Time{})
	if err != nil || !complete || len(sums) == 0 {
		t.Errorf("DaySums() = %v, %v, %v; want all", sums, complete, err)
	}
}

func TestSumOldAddsRowsOfSchema4OnceAlthoughSomeGo(t *testing.T) {
	opt := options(t)
	s := open(t, opt)
	for i := range 3*sumSlice/2 + 10 {
		s.Add(at(i, "a.example", "192.0.2.1", nil))
	}
	f := s.current.Load()
	if err := s.in(t.Context(), f, func(tx *sql.Tx) error {
		_, err := tx.Exec("DELETE FROM day_sum; INSERT INTO meta SELECT 'unsummed', max(seq) FROM message")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s.Add(at(1, "new.example", "192.0.2.1", nil))
	step := func() {
		if err := s.in(t.Context(), f, func(tx *sql.Tx) error {
			mark, err := unsummedIn(tx)
			if err != nil || mark == 0 {
				return err
			}
			return sumBelow(tx, mark)
		}); err != nil {
			t.Fatal(err)
		}
	}
	step()
	if _, complete, err := s.DaySums(t.Context(), time.Time{}); complete || err != nil {
		t.Errorf("after a slice, DaySums is complete = %v, %v; want false", complete, err)
	}
	if _, err := s.deleteOldest(t.Context(), f, 1<<62, false); err != nil { // rows that are not summed yet
		t.Fatal(err)
	}
	if err := s.sumOld(context.Background(), f); err != nil {
		t.Fatal(err)
	}
	sameSums(t, s, "after all slices")
	if _, complete, err := s.DaySums(t.Context(), time.Time{}); !complete || err != nil {
		t.Errorf("at the end, DaySums is complete = %v, %v; want true", complete, err)
	}
}

func unsummedIn(tx *sql.Tx) (mark int64, err error) {
	err = tx.QueryRow("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'unsummed'").Scan(&mark)
	return mark, err
}
