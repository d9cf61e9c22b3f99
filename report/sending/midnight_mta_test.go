//go:build mta

package sending

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dmarcgate/internal/scale"
	"dmarcgate/report/queue"
	"dmarcgate/results/sqlite"
)

// One message is answered in the last millisecond of a day, the other in the first of the
// next. The writer of the store is held while the day is closed, for 200 ms, and for two
// seconds in soak. Each message is in the report about its own day.
func TestMidnight(t *testing.T) {
	s := ready(t, "bank.example")
	path := filepath.Join(t.TempDir(), "results.db")
	store, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Durability: sqlite.Async, Wait: time.Minute, Queue: 10, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	s.rows = nil
	s.receives(day(3, 0).Add(-time.Millisecond), "bank.example")
	s.receives(day(3, 0), "bank.example")
	keep(t, store, s.rows)
	held := time.Duration(min(10, scale.Of(t))) * 200 * time.Millisecond
	begin := time.Now()
	free := make(chan error, 1)
	time.AfterFunc(held, func() {
		_, err := conn.ExecContext(context.Background(), "COMMIT")
		free <- err
	})
	h := s.host("a")
	h.Rows = &hostRows{dying: &dying{}, store: store, now: func() time.Time { return s.now }}
	s.until(h, s.now.Add(time.Second), time.Minute)
	if took := time.Since(begin); took < held {
		t.Errorf("the day was closed after %v, before its rows were written", took)
	}
	if err := <-free; err != nil {
		t.Fatal(err)
	}
	s.until(h, day(4, 12), time.Hour)
	if got := s.whys("bank.example"); !slices.Equal(got, []string{"2 done", "3 done"}) || len(s.mails) != 2 {
		t.Errorf("reports: %q, %d mails; want one about each day", got, len(s.mails))
	}
	for _, r := range s.reports(queue.Filter{}) {
		if r.Messages != 1 {
			t.Errorf("the report from %v has %d messages; want 1", r.Begin, r.Messages)
		}
	}
	if s.counts.rows["late"] != 0 {
		t.Errorf("%d rows are late; want none", s.counts.rows["late"])
	}
}
