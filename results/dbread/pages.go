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

// MetaSummed is the key of the sequence up to which rows are in the sums of days.
const MetaSummed = "summed"

// Summed returns that sequence.
func Summed(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
}) (mark int64, err error) {
	if err := db.QueryRowContext(ctx, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?", MetaSummed).Scan(&mark); err != nil {
		return 0, fmt.Errorf("reading how far rows are summed: %w", err)
	}
	return mark, nil
}

// maxUnsummed is how many rows that are not in the sums yet are counted for an
// answer: the mail of some rounds of maintenance on a busy host.
const maxUnsummed = 20_000

const (
	// A query is a snapshot: what is summed meanwhile is not counted twice.
	daySumsSQL = `WITH mark AS (SELECT CAST(value AS INTEGER) AS seq FROM meta WHERE key = 'summed'),
		fresh AS (SELECT time, state, flags, result, requested, disposition FROM message WHERE seq > (SELECT seq FROM mark) AND ` + givingWay + ` ORDER BY seq DESC LIMIT ?2)
		SELECT day * 86400000, state, skipped, result, requested, disposition, sum(messages) FROM (
			SELECT day, state, skipped, result, requested, disposition, messages FROM day_sum WHERE messages > 0
			UNION ALL SELECT time / 86400000, state, (flags & 8) <> 0, result, requested, disposition, 1 FROM fresh WHERE state <> 3)
		WHERE day >= ?1 / 86400000 GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6`
	unsummedSQL      = "SELECT count(*) FROM (SELECT 1 FROM message WHERE seq > (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'summed') AND " + givingWay + " LIMIT ?)"
	olderSQL         = "SELECT " + Selection + " FROM message WHERE seq < ? ORDER BY seq DESC LIMIT ?"
	nthSQL           = " AND time >= ? AND " + givingWay + " ORDER BY time DESC LIMIT 1 OFFSET ?"
	nthFailingSQL    = "SELECT time FROM message WHERE result = 2 AND state = 0" + nthSQL
	nthOverriddenSQL = "SELECT time FROM message WHERE override <> '' AND state = 0" + nthSQL
	ruledSQL         = `SELECT m.seq, m.time, state, qid, client, author, policy_domain, row
		FROM (SELECT time, seq FROM ruled ORDER BY time DESC, seq DESC LIMIT ?) AS r CROSS JOIN message AS m ON m.seq = r.seq`
)

// DaySums returns the sums of days from that of a time on, oldest first. complete
// is false while rows of an older program are still being summed.
func (r *Reader) DaySums(ctx context.Context, from time.Time) (sums []results.DaySum, complete bool, err error) {
	var n int64
	if err := r.QueryRowContext(ctx, unsummedSQL, maxUnsummed+1).Scan(&n); err != nil {
		return nil, false, fmt.Errorf("reading how many rows are not summed: %w", err)
	}
	sums, err = Query(ctx, r, "sums of days", func(rs *sql.Rows) (s results.DaySum, err error) {
		return s, rs.Scan((*Milliseconds)(&s.Day), &s.State, &s.Skipped, &s.Result, &s.Requested, &s.Disposition, &s.Messages)
	}, daySumsSQL, max(0, since(from)), maxUnsummed)
	return sums, n <= maxUnsummed, err
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

// NewestFailing returns the time of the nth newest message since from that failed,
// and whether there are as many. Otherwise the time is from.
func (r *Reader) NewestFailing(ctx context.Context, from time.Time, n int) (time.Time, bool, error) {
	return r.nth(ctx, nthFailingSQL, from, n)
}

// NewestOverridden is the same for messages whose disposition is not the requested one.
func (r *Reader) NewestOverridden(ctx context.Context, from time.Time, n int) (time.Time, bool, error) {
	return r.nth(ctx, nthOverriddenSQL, from, n)
}

func (r *Reader) nth(ctx context.Context, query string, from time.Time, n int) (time.Time, bool, error) {
	at := Milliseconds(from)
	err := r.QueryRowContext(ctx, query, since(from), n-1).Scan(&at)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return from, false, nil
	case err != nil:
		return from, false, fmt.Errorf("reading the newest messages: %w", err)
	}
	return time.Time(at), true, nil
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
