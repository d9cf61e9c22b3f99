package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/blob"
	"dmarcgate/results/dbread"
	"dmarcgate/results/history"
)

// The history is counted anew when the store opens, beside the mail.
const (
	// maxHistoryRows is how many stored rows are counted at most, the newest.
	// It takes a minute or two; whoever has more mail in HistoryDays knows his
	// senders by these.
	maxHistoryRows = 2_000_000
	// historySlice is how many rows one read takes: some 10 ms.
	historySlice = 500
)

// History returns what this host has seen of an organization in the last
// policy.HistoryDays. It is zero, which is no evidence, for an organization
// that is not known, and until everything stored has been counted. It takes no
// lock that is held across I/O.
func (s *Store) History(org string) policy.History {
	return s.history.Of(org, history.DayOf(s.opt.now()))
}

// now is the time of the history.
func (o *Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// remember keeps the history up with what has been committed.
func (s *Store) remember(o *op) {
	switch {
	case o.err != nil:
	case o.after == nil && o.row.State == results.Answered:
		s.history.Count(&o.row.Facts)
	case o.after != nil && o.after.seq != 0 && o.after.row.State == results.Answered:
		o.after.row.State = o.state
		s.history.Uncount(&o.after.row.Facts)
	}
}

// loadHistory counts what is stored in a file: the writer counts what comes
// later. It ends early with ctx. After a failure the history stays unready.
func (s *Store) loadHistory(ctx context.Context, f *file) {
	defer close(s.loaded)
	start := time.Now()
	rows, err := s.readHistory(ctx, f.reads, f.opened-1)
	switch {
	case ctx.Err() != nil:
	case err != nil && f == s.current.Load():
		s.opt.Log.Error("cannot load sender history; history evidence disabled until restart", "err", err)
	default: // of another file, what was counted up to now is all there is
		s.history.Finish()
		s.opt.Log.Debug("sender history loaded", "rows", rows, "took", time.Since(start).Round(time.Millisecond))
	}
}

// readHistory reads slices from the oldest row on, because what counts is the
// order in which senders were seen, and rests after each as long as it took.
func (s *Store) readHistory(ctx context.Context, db *sql.DB, last int64) (rows int64, err error) {
	begin := s.opt.now().AddDate(0, 0, -policy.HistoryDays)
	var first int64
	err = db.QueryRowContext(ctx, "SELECT coalesce((SELECT seq FROM message WHERE time >= ? ORDER BY time LIMIT 1), ?)",
		begin.UnixMilli(), last+1).Scan(&first)
	if err != nil {
		return 0, fmt.Errorf("looking for the first row: %w", err)
	}
	first = max(first, last-maxHistoryRows+1)
	for seq := first; seq <= last; seq += historySlice {
		start := time.Now()
		if err := s.readSlice(ctx, db, seq, min(seq+historySlice-1, last)); err != nil {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Since(start)):
		}
	}
	return last - first + 1, nil
}

func (s *Store) readSlice(ctx context.Context, db *sql.DB, first, last int64) error {
	rs, err := db.QueryContext(ctx, "SELECT "+dbread.Selection+" FROM message WHERE seq BETWEEN ? AND ? AND state = ? AND result = ?",
		first, last, results.Answered, int64(dmarc.Pass))
	if err != nil {
		return fmt.Errorf("reading rows %d to %d: %w", first, last, err)
	}
	defer rs.Close()
	for rs.Next() {
		if r, err := dbread.Scan(rs); err == nil {
			s.history.Count(&r.Facts)
		} else if !errors.Is(err, blob.ErrDamaged) { // what cannot be read proves nothing
			return fmt.Errorf("reading rows %d to %d: %w", first, last, err)
		}
	}
	return rs.Err()
}
