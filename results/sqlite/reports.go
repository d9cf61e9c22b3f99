package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"dmarcgate/results"
)

// metaReportMark is the key of the mark of sent reports (report/queue). It is in this
// file, and not in that of the queue, so that an older queue that was put back is
// recognized.
const metaReportMark = "report_mark"

// ReportMark returns the mark of sent reports, "" before the first one.
func (s *Store) ReportMark(ctx context.Context) (text string, err error) {
	err = s.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", metaReportMark).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return text, err
}

// SetReportMark keeps the mark of sent reports. It returns after the commit.
func (s *Store) SetReportMark(ctx context.Context, text string) error {
	return s.in(ctx, nil, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(context.Background(), "INSERT OR REPLACE INTO meta VALUES (?, ?)", metaReportMark, text)
		return err
	})
}

// Barrier waits until the rows that were added before are written, or have failed, and
// returns the number of the last row of the store. A row that comes later has a
// higher one.
func (s *Store) Barrier(ctx context.Context) (last int64, err error) {
	// A mark for a row that was never written changes nothing, and takes its turn
	// behind the rows.
	o := &op{after: &op{}, done: make(chan struct{})}
	for !s.enqueue(o, time.Second) {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		select {
		case <-s.closing:
			return 0, errors.New("the store is closed")
		default:
		}
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if o.err != nil {
		return 0, fmt.Errorf("writing the rows that wait: %w", o.err)
	}
	err = s.on(ctx, nil, func(conn *sql.Conn) error {
		last = s.session.next - 1 // of the writer, which this runs in
		return nil
	})
	return last, err
}

// LateRows counts the answered, evaluated rows of a time span [from, to) that have a
// number above that of the last row that counts.
func (s *Store) LateRows(ctx context.Context, from, to time.Time, last int64) (n int64, err error) {
	err = s.QueryRowContext(ctx, "SELECT count(*) FROM message WHERE seq > ? AND time >= ? AND time < ? AND state = ? AND flags & 8 = 0",
		last, from.UnixMilli(), to.UnixMilli(), results.Answered).Scan(&n)
	return n, err
}
