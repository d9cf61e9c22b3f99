package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"dmarcgate/results"
	"dmarcgate/results/blob"
	"dmarcgate/results/dbread"
)

// purgeSlice is how many rows are looked at for one transaction.
const purgeSlice = 500

// Purge deletes the rows that are meant, what is known of their senders, and
// the history of their organizations, and gives the space back. It works in
// slices beside the mail; what it has deleted stays deleted when it ends early.
// It returns how many rows it deleted. Rows that come meanwhile stay, and so
// may remains in unused parts of pages, until those are written again: SQLite's
// VACUUM, while no daemon runs, leaves none.
//
// Rows that were shipped are deleted here alone: PostgreSQL has a purge of its
// own (pg.Reader.Purge), to be run after this one on all hosts.
func (s *Store) Purge(ctx context.Context, p results.Purge) (int64, error) {
	p, err := p.Normal()
	if err != nil {
		return 0, err
	}
	w := &purger{Store: s, f: s.current.Load(), p: p}
	if w.end, err = w.lastRow(ctx); err != nil {
		return 0, fmt.Errorf("purging: looking for the last row: %w", err)
	}
	n, err := slicewise(ctx, func() (int64, error) { return w.slice(ctx) })
	s.deleted("purge", w.deleted)
	if err == nil {
		err = w.finish(ctx)
	}
	if err != nil {
		return w.deleted, fmt.Errorf("purging, after %d of %d rows that were looked at: %w", w.deleted, n, err)
	}
	if w.unreadable > 0 {
		return w.deleted, fmt.Errorf("%d rows cannot be read, so that nobody can say whether they are meant; they stay", w.unreadable)
	}
	return w.deleted, nil
}

// purger is one purge of a store.
type purger struct {
	*Store
	f                   *file
	p                   results.Purge
	last                int64 // the number of the last row that was looked at
	end                 int64 // the number of the last row that there was at the start
	deleted, unreadable int64
}

// lastRow returns the number of the last row. Rows with a higher one come while
// the purge is at work: without that bound, a host with much mail could keep it
// at work for ever.
func (w *purger) lastRow(ctx context.Context) (seq int64, err error) {
	err = w.f.reads.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM message").Scan(&seq)
	return seq, err
}

// slice looks at some rows, deletes those that are meant, and returns at how
// many it has looked.
func (w *purger) slice(ctx context.Context) (looked int64, err error) {
	before := int64(1) << 62
	if !w.p.Before.IsZero() {
		before = w.p.Before.UnixMilli() + 1 // within the millisecond, Matches tells
	}
	rs, err := w.f.reads.QueryContext(ctx, "SELECT "+dbread.Selection+" FROM message WHERE seq > ? AND seq <= ? AND time < ? ORDER BY seq LIMIT ?", w.last, w.end, before, purgeSlice)
	if err != nil {
		return 0, err
	}
	defer rs.Close()
	var meant []int64
	first := w.last + 1
	for rs.Next() {
		looked++
		var c blob.Columns
		if err := dbread.ScanColumns(&c, rs); err != nil {
			return 0, err
		}
		w.last = c.Sequence
		if r, err := c.Row(); err != nil {
			w.unreadable++
		} else if results.Matches(&r, w.p) {
			meant = append(meant, c.Sequence)
		}
	}
	if err := errors.Join(rs.Err(), rs.Close()); err != nil || len(meant) == 0 {
		return looked, err
	}
	return looked, w.in(ctx, w.f, func(tx *sql.Tx) error {
		n, err := deleteRows(tx, meant)
		if err == nil && n*packPart >= looked {
			err = pack(tx, first, w.last)
		}
		if err == nil {
			w.deleted += n
		}
		return err
	})
}

func deleteRows(tx *sql.Tx, rows []int64) (int64, error) {
	list := inList(rows)
	if _, err := tx.ExecContext(context.Background(), "DELETE FROM restate WHERE seq IN "+list); err != nil {
		return 0, err
	}
	return changed(tx.ExecContext(context.Background(), "DELETE FROM message WHERE seq IN "+list))
}

// inList returns the numbers of rows as SQL has them after IN.
func inList(rows []int64) string {
	return "(" + strings.Trim(strings.Join(strings.Fields(fmt.Sprint(rows)), ","), "[]") + ")"
}

// packPart is the part of the rows, a sixteenth, from which on the others are
// put together again.
const packPart = 16

// pack writes the rows of a span anew, so that pages become free: SQLite leaves
// those that are half empty as they are.
func pack(tx *sql.Tx, first, last int64) error {
	mark, err := dbread.Summed(context.Background(), tx)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(context.Background(), `CREATE TEMP TABLE pack AS SELECT * FROM message WHERE seq BETWEEN ?1 AND ?2;
		DELETE FROM message WHERE seq BETWEEN ?1 AND ?2;
		INSERT INTO message SELECT * FROM pack ORDER BY seq;
		INSERT INTO ruled SELECT time, seq FROM pack WHERE flags & 16`, first, last)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(context.Background(), fmt.Sprintf(sumSQL, "pack"), 0, mark); err != nil {
		return err
	}
	_, err = tx.ExecContext(context.Background(), "DROP TABLE pack")
	return err
}

// finish deletes what belongs to the rows, and gives their space back.
func (w *purger) finish(ctx context.Context) error {
	senders, err := w.senders(ctx)
	if err != nil {
		return err
	}
	err = w.in(ctx, w.f, func(tx *sql.Tx) error {
		for _, who := range senders {
			if _, err := tx.ExecContext(context.Background(), "DELETE FROM sender WHERE org = ? AND net = ?", who.org, who.netBytes()); err != nil {
				return err
			}
		}
		w.met = met{} // of the writer, which this runs in
		_, err := tx.ExecContext(context.Background(), pruneSQL)
		return err
	})
	if err != nil {
		return err
	}
	if w.p.Domain != "" {
		w.history.Forget(func(org string) bool {
			who := results.Sender{Org: org}
			return who.Matches(results.Purge{Domain: w.p.Domain})
		})
	}
	return w.vacuum(ctx, w.f, 0)
}

// senders returns the senders that are meant.
func (w *purger) senders(ctx context.Context) ([]sender, error) {
	all, err := dbread.Query(ctx, w.f.reads, "senders", func(rs *sql.Rows) (results.Sender, error) {
		var who results.Sender
		var net []byte
		err := rs.Scan(&who.Org, &net, (*dbread.Milliseconds)(&who.Time))
		who.Net = dbread.NetOf(net)
		return who, err
	}, "SELECT org, net, last FROM sender")
	var out []sender
	for _, who := range all {
		if who.Matches(w.p) {
			out = append(out, sender{who.Org, who.Net})
		}
	}
	return out, err
}
