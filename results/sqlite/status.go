package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"time"

	"dmarcgate/results"
	"dmarcgate/results/dbread"
)

// Status returns what the store is at. It counts the rows, which takes some
// 10 ms for 1,000,000.
func (s *Store) Status(ctx context.Context) (results.StoreStatus, error) {
	st := results.StoreStatus{ID: s.ID(), Bytes: bytesOf(s.opt.Path)}
	s.tallies.fill(&st)
	if err := s.failed.Load(); err != nil {
		st.Failure = (*err).Error()
	}
	st.FreeBytes, _, _ = s.free() // 0 when it is not known
	return st, fillStatus(ctx, s, &st)
}

// fillStatus adds what the rows of the file say.
func fillStatus(ctx context.Context, db oneRow, st *results.StoreStatus) (err error) {
	var oldest, newest sql.NullInt64
	err = db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM message), (SELECT min(time) FROM message), (SELECT max(time) FROM message)").Scan(&st.Rows, &oldest, &newest)
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	if st.Uncleaned, err = countUncleaned(ctx, db); err != nil {
		return err
	}
	if st.Rows > 0 {
		st.Oldest, st.Newest = time.UnixMilli(oldest.Int64).UTC(), time.UnixMilli(newest.Int64).UTC()
	}
	return nil
}

// FileStatus returns what the file at path is at, which the reader has open. What
// only the daemon knows, as what was lost since its start, is not in it. Waiting
// is what PostgreSQL does not have yet, if there is one.
func FileStatus(ctx context.Context, r *dbread.Reader, path string) (st results.StoreStatus, waiting results.Waiting, err error) {
	st.Bytes = bytesOf(path)
	st.FreeBytes, _, _ = statfs(filepath.Dir(path)) // 0 when it is not known
	if err := r.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'store_id'").Scan(&st.ID); err != nil {
		return st, waiting, fmt.Errorf("reading the store: %w", err)
	}
	if err := fillStatus(ctx, r, &st); err != nil {
		return st, waiting, err
	}
	waiting, err = countWaiting(ctx, r)
	return st, waiting, err
}
