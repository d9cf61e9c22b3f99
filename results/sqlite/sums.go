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

// sumSQL adds the rows above ?1, up to ?2, to the sums of their days.
const sumSQL = `INSERT INTO day_sum SELECT time / 86400000, state, (flags & 8) <> 0, result, requested, disposition, count(*)
	FROM message WHERE seq > ?1 AND seq <= ?2 AND state <> 3 GROUP BY 1, 2, 3, 4, 5, 6
	ON CONFLICT DO UPDATE SET messages = messages + excluded.messages`

// sumOld adds rows of before schema version 5 to the sums, the newest first.
func (s *Store) sumOld(ctx context.Context, f *file) error {
	end := time.Now().Add(sumTime)
	_, err := slicewise(ctx, func() (n int64, err error) {
		mark, err := dbread.Unsummed(ctx, f.reads)
		if err != nil || mark == 0 || time.Now().After(end) {
			return 0, err
		}
		return 1, s.in(ctx, f, func(tx *sql.Tx) error { return sumBelow(tx, mark) })
	})
	if err != nil {
		return fmt.Errorf("summing rows: %w", err)
	}
	return nil
}

// sumBelow adds the newest rows up to the mark, and moves it.
func sumBelow(tx *sql.Tx, mark int64) error {
	ctx := context.Background()
	var first sql.NullInt64
	if err := tx.QueryRowContext(ctx, "SELECT min(seq) FROM (SELECT seq FROM message WHERE seq <= ? ORDER BY seq DESC LIMIT ?)", mark, sumSlice).Scan(&first); err != nil {
		return err
	}
	if !first.Valid {
		_, err := tx.ExecContext(ctx, "DELETE FROM meta WHERE key = ?", dbread.MetaUnsummed)
		return err
	}
	if _, err := tx.ExecContext(ctx, sumSQL, first.Int64-1, mark); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE meta SET value = ? WHERE key = ?", first.Int64-1, dbread.MetaUnsummed)
	return err
}
