package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"dmarcgate/results"
	"dmarcgate/results/dbfile"
	"dmarcgate/results/dbread"
)

// numbers are the numbers of the rows of a queue id.
func numbers(t *testing.T, r *dbread.Reader, qid string) []int64 {
	t.Helper()
	rows, err := r.ByQueueID(context.Background(), qid)
	if err != nil {
		t.Fatal(err)
	}
	var out []int64
	for _, row := range rows {
		out = append(out, row.Sequence)
	}
	return out
}

func TestByQueueIDFindsBlocksAndRecentRows(t *testing.T) {
	opt := options(t)
	var rows []results.Row
	const n = 2*digestRows + 100
	for i := range n {
		rows = append(rows, results.Row{})
		rows[i].Facts.QueueID = fmt.Sprint("q", i%(digestRows+50))
	}
	fill(t, opt, rows[:digestRows+10]...)
	fill(t, opt, rows[digestRows+10:]...)
	s := open(t, opt)
	var blocks, last int
	if err := s.QueryRowContext(context.Background(), "SELECT count(*), max(last_seq) FROM digest").Scan(&blocks, &last); err != nil || blocks != 2 || last != 2*digestRows {
		t.Errorf("%d blocks to row %d, %v; want 2 of %d rows each", blocks, last, err, digestRows)
	}
	for i, want := range map[int][]int64{
		0: {1, digestRows + 51}, 45: {46, digestRows + 96}, digestRows + 49: {digestRows + 50, 2*digestRows + 100},
		digestRows - 1: {digestRows, 2*digestRows + 50}, digestRows: {digestRows + 1, 2*digestRows + 51},
	} {
		if got := numbers(t, s.Reader, fmt.Sprint("q", i)); !slices.Equal(got, want) {
			t.Errorf("rows of q%d = %v; want %v", i, got, want)
		}
	}
	if got := numbers(t, s.Reader, "q"); got != nil {
		t.Errorf("rows of an id that never was = %v; want none", got)
	}
}

func TestByQueueIDComparesWholeID(t *testing.T) {
	opt := options(t)
	rows := make([]results.Row, digestRows+1)
	rows[7].Facts.QueueID = "costarring" // the FNV-1a of both is the same
	rows[9].Facts.QueueID = "liquid"
	fill(t, opt, rows...)
	if dbfile.HashID("costarring") != dbfile.HashID("liquid") {
		t.Fatal("the hashes differ")
	}
	if got := numbers(t, open(t, opt).Reader, "liquid"); !slices.Equal(got, []int64{10}) {
		t.Errorf("rows of liquid = %v; want 10 alone", got)
	}
}

func TestByQueueIDSkipsFailedTransaction(t *testing.T) {
	opt := options(t)
	opt.Durability = Async
	s := open(t, opt)
	for i := range digestRows - 1 {
		r := results.Row{}
		r.Facts.QueueID = fmt.Sprint("q", i)
		s.Add(r)
	}
	s.Close()
	opt.Durability = Ack
	s = open(t, opt)
	tamper(t, s, "CREATE TRIGGER fails BEFORE INSERT ON sender BEGIN SELECT RAISE(ABORT, 'no'); END")
	for _, qid := range []string{"lost-1", "lost-2", "lost-3"} {
		if got := s.Add(row(qid)).Outcome; got != results.Dropped {
			t.Errorf("Add(%s) = %v; want %v", qid, got, results.Dropped)
		}
	}
	tamper(t, s, "DROP TRIGGER fails")
	s.Add(row("a"))
	s.Add(row("b"))
	for qid, want := range map[string][]int64{"q0": {1}, "lost-1": nil, "a": {digestRows}, "b": {digestRows + 1}} {
		if got := numbers(t, s.Reader, qid); !slices.Equal(got, want) {
			t.Errorf("rows of %s = %v; want %v", qid, got, want)
		}
	}
}

// BenchmarkByQueueID is how long explain --qid looks for a message.
func BenchmarkByQueueID(b *testing.B) {
	db, err := sql.Open("sqlite", dsn(Options{Path: filepath.Join(b.TempDir(), "r")}))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if err := dbfile.Migrate(context.Background(), db, 0); err != nil {
		b.Fatal(err)
	}
	const rows = 1_000_000
	entries := make([]dbfile.Noted, digestRows)
	for first := int64(1); first < rows; first += digestRows {
		for i := range entries {
			entries[i] = dbfile.Noted{Hash: dbfile.HashID(mixID(int(first) + i)), Sequence: first + int64(i)}
		}
		if _, err := db.Exec(digestSQL, first, first+digestRows-1, dbfile.Block(entries)); err != nil {
			b.Fatal(err)
		}
	}
	r := dbread.Over(db)
	for b.Loop() {
		if _, err := r.ByQueueID(context.Background(), "3XyZabc"); err != nil {
			b.Fatal(err)
		}
	}
}
