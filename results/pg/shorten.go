package pg

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"dmarcgate/results"
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

// tooOld reports whether a row is to be shipped shortened.
func (c *session) tooOld(r results.Shipment, now time.Time) bool {
	return c.ShortenIPAfter > 0 && now.Sub(r.Time) > c.ShortenIPAfter
}

// shorten does a slice of what there is to shorten in the rows of all hosts,
// unless another host is at it.
func (c *session) shorten(ctx context.Context) {
	if !c.shortening {
		return
	}
	before := c.serverNow().Add(-c.ShortenIPAfter - shortenSettle)
	err := c.bounded(ctx, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, c.conn, func(tx pgx.Tx) (err error) {
			c.shortening, err = shortenSome(ctx, tx, before)
			return err
		})
	})
	if err != nil { // shipping does not depend on it
		c.shortening = false
		c.Log.Warn("addresses could not be shortened in PostgreSQL now", "err", err)
	}
}

// shortenSome shortens the rows after the mark, and reports whether there may be
// more.
func shortenSome(ctx context.Context, tx pgx.Tx, before time.Time) (more bool, err error) {
	var mine bool
	if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1, $2)", lockClass, lockRetention).Scan(&mine); err != nil || !mine {
		return false, err
	}
	var mark string
	err = tx.QueryRow(ctx, "SELECT value FROM dmarcgate.mark WHERE name = $1", markShortened).Scan(&mark)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, err
	}
	at, store, seq := time.Time{}.UnixMilli(), int32(-1), int64(-1)
	if err == nil {
		if _, err := fmt.Sscan(mark, &at, &store, &seq); err != nil {
			return false, fmt.Errorf("the mark %q: %w", mark, err)
		}
	}
	rows, err := readKept(ctx, tx, time.UnixMilli(at), store, seq, before, shortenSlice)
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
