package sqlite

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/results"
	"dmarcgate/results/dbread"
)

// sameSums compares the sums of a store as its rows give them with those of DaySums,
// and with those of the table for the rows that are in it.
func sameSums(t *testing.T, s *Store, when string) {
	t.Helper()
	count := func(text string) (out string) {
		if err := s.QueryRowContext(t.Context(), text).Scan(&out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	const rows = `SELECT coalesce(group_concat(x, ' '), '') FROM (SELECT (time / 86400000) || ',' || state || ',' || ((flags & 8) <> 0) || ',' || result || ',' || requested || ',' || disposition || '=' || count(*) AS x
		FROM message WHERE state <> 3 AND seq <= %s GROUP BY time / 86400000, state, (flags & 8) <> 0, result, requested, disposition ORDER BY 1)`
	inTable := count(`SELECT coalesce(group_concat(x, ' '), '') FROM (SELECT day || ',' || state || ',' || skipped || ',' || result || ',' || requested || ',' || disposition || '=' || messages AS x
		FROM day_sum WHERE messages <> 0 ORDER BY 1)`)
	if want := count(fmt.Sprintf(rows, "(SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'summed')")); inTable != want {
		t.Errorf("%s: day_sum has %s; the rows have %s", when, inTable, want)
	}
	sums, complete, err := s.DaySums(t.Context(), time.Time{})
	if err != nil || !complete {
		t.Fatalf("%s: DaySums is complete = %v, %v", when, complete, err)
	}
	var got []string
	for _, d := range sums {
		skipped := 0
		if d.Skipped {
			skipped = 1
		}
		got = append(got, fmt.Sprintf("%d,%d,%d,%d,%d,%d=%d", d.Day.Unix()/86400, d.State, skipped, d.Result, d.Requested, d.Disposition, d.Messages))
	}
	slices.Sort(got)
	if want := count(fmt.Sprintf(rows, "9e18")); strings.Join(got, " ") != want {
		t.Errorf("%s: DaySums() = %s; the rows have %s", when, got, want)
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
	f := s.current.Load()
	if err := s.in(t.Context(), f, func(tx *sql.Tx) error {
		_, err := tx.Exec("UPDATE message SET flags = flags | 8 WHERE seq = 30")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.sumNew(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	sameSums(t, s, "after rows were summed")
	s.MarkUnanswered(receipts[1])
	s.Add(row("last")) // written behind the mark
	sameSums(t, s, "after a row became unanswered")
	if err := s.in(t.Context(), f, func(tx *sql.Tx) error { return pack(tx, 1, 20) }); err != nil {
		t.Fatal(err)
	}
	sameSums(t, s, "after rows were written anew")
	if n, err := s.deleteOldest(t.Context(), f, deletion{before: today.Add(1500 * time.Minute).UnixMilli()}); err != nil || n == 0 {
		t.Fatalf("deleted %d rows, %v; want some", n, err)
	}
	sameSums(t, s, "after old rows were deleted")
}

func TestSumNewComesToTheEndAlthoughRowsGo(t *testing.T) {
	s := open(t, options(t))
	for i := range 3*sumSlice/2 + 10 {
		s.Add(at(i, "a.example", "192.0.2.1", nil))
	}
	f := s.current.Load()
	if err := s.in(t.Context(), f, func(tx *sql.Tx) error {
		n, err := sumAbove(tx, 0)
		if n == 0 {
			t.Error("a slice of many is the last")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	sameSums(t, s, "after a slice")
	for range 25 {
		if _, err := s.deleteOldest(t.Context(), f, deletion{before: 1 << 62}); err != nil { // also rows that are not summed yet
			t.Fatal(err)
		}
	}
	sameSums(t, s, "after rows of both kinds were deleted")
	s.Add(at(1, "new.example", "192.0.2.1", nil))
	if err := s.sumNew(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	sameSums(t, s, "at the end")
	mark, err := dbread.Summed(t.Context(), s)
	var last int64
	if err == nil {
		err = s.QueryRowContext(t.Context(), "SELECT max(seq) FROM message").Scan(&last)
	}
	if err != nil || mark != last {
		t.Errorf("rows up to %d are summed, %v; want %d", mark, err, last)
	}
}

func TestDaySumsSaysThatManyRowsAreNotSummed(t *testing.T) {
	s := open(t, options(t))
	s.Add(at(0, "a.example", "192.0.2.1", nil))
	if err := s.in(t.Context(), s.current.Load(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20001)
			INSERT INTO message SELECT seq + i, time, state, qid, client, author, policy_domain, result, requested, disposition, action, override, flags, row FROM message, n`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, complete, err := s.DaySums(t.Context(), time.Time{}); complete || err != nil {
		t.Errorf("with 20,002 rows that are not summed, DaySums is complete = %v, %v; want false", complete, err)
	}
	if err := s.sumNew(t.Context(), s.current.Load()); err != nil {
		t.Fatal(err)
	}
	sums, complete, err := s.DaySums(t.Context(), time.Time{})
	if err != nil || !complete || len(sums) != 1 || sums[0].Messages != 20_002 {
		t.Errorf("DaySums() = %+v, %v, %v; want 20,002 messages", sums, complete, err)
	}
}
