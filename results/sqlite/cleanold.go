package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"dmarcgate/results/blob"
)

// metaUncleaned is the key of the mark up to which rows, which were written with
// schema version 3 or before, have not been cleaned (Shipment.Clean).
const metaUncleaned = "uncleaned"

// cleanTime is for how long one round of maintenance cleans rows, half of which is
// rest: 1,000,000 rows take some minutes.
const cleanTime = 5 * time.Second

// cleanOld cleans rows of earlier programs, the newest first. Readers see them
// clean already; this is for the file itself. What is overwritten is gone from
// it when the last slice is done and the space was given back.
func (s *Store) cleanOld(ctx context.Context, f *file) error {
	end := time.Now().Add(cleanTime)
	done := false
	_, err := slicewise(ctx, func() (int64, error) {
		mark, err := uncleaned(ctx, f.reads)
		if err != nil || mark == 0 || done || time.Now().After(end) {
			return 0, err
		}
		done, err = s.cleanSlice(ctx, f, mark)
		return 1, err
	})
	if err == nil && done {
		err = s.cleaned(ctx, f)
	}
	if err != nil {
		return fmt.Errorf("cleaning rows of earlier programs: %w", err)
	}
	return s.tellUncleaned(ctx, f)
}

// cleanSlice cleans some rows up to the mark, and moves it; done says that
// nothing was left.
func (s *Store) cleanSlice(ctx context.Context, f *file, mark int64) (done bool, err error) {
	err = s.in(ctx, f, func(tx *sql.Tx) error {
		rows, err := encodedRows(tx, "WHERE seq <= ? ORDER BY seq DESC LIMIT ?", mark, maintenanceSlice)
		if err != nil {
			return err
		}
		if done = len(rows) == 0; done {
			return nil
		}
		for i := range rows {
			if err := cleanRow(tx, &rows[i]); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(context.Background(), "UPDATE meta SET value = ? WHERE key = ?", max(1, rows[len(rows)-1].Sequence-1), metaUncleaned)
		done = rows[len(rows)-1].Sequence == 1
		return err
	})
	return done, err
}

func cleanRow(tx *sql.Tx, r *blob.Shipment) error {
	if !r.Clean() {
		return nil
	}
	_, err := tx.ExecContext(context.Background(), "UPDATE message SET qid = ?, author = ?, policy_domain = ?, override = ?, row = ? WHERE seq = ?",
		r.QueueID, r.Author, r.PolicyDomain, r.Reason, r.Encoded, r.Sequence)
	return err
}

// cleaned gives back the pages that rows of before have left, and then notes that
// none is left.
func (s *Store) cleaned(ctx context.Context, f *file) error {
	if err := s.vacuum(ctx, f, 0); err != nil {
		return err
	}
	err := s.in(ctx, f, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(context.Background(), "DELETE FROM meta WHERE key = ?", metaUncleaned)
		return err
	})
	if err == nil {
		s.opt.Log.Info("report destinations removed from all older rows")
	}
	return err
}

// tellUncleaned sets how many rows are left.
func (s *Store) tellUncleaned(ctx context.Context, f *file) error {
	n, err := countUncleaned(ctx, f.reads)
	if err == nil {
		s.opt.Metrics.StoreUncleaned("local", n)
	}
	return err
}

// oneRow is what can be asked for one row.
type oneRow interface {
	QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
}

// uncleaned returns the mark, 0 when there is none.
func uncleaned(ctx context.Context, db oneRow) (mark int64, err error) {
	err = db.QueryRowContext(ctx, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?", metaUncleaned).Scan(&mark)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("reading how far rows have been cleaned: %w", err)
	}
	return mark, nil
}

// countUncleaned returns how many rows are not cleaned yet; those that were
// purged in between may count, too.
func countUncleaned(ctx context.Context, db oneRow) (n int64, err error) {
	mark, err := uncleaned(ctx, db)
	if err != nil || mark == 0 {
		return 0, err
	}
	err = db.QueryRowContext(ctx, "SELECT max(0, ? - coalesce((SELECT min(seq) FROM message), ?) + 1)", mark, mark+1).Scan(&n)
	return n, err
}
