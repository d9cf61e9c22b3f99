package results

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"time"
)

// Retention says how much is kept.
type Retention struct {
	// Days is how long rows are kept; 0 for ever.
	Days int
	// MaxBytes is how large the file may become, without its log and what it
	// keeps free for the next rows; 0 is no limit. The oldest rows go first.
	MaxBytes int64
	// FreeBytes is what stays free on the file system: with less, rows are
	// dropped until there is a quarter more. 0 is 256 MiB, or 5 % of a small file
	// system; below 0 there is no such limit.
	FreeBytes int64
}

// StoreStatus is what a store is at.
type StoreStatus struct {
	ID             string
	Rows           int64
	Bytes          int64 // of the file and its log
	FreeBytes      int64 // of the file system, for users that are not root
	Oldest, Newest time.Time
	// Dropped is how many rows were lost since the start, by cause: the labels
	// of dmarcgate_store_dropped_total.
	Dropped map[string]int64
	// Deleted is the same for dmarcgate_store_deleted_total.
	Deleted map[string]int64
	// Guard tells that rows are dropped because too little is free.
	Guard bool
	// Uncleaned is how many rows of earlier programs may still hold destinations
	// of DMARC records in the file.
	Uncleaned int64
	// SetAside is what the file was renamed to that was damaged or had gone, the
	// last one since the start; "" when that has not happened.
	SetAside string
	// Failure is why the last commit failed, or what is wrong with the file; ""
	// when all is well.
	Failure string
}

// Status returns what the store is at. It counts the rows, which takes some
// 10 ms for 1,000,000.
func (s *Store) Status(ctx context.Context) (StoreStatus, error) {
	st := StoreStatus{ID: s.ID(), Bytes: bytesOf(s.opt.Path)}
	s.tallies.fill(&st)
	if err := s.failed.Load(); err != nil {
		st.Failure = (*err).Error()
	}
	st.FreeBytes, _, _ = s.free() // 0 when it is not known
	return st, st.count(ctx, s.db)
}

// count adds what the rows of the file say.
func (st *StoreStatus) count(ctx context.Context, db oneRow) error {
	var oldest, newest sql.NullInt64
	err := db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM message), (SELECT min(time) FROM message), (SELECT max(time) FROM message)").Scan(&st.Rows, &oldest, &newest)
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
func (r *Reader) FileStatus(ctx context.Context, path string) (st StoreStatus, waiting Waiting, err error) {
	st.Bytes = bytesOf(path)
	st.FreeBytes, _, _ = statfs(filepath.Dir(path)) // 0 when it is not known
	if err := r.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'store_id'").Scan(&st.ID); err != nil {
		return st, waiting, fmt.Errorf("reading the store: %w", err)
	}
	if err := st.count(ctx, r.db); err != nil {
		return st, waiting, err
	}
	waiting, err = countWaiting(ctx, r.db)
	return st, waiting, err
}
