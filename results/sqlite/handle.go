package sqlite

import (
	"context"
	"database/sql"
	"sync/atomic"
)

// handle is a database that may be changed for another while it is asked: the
// file that is read when the writer has begun a new one.
type handle struct{ current atomic.Pointer[sql.DB] }

func newHandle(db *sql.DB) *handle {
	h := &handle{}
	h.current.Store(db)
	return h
}

// queryer is what reads need.
type queryer interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

// QueryContext asks once more when the database was changed meanwhile.
func (h *handle) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	for {
		db := h.current.Load()
		rs, err := db.QueryContext(ctx, text, args...)
		if err == nil || db == h.current.Load() {
			return rs, err
		}
	}
}

// QueryRowContext does the same.
func (h *handle) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	for {
		db := h.current.Load()
		r := db.QueryRowContext(ctx, text, args...)
		if r.Err() == nil || db == h.current.Load() {
			return r
		}
	}
}

// Close closes it.
func (h *handle) Close() error { return h.current.Load().Close() }
