package pages

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/internal/scale"
	"dmarcgate/results/dbfile"
)

// The pages are measured with fullRows in make soak, there without the race detector,
// which would measure itself. Otherwise fewRows show that each page is made.
const fullRows, fewRows = 5_000_000, 30_000

// manyRows is how many rows the pages are made of.
func manyRows(t *testing.T) int {
	t.Helper()
	if scale.Of(t) == 1 || raced {
		return fewRows
	}
	return fullRows
}

// pageTime is the longest that the median of a page of fullRows may take: ours.
const pageTime = 500 * time.Millisecond

// fill copies the rows of the fixture until there are many, evenly over 30 days, a
// part of them of author domains and networks of their own.
func (f *fixture) fill(t *testing.T, rows int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(f.dir, "r.db")+"?_pragma=busy_timeout(5000)&_pragma=synchronous(OFF)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var base int
	if err := db.QueryRow("SELECT max(seq) FROM message").Scan(&base); err != nil {
		t.Fatal(err)
	}
	const slice = 50_000
	for from := base + 1; from <= rows; from += slice {
		to := min(from+slice-1, rows)
		if _, err := db.Exec(`WITH n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
			INSERT INTO message SELECT i, ?4 - (?5 - i) * 2592000000 / ?5, state, 'q' || i, client, CASE WHEN i % 3 = 0 THEN 'a' || (i % 5000) || '.example' ELSE author END,
				policy_domain, result, requested, disposition, action, override, flags, row FROM n JOIN message ON seq = 1 + i % ?3`,
			from, to, base, noon.UnixMilli(), rows); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("INSERT OR IGNORE INTO ruled SELECT time, seq FROM message WHERE seq BETWEEN ? AND ? AND flags & 16", from, to); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec(`WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 / 50)
		INSERT OR IGNORE INTO sender SELECT 'a' || (i % 5000) || '.example', CAST('n' || i AS BLOB), ?2 - i * 1000, ?2, i, i % 2 FROM n`, rows, noon.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	writeDigests(t, db, rows)
	f.awaitSums(t)
	f.Source.Reports.(*reporting).fill(t, rows/2)
}

// writeDigests writes the blocks of queue ids that the store's own writer would have
// written, by which ByQueueID finds a row.
func writeDigests(t *testing.T, db *sql.DB, rows int) {
	t.Helper()
	const block = 4096
	for first := 1; first+block <= rows; first += block {
		var list []dbfile.Noted
		for seq := first; seq < first+block; seq++ {
			list = append(list, dbfile.Noted{Hash: dbfile.HashID(fmt.Sprintf("q%d", seq)), Sequence: int64(seq)})
		}
		if _, err := db.Exec("INSERT OR IGNORE INTO digest VALUES (?, ?, ?)", first, first+block-1, dbfile.Block(list)); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitSums waits until the maintenance of the store has summed all rows.
func (f *fixture) awaitSums(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	err := childtest.Poll(ctx, func() bool {
		_, complete, err := f.store.DaySums(ctx, time.Time{})
		return complete && err == nil
	})
	if err != nil {
		t.Fatalf("the rows were not summed: %v", err)
	}
}

func TestEachPageOfManyRowsTakesLessThanHalfASecond(t *testing.T) {
	f := newFixture(t)
	rows := manyRows(t)
	f.fill(t, rows)
	now := noon
	f.Source.Now = func() time.Time { return now }
	s := newServer(f.Source)
	s.gate.making.loan = time.Hour // the pages are measured, not their pauses
	h := s.handler()
	for _, path := range append(paths(h), "/decisions?qid=q29000", "/decisions?author=nobody.example", "/decisions?rule=city-list") {
		var took []time.Duration
		for range 20 {
			now = now.Add(keepTime) // no kept answer
			start := time.Now()
			if w := ask(h, "GET", path); w.Code != http.StatusOK {
				t.Fatalf("%s = %d %s", path, w.Code, w.Body)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		t.Logf("%-32s median %v, longest %v", path, took[10].Round(time.Millisecond), took[19].Round(time.Millisecond))
		if rows == fullRows && took[10] > pageTime {
			t.Errorf("%s takes %v; want at most %v", path, took[10], pageTime)
		}
	}
}

func TestAThousandRequestsAtOnceAreAnsweredOrSentAway(t *testing.T) {
	f := newFixture(t)
	h := NewServer(f.Source).Handler
	var wg sync.WaitGroup
	codes := make([]int, 1000)
	list := paths(h)
	for i := range codes {
		wg.Go(func() { codes[i] = ask(h, "GET", list[i%len(list)]).Code })
	}
	wg.Wait()
	for i, code := range codes {
		if code != http.StatusOK && code != http.StatusServiceUnavailable {
			t.Errorf("%s = %d; want 200 or 503", list[i%len(list)], code)
		}
	}
	if !slices.Contains(codes, http.StatusOK) {
		t.Error("no request is answered")
	}
}
