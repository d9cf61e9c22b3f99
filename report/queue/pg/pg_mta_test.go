//go:build mta

package pg

import (
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/internal/pgtest"
	"dmarcgate/internal/queuetest"
	"dmarcgate/report/queue/tables"
	"dmarcgate/results/pg"
)

// clock is how far the clock of a test is ahead of that of the server. It begins at
// noon, so that no test meets midnight.
func clock() *atomic.Int64 {
	ahead, now := new(atomic.Int64), time.Now()
	ahead.Store(int64(now.Truncate(24 * time.Hour).Add(36 * time.Hour).Sub(now)))
	return ahead
}

// open opens the tables at an url.
func open(t *testing.T, url string, ahead *atomic.Int64) queuetest.Subject {
	t.Helper()
	again := func() tables.Database {
		db := newDatabase(pg.Config{URL: url})
		db.ahead = func() time.Duration { return time.Duration(ahead.Load()) }
		t.Cleanup(func() { db.Close() })
		return db
	}
	return queuetest.Subject{Database: again(), Advance: func(d time.Duration) { ahead.Add(int64(d)) }, Again: again}
}

func TestQueueInPostgreSQL(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	if _, err := tables.New(open(t, url, clock())).Now(t.Context()); err != nil { // makes the tables
		t.Fatal(err)
	}
	queuetest.Run(t, func(t *testing.T) queuetest.Subject {
		server.Exec(url, `SET search_path = dmarcgate; TRUNCATE report_run, report, report_body, delivery, attempt, suppression,
			destination_day, report_sender, report_note`)
		return open(t, url, clock())
	})
}
