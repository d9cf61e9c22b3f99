//go:build mta

package pg

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dmarcgate/internal/pgtest"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// earlier is a daemon of schema version 2, which knows nothing of marks.
type earlier struct {
	local realStore
	conn  *pgx.Conn
	id    int32

	soiled bool // what it ships holds addresses (soil)
}

// newEarlier makes the schema as that version did, and its own record.
func newEarlier(t *testing.T, url string) *earlier {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	e := &earlier{local: openLocal(t, filepath.Join(t.TempDir(), "results.db")), conn: conn}
	openings, err := e.local.Openings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		if err := begin(t.Context(), tx); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), migrations[0]+migrations[1]+"UPDATE dmarcgate.schema_version SET version = 2, min_version = 1"); err != nil {
			return err
		}
		at := place("earlier")
		if err := tx.QueryRow(t.Context(), "INSERT INTO dmarcgate.store (uuid, host, machine, path, shipped) VALUES ($1, $2, $3, $4, 0) RETURNING id",
			e.local.ID(), at.Host, at.Machine, at.Path).Scan(&e.id); err != nil {
			return err
		}
		return addOpenings(t.Context(), tx, e.id, openings)
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ship moves the rows up to one.
func (e *earlier) ship(t *testing.T, to int64) {
	t.Helper()
	rows, err := e.local.After(t.Context(), 0, 10_000, 1<<24)
	if err != nil {
		t.Fatal(err)
	}
	if err := addDay(t.Context(), e.conn, day(rows[0].Time)); err != nil {
		t.Fatal(err)
	}
	err = pgx.BeginFunc(t.Context(), e.conn, func(tx pgx.Tx) error {
		var from int64
		if err := tx.QueryRow(t.Context(), "SELECT shipped FROM dmarcgate.store WHERE id = $1", e.id).Scan(&from); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), "UPDATE dmarcgate.store SET shipped = $3, watermark = $4, skew_ms = $5, seen = clock_timestamp() WHERE id = $1 AND shipped = $2",
			e.id, from, to, time.Now(), 0); err != nil {
			return err
		}
		rows = rows[from:to]
		if e.soiled {
			e.soil(rows)
		}
		_, err := tx.CopyFrom(t.Context(), pgx.Identifier{"dmarcgate", "message"}, columns, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
			rows[i].Flags &= 15
			return values(e.id, rows[i]), nil
		}))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// half gives every second row a rule.
func half(t *testing.T, l realStore, name string, at time.Time, n int) {
	t.Helper()
	for i := range n {
		m := message(fmt.Sprint(name, i), at.Add(time.Duration(i)*time.Millisecond))
		if i%2 == 0 {
			m.Decision.Rule = name
		}
		l.Add(m)
	}
}

func TestShipperSupportsTwoVersions(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	at := time.Now().UTC().Add(-time.Minute).Truncate(time.Millisecond)
	old := newEarlier(t, url)
	half(t, old.local, "old", at, 40)
	old.ship(t, 10)
	newer := openLocal(t, filepath.Join(t.TempDir(), "results.db"))
	half(t, newer, "new", at, 20)
	finish(t, ship(t, newer, url, "new"))
	old.ship(t, 20)

	r, err := OpenReader(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := func(when, rows, uses string) {
		t.Helper()
		n := make(map[string]int)
		err := r.Scan(t.Context(), results.Span{Ruled: true, From: at, To: at.Add(time.Minute)}, func(row results.Row) error {
			n[row.Decision.Rule]++
			return nil
		})
		if got := fmt.Sprint(n); err != nil || got != rows {
			t.Errorf("%s: rows that name a rule = %s, %v; want %s", when, got, err, rows)
		}
		var got []string
		all, err := r.RuleUse(t.Context())
		for _, u := range all {
			got = append(got, fmt.Sprintf("%s:%d", u.Rule, u.Matches))
		}
		if got := strings.Join(got, " "); err != nil || got != uses {
			t.Errorf("%s: uses = %q, %v; want %q", when, got, err, uses)
		}
	}
	want("beside each other", "map[new:10 old:10]", "new:10")
	s := ship(t, old.local, url, "earlier")
	finish(t, s)
	want("when both are new", "map[new:10 old:20]", "new:10 old:10")
	if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.ruled"); got != 20 {
		t.Errorf("marks = %d; want 20", got)
	}
	if got := ask[string](t, url, "SELECT string_agg(ruled_from::text, ' ' ORDER BY id) FROM dmarcgate.store"); got != "21 1" {
		t.Errorf("rows from which on there are marks = %q; want 21 of the store that was shipped by both versions, and 1", got)
	}
}

func TestRuleUseOutlivesPartitions(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	l := openLocal(t, filepath.Join(t.TempDir(), "results.db"))
	now := time.Now().UTC()
	half(t, l, "gone", now.AddDate(0, 0, -3), 20)
	half(t, l, "kept", now, 20)
	victim := message("victim", now)
	victim.Facts.MailFrom, victim.Decision.Unreported = "victim.example", "kept"
	l.Add(victim)
	finish(t, ship(t, l, url, "a"))
	f := newFake()
	f.add("b", 1)
	pass := &ahead{begun: time.Now()}
	s := shipWith(t, f, Options{Config: Config{URL: url, RetentionDays: 1}, Place: place("b"), Log: quiet(t), Elapsed: pass.elapsed})
	eventually(t, "shipping", inState(s, Shipping))
	pass.add(3 * time.Hour) // a day is dropped in an hour
	f.add("c", 1)
	finish(t, s)
	r, err := OpenReader(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := r.Purge(t.Context(), results.Purge{Domain: "victim.example"}); err != nil || n != 1 {
		t.Errorf("Purge() = %d, %v; want 1", n, err)
	}
	if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.ruled"); got != 10 {
		t.Errorf("marks = %d; want those of the rows that are kept: 10", got)
	}
	uses, err := r.RuleUse(t.Context())
	if err != nil || len(uses) != 2 || uses[0].Matches != 10 || uses[1].Matches != 11 {
		t.Errorf("RuleUse() = %+v, %v; want 10 and 11 matches", uses, err)
	}
	hits, err := r.RuleHits(t.Context(), time.Time{})
	if i := slices.IndexFunc(hits, func(h results.RuleHit) bool { return h.Rule == "kept" }); err != nil || len(hits) != 1 || i != 0 || hits[0].Messages != 10 || hits[0].Mode != policy.Enforce {
		t.Errorf("RuleHits() = %+v, %v; want 10 of one rule", hits, err)
	}
}

func TestScanSkipsDeletedRow(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	l := openLocal(t, filepath.Join(t.TempDir(), "results.db"))
	const n = scanSlice + 20
	for i := range n {
		m := message(fmt.Sprint("q", i), time.Now().UTC())
		m.Decision.Rule = "r"
		l.Add(m)
	}
	finish(t, ship(t, l, url, "a"))
	server.Exec(url, "DELETE FROM dmarcgate.message WHERE seq <= 10")
	r, err := OpenReader(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	hits, err := r.RuleHits(t.Context(), time.Time{})
	if err != nil || len(hits) != 1 || hits[0].Messages != n-10 {
		t.Errorf("RuleHits() = %+v, %v; want %d messages", hits, err, n-10)
	}
}
