package dbread

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"dmarcgate/results"
)

// Queries that only a store's own file answers: those of the status pages.

// MetaUnsummed is the key of the mark up to which rows, which were written before
// schema version 5, are not in the sums of days yet.
const MetaUnsummed = "unsummed"

// Unsummed returns that mark. It is 0 when all rows are in the sums.
func Unsummed(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
}) (mark int64, err error) {
	err = db.QueryRowContext(ctx, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?", MetaUnsummed).Scan(&mark)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("reading how far rows are summed: %w", err)
	}
	return mark, nil
}

const (
	daySumsSQL = `SELECT day * 86400000, state, skipped, result, requested, disposition, messages
		FROM day_sum WHERE day >= ?1 / 86400000 AND messages > 0 ORDER BY day, state, skipped, result, requested, disposition`
	olderSQL = "SELECT " + Selection + " FROM message WHERE seq < ? ORDER BY seq DESC LIMIT ?"
	ruledSQL = `SELECT m.seq, m.time, state, qid, client, author, policy_domain, row
		FROM (SELECT time, seq FROM ruled ORDER BY time DESC, seq DESC LIMIT ?) AS r CROSS JOIN message AS m ON m.seq = r.seq`
)

// DaySums returns the sums of days from that of a time on, oldest first. complete
// is false while rows of an older program are still being summed.
func (r *Reader) DaySums(ctx context.Context, from time.Time) (sums []results.DaySum, complete bool, err error) {
	mark, err := Unsummed(ctx, r)
	if err != nil {
		return nil, false, err
	}
	sums, err = Query(ctx, r, "sums of days", func(rs *sql.Rows) (s results.DaySum, err error) {
		return s, rs.Scan((*Milliseconds)(&s.Day), &s.State, &s.Skipped, &s.Result, &s.Requested, &s.Disposition, &s.Messages)
	}, daySumsSQL, max(0, since(from)))
	return sums, mark == 0, err
}

// Older returns the newest rows with a smaller sequence, newest first, at most
// limit.
func (r *Reader) Older(ctx context.Context, sequence int64, limit int) ([]results.Row, error) {
	return r.rows(ctx, olderSQL, sequence, max(0, limit))
}

// NewestRuled returns the newest rows that name a rule, of any mode, newest first,
// at most limit. Rows of schema version 2 are missing until they have been looked
// through.
func (r *Reader) NewestRuled(ctx context.Context, limit int) ([]results.Row, error) {
	return r.rows(ctx, ruledSQL, max(0, limit))
}

// FirstSeen returns when the first known message of an organization came; zero when
// nothing is known of it.
func (r *Reader) FirstSeen(ctx context.Context, org string) (first time.Time, err error) {
	var ms sql.NullInt64
	if err := r.QueryRowContext(ctx, "SELECT min(first) FROM sender WHERE org = ?", org).Scan(&ms); err != nil {
		return time.Time{}, fmt.Errorf("reading senders: %w", err)
	}
	if !ms.Valid {
		return time.Time{}, nil
	}
	return time.UnixMilli(ms.Int64).UTC(), nil
}
