package dbread

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"dmarcgate/results"
	"dmarcgate/results/blob"
)

// scanSlice is how many rows one read of Scan takes: some 10 ms.
const scanSlice = 1000

// A slice of a scan begins after the row ?2 of the time ?1. In unsiftedSQL and
// siftedSQL, ?5 is the mark of sift.
const (
	scanSQL = "SELECT " + Selection + ` FROM message
		WHERE (time, seq) > (?1, ?2) AND time < ?3 ORDER BY time, seq LIMIT ?4`
	unsiftedSQL = "SELECT " + Selection + ` FROM message
		WHERE (time, seq) > (?1, ?2) AND time < ?3 AND seq <= ?5 ORDER BY time, seq LIMIT ?4`
	siftedSQL = `SELECT m.seq, m.time, state, qid, client, author, policy_domain, row FROM ruled AS r CROSS JOIN message AS m ON m.seq = r.seq
		WHERE (r.time, r.seq) > (?1, ?2) AND r.time < ?3 AND r.seq > ?5 ORDER BY r.time, r.seq LIMIT ?4`
)

// Scan implements Queries.
func (r *Reader) Scan(ctx context.Context, span results.Span, f func(results.Row) error) error {
	if span.Upto != nil {
		last, err := r.lastOf(ctx, span.Upto)
		if err != nil {
			return err
		}
		all := f
		f = func(row results.Row) error {
			if row.Sequence > last {
				return nil
			}
			return all(row)
		}
	}
	if !span.Ruled {
		return (&scanner{db: r, text: scanSQL}).scan(ctx, span, f)
	}
	mark, err := Unsifted(ctx, r)
	if err != nil {
		return err
	}
	if mark > 0 {
		old := &scanner{db: r, text: unsiftedSQL, more: []any{mark}, ruled: true}
		if err := old.scan(ctx, span, f); err != nil {
			return err
		}
	}
	return (&scanner{db: r, text: siftedSQL, more: []any{mark}}).scan(ctx, span, f)
}

// lastOf returns the number of the last row of this file that counts. A file may have
// had more than one id.
func (r *Reader) lastOf(ctx context.Context, upto map[string]int64) (last int64, err error) {
	ids, err := Query(ctx, r, "the ids of the store", func(rs *sql.Rows) (id string, err error) { return id, rs.Scan(&id) }, "SELECT store_id FROM identity")
	for _, id := range ids {
		last = max(last, upto[id])
	}
	return last, err
}

// scanner reads rows in slices. What it needs for one it uses for the next.
type scanner struct {
	db    *Reader
	text  string
	more  []any // arguments
	ruled bool  // rows that name no rule are left out here

	blob    blob.Reader
	columns blob.Columns
	rows    []results.Row
	read    int   // rows of the slice, with those left out
	at, seq int64 // of the last one
}

func (s *scanner) scan(ctx context.Context, span results.Span, f func(results.Row) error) error {
	from, to := limits(span)
	s.at, s.seq = from-1, 1<<62
	for s.read = scanSlice; s.read == scanSlice; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.slice(ctx, to); err != nil {
			return err
		}
		for i := range s.rows {
			if err := f(s.rows[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// slice reads the next rows. It does not end with ctx, since the driver would
// look for that at each row.
func (s *scanner) slice(ctx context.Context, to int64) error {
	s.read, s.rows = 0, s.rows[:0]
	rs, err := s.db.QueryContext(context.WithoutCancel(ctx), s.text, append([]any{s.at, s.seq, to, scanSlice}, s.more...)...)
	if err != nil {
		return fmt.Errorf("reading results: %w", err)
	}
	defer rs.Close()
	for rs.Next() {
		if err := s.next(rs); err != nil {
			return err
		}
	}
	return rs.Err()
}

func (s *scanner) next(rs *sql.Rows) error {
	c := &s.columns
	if err := ScanColumns(c, rs); err != nil {
		return err
	}
	s.read, s.at, s.seq = s.read+1, c.Time, c.Sequence
	if s.ruled && !s.blob.NamesRule(c.Blob) {
		return nil
	}
	s.rows = append(s.rows, results.Row{})
	return s.blob.Read(c, &s.rows[len(s.rows)-1])
}

// MetaUnsifted is the key of the mark up to which rows, which were written with
// schema version 2, have not been looked through for those that name a rule.
const MetaUnsifted = "unsifted"

// Unsifted returns that mark: rows up to it have not been looked through.
// It is 0 when all have.
func Unsifted(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
}) (mark int64, err error) {
	err = db.QueryRowContext(ctx, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?", MetaUnsifted).Scan(&mark)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("reading how far rows have been looked through: %w", err)
	}
	return mark, nil
}
