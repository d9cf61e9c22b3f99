package pg

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"dmarcgate/results"
	"dmarcgate/results/blob"
)

const (
	// shortenSlice is how many rows one transaction looks at; there is one in
	// each turn, so that rows are shipped in between.
	shortenSlice = 500
	// shortenSettle is how long after the age of shortening rows are looked at:
	// those that were shipped before it are there by then.
	shortenSettle = time.Hour
	// markShortened is the name of the mark up to which addresses were shortened.
	markShortened = "shortened"
)

// tooOld reports whether a row is to be shipped shortened: those that will not be
// looked at later.
func (c *session) tooOld(r blob.Shipment) bool {
	return c.ShortenIPAfter > 0 && r.Time.Before(c.shortenCut)
}

// shortenBefore moves the time up to which addresses are shortened: by the time
// of the server, and not faster than Pace allows from the last row that was.
func (c *session) shortenBefore(ctx context.Context) (time.Time, error) {
	target := c.serverAt.Add(-c.ShortenIPAfter)
	if c.shortened == nil {
		from, err := c.shortenFrom(ctx, target)
		if err != nil {
			return time.Time{}, err
		}
		pace := results.NewPace(from, from, c.elapsed())
		c.shortened = &pace
	}
	return c.shortened.Cut(target, c.shortened.High, c.elapsed()), nil
}

// shortenFrom returns where shortening has stopped: at the last row that was, or
// before the first row that there is.
func (c *session) shortenFrom(ctx context.Context, target time.Time) (time.Time, error) {
	at, _, _, err := shortenedTo(ctx, c.conn)
	if err != nil || !at.IsZero() {
		return at, err
	}
	var first *time.Time
	err = c.conn.QueryRow(ctx, "SELECT min(time) FROM dmarcgate.message").Scan(&first)
	if err != nil || first == nil || first.After(target) {
		return target, err
	}
	return *first, nil
}

// shortenedTo reads the mark; the time is zero when there is none.
func shortenedTo(ctx context.Context, q querier) (at time.Time, store int32, seq int64, err error) {
	var mark string
	err = q.QueryRow(ctx, "SELECT value FROM dmarcgate.mark WHERE name = $1", markShortened).Scan(&mark)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, -1, -1, nil
	}
	if err != nil {
		return time.Time{}, 0, 0, err
	}
	var millis int64
	if _, err := fmt.Sscan(mark, &millis, &store, &seq); err != nil {
		return time.Time{}, 0, 0, fmt.Errorf("the mark %q: %w", mark, err)
	}
	return time.UnixMilli(millis).UTC(), store, seq, nil
}

// shorten does a slice of what there is to shorten in the rows of all hosts,
// unless another host is at it.
func (c *session) shorten(ctx context.Context) {
	if c.ShortenIPAfter <= 0 {
		return
	}
	err := c.bounded(ctx, func(ctx context.Context) (err error) {
		if c.shortenCut, err = c.shortenBefore(ctx); err != nil || !c.shortening {
			return err
		}
		return pgx.BeginFunc(ctx, c.conn, func(tx pgx.Tx) (err error) {
			c.shortening, err = shortenSome(ctx, tx, c.shortenCut.Add(-shortenSettle))
			return err
		})
	})
	if err != nil { // shipping does not depend on it
		c.shortening = false
		if c.shortenCut.IsZero() {
			c.shortenCut = c.serverAt.Add(-c.ShortenIPAfter)
		}
		c.Log.Warn("cannot shorten addresses in PostgreSQL; retrying", "err", err)
	}
}

// shortenSome shortens the rows after the mark, and reports whether there may be
// more.
func shortenSome(ctx context.Context, tx pgx.Tx, before time.Time) (more bool, err error) {
	var mine bool
	if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1, $2)", lockClass, lockRetention).Scan(&mine); err != nil || !mine {
		return false, err
	}
	at, store, seq, err := shortenedTo(ctx, tx)
	if err != nil {
		return false, err
	}
	if at.After(before) { // the clock was ahead: rows that came since then may be behind the mark
		at, store, seq = before, -1, -1
	}
	rows, err := readKept(ctx, tx, at, store, seq, before, shortenSlice)
	if err != nil || len(rows) == 0 {
		return false, err
	}
	if err := rewrite(ctx, tx, rows); err != nil {
		return false, err
	}
	last := rows[len(rows)-1]
	_, err = tx.Exec(ctx, "INSERT INTO dmarcgate.mark VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
		markShortened, fmt.Sprint(last.Time.UnixMilli(), last.store, last.Sequence))
	return len(rows) == shortenSlice, err
}

// rewrite shortens rows and writes those that change.
func rewrite(ctx context.Context, tx pgx.Tx, rows []kept) error {
	var k keys
	var clients []*netip.Addr
	var blobs [][]byte
	for _, r := range rows {
		if r.Shorten() {
			k.add(r)
			clients, blobs = append(clients, inet(r.Client)), append(blobs, r.Encoded)
		}
	}
	if len(blobs) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `UPDATE dmarcgate.message AS m SET client = d.client, row = d.row
		FROM unnest($1::integer[], $2::bigint[], $3::timestamptz[], $4::inet[], $5::bytea[]) AS d (store, seq, time, client, row)
		WHERE m.store = d.store AND m.seq = d.seq AND m.time = d.time`, k.stores, k.seqs, k.times, clients, blobs)
	return err
}

// inet returns an address as the column has it: none is null, and there are no
// zones (Encoded has them).
func inet(a netip.Addr) *netip.Addr {
	if !a.IsValid() {
		return nil
	}
	a = a.WithZone("")
	return &a
}
