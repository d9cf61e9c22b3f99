package file

import (
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"dmarcgate/internal/queuetest"
)

// clock is the time of a test.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC).Add(time.Duration(c.ahead.Load()))
}

func options(t *testing.T) Options {
	return Options{Path: filepath.Join(t.TempDir(), "reports.db"), Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: new(clock).now}
}

func TestQueueInFile(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queuetest.Subject {
		c, opt := new(clock), options(t)
		opt.Now = c.now
		db, err := openDatabase(t.Context(), opt)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return queuetest.Subject{Database: db, Advance: func(d time.Duration) { c.ahead.Add(int64(d)) }}
	})
}
