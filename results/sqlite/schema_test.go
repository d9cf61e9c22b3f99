package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"dmarcgate/results"
	"dmarcgate/results/dbfile"
	"dmarcgate/results/dbread"
)

// oldStore makes the file that a schema version would have made, and returns
// the rows in it, as they are to be read now. The script and the rows were written by the program that had
// that schema.
func oldStore(t *testing.T, opt Options, version int) []results.Row {
	t.Helper()
	script, err := os.ReadFile(fmt.Sprintf("testdata/schema-%d.sql", version))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", dsn(opt))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(string(script)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(fmt.Sprintf("testdata/schema-%d.json", version))
	if err != nil {
		t.Fatal(err)
	}
	var rows []results.Row
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		rows[i].Clean()
	}
	return rows
}

// contents are all rows, oldest first.
func contents(t *testing.T, r *dbread.Reader) []results.Row {
	t.Helper()
	rows, err := r.Recent(context.Background(), math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(rows)
	return rows
}

func TestConvertKeepsHeaderTruncatedOfSchema1(t *testing.T) {
	opt := options(t)
	opt.Path = filepath.Join(t.TempDir(), "r")
	oldStore(t, opt, 1)
	script(t, opt.Path, `UPDATE message SET facts = CAST(replace(CAST(facts AS TEXT), '"from":', '"cut":true,"from":') AS BLOB) WHERE seq = 1`)
	rows := contents(t, open(t, opt).Reader)
	if len(rows) < 2 || !rows[0].Facts.HeaderTruncated || rows[1].Facts.HeaderTruncated {
		t.Errorf("rows = %+v; want the header of the first truncated, and of no other", rows)
	}
}

func TestConvertSchema1(t *testing.T) {
	opt := options(t)
	want := oldStore(t, opt, 1)
	s := open(t, opt)
	if got := contents(t, s.Reader); !reflect.DeepEqual(got, want) {
		t.Errorf("rows after the migration = %+v; want %+v", got, want)
	}
	if want := "4bc17cc9cb7a9724725ef0a0ff5a2439"; s.ID() != want {
		t.Errorf("store id = %s; want %s as before", s.ID(), want)
	}
	s.Add(row("new"))
	if rows, err := s.Recent(context.Background(), 1); err != nil || len(rows) != 1 || rows[0].Sequence != 13 {
		t.Errorf("the next row is %+v, %v; want number 13, since 10 to 12 were given before", rows, err)
	}
	sameSchema(t, s)
}

// sameSchema compares a file with a new one.
func sameSchema(t *testing.T, s *Store) {
	t.Helper()
	if got, want := schemaOf(t, s), schemaOf(t, open(t, options(t))); !reflect.DeepEqual(got, want) {
		t.Errorf("schema = %q; want that of a new file: %q", got, want)
	}
}

func schemaOf(t *testing.T, s *Store) map[string]string {
	t.Helper()
	rs, err := s.QueryContext(context.Background(), "SELECT name, coalesce(sql, '') FROM sqlite_schema")
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	out := make(map[string]string)
	for rs.Next() {
		var name, text string
		if err := rs.Scan(&name, &text); err != nil {
			t.Fatal(err)
		}
		out[name] = text
	}
	return out
}

func TestConvertContinuesAfterInterruption(t *testing.T) {
	opt := options(t)
	want := oldStore(t, opt, 1)
	db, err := sql.Open("sqlite", dsn(opt))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if err := dbfile.Migrate(context.Background(), db, 1); err != nil {
		t.Fatal(err)
	}
	half, err := newSession(context.Background(), db)
	if err != nil {
		t.Fatal(err)
	}
	forget, err := half.prepareOne("DELETE FROM message_1 WHERE seq <= ?")
	if err != nil {
		t.Fatal(err)
	}
	slice, err := half.oldRows(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	slice.rows, slice.last = slice.rows[:3], 3
	if err := half.transaction(func() error { return half.move(slice, forget) }); err != nil {
		t.Fatal(err)
	}
	forget.Close()
	half.close()
	db.Close()
	s := open(t, opt)
	if got := contents(t, s.Reader); !reflect.DeepEqual(got, want) {
		t.Errorf("rows after the second start = %+v; want %+v", got, want)
	}
	sameSchema(t, s)
}

func TestConvertSkipsUnreadableRowOfSchema1(t *testing.T) {
	opt := options(t)
	want := oldStore(t, opt, 1)
	db, err := sql.Open("sqlite", dsn(opt))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("UPDATE message SET decision = '{' WHERE seq = 1"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if got := contents(t, open(t, opt).Reader); !reflect.DeepEqual(got, want[1:]) {
		t.Errorf("rows = %+v; want all but the first", got)
	}
}

func TestAddNeverReusesSequenceNumber(t *testing.T) {
	opt := options(t)
	s := open(t, opt)
	s.Add(row("a"))
	s.Add(row("b"))
	tamper(t, s, "DELETE FROM message")
	s.Close()
	s = open(t, opt)
	s.Add(row("c"))
	if rows := contents(t, s.Reader); len(rows) != 1 || rows[0].Sequence != 3 {
		t.Errorf("rows = %+v; want one with number 3", rows)
	}
}

func TestOpenRecordsOpening(t *testing.T) {
	opt := options(t)
	fill(t, opt, row("a"), row("b"))
	fill(t, opt)
	s := open(t, opt)
	var tokens, first, second, third int
	if err := s.QueryRowContext(context.Background(), "SELECT count(DISTINCT token), min(first_seq), sum(first_seq), max(first_seq) FROM opening WHERE length(token) = 16 AND time > 0").
		Scan(&tokens, &first, &second, &third); err != nil || tokens != 3 || first != 1 || second != 1+3+3 || third != 3 {
		t.Errorf("openings = %d, rows from %d, sum %d, to %d, %v; want 3, at row 1, 3 and 3", tokens, first, second, third, err)
	}
	var id string
	if err := s.QueryRowContext(context.Background(), "SELECT store_id FROM identity WHERE first_seq = 1").Scan(&id); err != nil || id != s.ID() {
		t.Errorf("identity from row 1 = %q, %v; want %q", id, err, s.ID())
	}
}
