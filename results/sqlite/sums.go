package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"dmarcgate/results/dbread"
)

const (
	// sumSlice is how many rows are added to the sums in one transaction, which
	// takes some 5 ms.
	sumSlice = 2000
	// sumTime is for how long one round of maintenance does so.
	sumTime = 5 * time.Second
)

// sumSQL adds the rows of a table above ?1, up to ?2, to the sums of their days.
const sumSQL = `INSERT INTO day_sum SELECT time / 86400000, state, (flags & 8) <> 0, result, requested, disposition, count(*)
	FROM %s WHERE seq > ?1 AND seq <= ?2 AND state <> 3 GROUP BY 1, 2, 3, 4, 5, 6
	ON CONFLICT DO UPDATE SET messages = messages + excluded.messages`

// sumNew adds the rows that have come to the sums of their days, the oldest first:
// after the upgrade to schema version 5, all.
func (s *Store) sumNew(ctx context.Context, f *file) error {
	end := time.Now().Add(sumTime)
	_, err := slicewise(ctx, func() (n int64, err error) {
		if time.Now().After(end) {
			return 0, nil
		}
		mark, err := dbread.Summed(ctx, f.reads)
		if err != nil {
			return 0, err
		}
		return n, s.in(ctx, f, func(tx *sql.Tx) error {
			n, err = sumAbove(tx, mark)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("summing rows: %w", err)
	}
	return nil
}

// sumAbove adds the oldest rows above the mark, and moves it. It returns 0 when it
// has come to the end.
func sumAbove(tx *sql.Tx, mark int64) (int64, error) {
	ctx := context.Background()
	var last, n int64
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0), count(*) FROM (SELECT seq FROM message WHERE seq > ? ORDER BY seq LIMIT ?)", mark, sumSlice).Scan(&last, &n); err != nil || n == 0 {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(sumSQL, "message"), mark, last); err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE meta SET value = ? WHERE key = ?", last, dbread.MetaSummed); err != nil {
		return 0, err
	}
	return n / sumSlice, nil // less than a slice was the end
}
