package sqlite_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"dmarcgate/internal/resultstest"
	"dmarcgate/results"
	"dmarcgate/results/sqlite"
)

func TestReaderAnswersQueries(t *testing.T) {
	resultstest.Queries(t, func(t *testing.T, rows []results.Row) results.Queries {
		s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "results.db"), Durability: sqlite.Ack,
			Wait: time.Minute, Queue: 10, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		resultstest.Fill(t, s, rows)
		return s
	})
}
