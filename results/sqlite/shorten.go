package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"dmarcgate/results/blob"
)

// metaShortened is the key of the mark up to which addresses were shortened:
// the time and the number of a row.
const metaShortened = "shortened"

// shortenOld shortens the addresses in rows that are old enough. Those that
// come later with an old time were shortened before (Privacy.conceal).
func (s *Store) shortenOld(ctx context.Context, f *file) error {
	after := s.opt.Privacy.ShortenIPAfter
	if after <= 0 {
		return nil
	}
	before := s.opt.now().Add(-after - time.Minute) // what is being added is not missed
	before, err := s.cut(ctx, f, &f.clock.shorten, before)
	if err != nil {
		return fmt.Errorf("looking for the oldest row: %w", err)
	}
	_, err = slicewise(ctx, func() (n int64, err error) {
		err = s.in(ctx, f, func(tx *sql.Tx) error {
			n, err = shortenSlice(tx, before.UnixMilli())
			return err
		})
		return n, err
	})
	if err != nil {
		return fmt.Errorf("shortening addresses: %w", err)
	}
	return nil
}

// shortenedTo reads the mark.
func shortenedTo(ctx context.Context, db oneRow) (at, seq int64, err error) {
	at = -1 << 62
	var mark string
	err = db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", metaShortened).Scan(&mark)
	if err == nil {
		_, err = fmt.Sscan(mark, &at, &seq)
	} else if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("reading the mark of shortening: %w", err)
	}
	return at, seq, nil
}

// shortenSlice shortens what comes after the mark, and moves it.
func shortenSlice(tx *sql.Tx, before int64) (int64, error) {
	ctx := context.Background()
	at, seq, err := shortenedTo(ctx, tx)
	if err != nil {
		return 0, err
	}
	if at > before { // the clock was ahead: rows that came since then may be behind the mark
		at, seq = before, 0
	}
	rows, err := encodedRows(tx, `WHERE (time, seq) > (?, ?) AND time < ? ORDER BY time, seq LIMIT ?`, at, seq, before, maintenanceSlice)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	for i := range rows {
		at, seq = rows[i].Time.UnixMilli(), rows[i].Sequence
		if !rows[i].Shorten() {
			continue
		}
		var e blob.Encoder
		if _, err := tx.ExecContext(ctx, "UPDATE message SET client = ?, row = ? WHERE seq = ?", e.Address(rows[i].Client), rows[i].Encoded, seq); err != nil {
			return 0, err
		}
	}
	_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO meta VALUES (?, ?)", metaShortened, fmt.Sprint(at, seq))
	return int64(len(rows)), err
}

// encodedRows reads rows as they are stored.
func encodedRows(tx *sql.Tx, where string, args ...any) (out []blob.Shipment, err error) {
	rs, err := tx.QueryContext(context.Background(), shipmentSQL+where, args...)
	if err != nil {
		return nil, err
	}
	defer rs.Close()
	for rs.Next() {
		r, err := scanShipment(rs)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rs.Err()
}
