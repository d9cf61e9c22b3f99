package storekeeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/internal/resultstest"
	"dmarcgate/results"
	"dmarcgate/results/sqlite"
)

func TestImportOfManyRows(t *testing.T) {
	store := openStore(t)
	k := New(store, sqlite.Options{Log: slog.New(slog.DiscardHandler)})
	const n = importSlice + importSlice/2
	begin := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	source := func() func() (results.Row, error) {
		i := 0
		return func() (results.Row, error) {
			if i == n {
				return results.Row{}, io.EOF
			}
			i++
			r := resultstest.Failure(0, "bank.example")
			r.Facts.QueueID, r.Facts.Time = fmt.Sprint(i), begin.Add(time.Duration(i/10)*time.Second)
			return r, nil
		}
	}
	for i, want := range []admin.Imported{{Taken: n}, {Present: n}} {
		if got, err := k.Import(t.Context(), source()); err != nil || got != want {
			t.Errorf("import %d = %+v, %v; want %+v", i, got, err, want)
		}
	}
	broken := errors.New("broken")
	if _, err := k.Import(t.Context(), func() (results.Row, error) { return results.Row{}, broken }); !errors.Is(err, broken) {
		t.Errorf("Import() = %v; want the error of the source", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := k.Import(ctx, source()); err == nil || got.Taken != 0 {
		t.Errorf("Import() after a cancel = %+v, %v; want an error", got, err)
	}
}

func openStore(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{
		Path: filepath.Join(t.TempDir(), "results.db"), Durability: sqlite.Ack, Wait: 10 * time.Second, Queue: 100, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
