//go:build mta

package sending

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/report/queue"
	"dmarcgate/results"
	"dmarcgate/results/sqlite"
)

// Rows that the limit of the store's size deletes before their day is closed are counted
// apart: with those in the report, they are all.
func TestReconcileCountsRowsThatAreLost(t *testing.T) {
	const rows = 2000
	s := ready(t, "bank.example")
	open := func(limit int64) *sqlite.Store {
		store, err := sqlite.Open(t.Context(), sqlite.Options{
			Path: filepath.Join(filepath.Dir(s.path), "results.db"), Durability: sqlite.Async, Wait: time.Minute, Queue: 100,
			MaintenanceEvery: 10 * time.Millisecond, Retention: results.Retention{MaxBytes: limit}, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	store := open(120_000)
	h := s.host("a")
	h.Rows = &hostRows{dying: &dying{}, store: store, now: func() time.Time { return s.now }}
	s.now = day(2, 13)
	s.until(h, s.now.Add(time.Second), time.Minute) // says from which day on rows are needed
	s.rows = nil
	for i := range rows {
		s.receives(day(2, 0).Add(time.Duration(i)*time.Second), "bank.example")
	}
	keep(t, store, s.rows)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := childtest.Poll(ctx, func() bool {
		n, err := store.LostRows(t.Context(), day(2, 0))
		return err == nil && n > 0
	}); err != nil {
		t.Fatalf("no row was deleted for the size: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = open(0)
	defer store.Close()
	h.Rows = &hostRows{dying: &dying{}, store: store, now: func() time.Time { return s.now }}
	s.now = day(3, 1)
	s.until(h, day(3, 12), time.Hour)
	list := s.reports(queue.Filter{})
	if len(list) != 1 || len(s.mails) != 1 {
		t.Fatalf("reports %+v, %d mails; want one", list, len(s.mails))
	}
	lost := s.counts.rows["lost"]
	if lost == 0 || list[0].Messages == 0 || list[0].Messages+lost != rows || s.counts.rows["reported"] != list[0].Messages {
		t.Errorf("%d messages are reported, counted %v; want them and the lost ones to be %d", list[0].Messages, s.counts.rows, rows)
	}
}
