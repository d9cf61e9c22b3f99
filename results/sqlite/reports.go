package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"dmarcgate/results"
)

const (
	// metaReportOpen is the key of the time from which on days are not closed:
	// milliseconds since 1970, UTC. Without it, no reports are made.
	metaReportOpen = "report_open"
	// metaReportLost begins the keys of the numbers of rows that were deleted before
	// their day was closed. The day follows, in days since 1970.
	metaReportLost = "report_lost_"
)

// countLostSQL counts the answered, evaluated rows of days that are not closed among
// those that deleteSQL deletes.
const countLostSQL = `INSERT INTO meta SELECT '` + metaReportLost + `' || (time / 86400000), count(*) FROM message
	WHERE seq IN ` + oldestSQL + ` AND state = 0 AND flags & 8 = 0
		AND time >= (SELECT CAST(value AS INTEGER) FROM meta WHERE key = '` + metaReportOpen + `') GROUP BY 1
	ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + CAST(excluded.value AS INTEGER)`

// SetReportsOpen notes from which day on days are not closed: rows from then on that
// the limit of the size deletes are counted. Numbers of days that are closed for a
// month are forgotten.
func (s *Store) SetReportsOpen(ctx context.Context, day time.Time) error {
	return s.in(ctx, nil, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(context.Background(), "INSERT OR REPLACE INTO meta VALUES (?, ?)", metaReportOpen, day.UnixMilli()); err != nil {
			return err
		}
		_, err := tx.ExecContext(context.Background(), "DELETE FROM meta WHERE key GLOB ? AND CAST(substr(key, ?) AS INTEGER) < ?",
			metaReportLost+"*", len(metaReportLost)+1, daysSince1970(day.AddDate(0, -1, 0)))
		return err
	})
}

// LostRows returns how many answered, evaluated rows of a day the limit of the size has
// deleted before the day was closed.
func (s *Store) LostRows(ctx context.Context, day time.Time) (n int64, err error) {
	err = s.QueryRowContext(ctx, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?", fmt.Sprint(metaReportLost, daysSince1970(day))).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

func daysSince1970(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

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
