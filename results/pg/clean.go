package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// cleanSlice is how many rows one transaction cleans.
	cleanSlice = 500
	// cleanTime is for how long one turn cleans rows, so that rows are shipped in
	// between.
	cleanTime = 200 * time.Millisecond
)

// uncleanedSQL notes what programs of before have shipped since it ran last.
const uncleanedSQL = `WITH behind AS (
		SELECT id, coalesce(clean_to, 0) AS done, shipped FROM dmarcgate.store WHERE clean_to IS DISTINCT FROM shipped FOR UPDATE
	), moved AS (
		UPDATE dmarcgate.store AS s SET clean_to = behind.shipped FROM behind WHERE s.id = behind.id
	)
	INSERT INTO dmarcgate.uncleaned SELECT id, done + 1, shipped FROM behind WHERE shipped > done
	ON CONFLICT (store, last) DO UPDATE SET first = least(uncleaned.first, excluded.first)`

// noteUncleaned looks for rows that programs of before have shipped, of any host.
// While this session has its claims, only it ships rows of its own store.
func (c *session) noteUncleaned(ctx context.Context) error {
	if _, err := c.conn.Exec(ctx, uncleanedSQL); err != nil {
		return fmt.Errorf("noting which rows are to be cleaned: %w", err)
	}
	c.cleaning = true
	return nil
}

// clean does a part of what there is to clean in the rows of all hosts, unless
// another host is at it.
func (c *session) clean(ctx context.Context) {
	if !c.cleaning {
		return
	}
	err := c.bounded(ctx, func(ctx context.Context) error {
		for end := time.Now().Add(cleanTime); c.cleaning && time.Now().Before(end); {
			worked, err := c.cleanSome(ctx)
			if err != nil || !worked {
				return err
			}
		}
		return c.tellUncleaned(ctx)
	})
	if err != nil { // shipping does not depend on it
		c.cleaning = false
		c.Log.Warn("cannot clean rows of older programs in PostgreSQL; retrying", "err", err)
	}
}

// cleanSome is one transaction: it cleans the last rows of a span, and makes the
// span shorter. Shortening takes the same lock, since both write rows anew.
func (c *session) cleanSome(ctx context.Context) (worked bool, err error) {
	err = pgx.BeginFunc(ctx, c.conn, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1, $2)", lockClass, lockRetention).Scan(&worked)
		if err != nil || !worked {
			return err
		}
		var s span
		err = tx.QueryRow(ctx, "SELECT store, first, last FROM dmarcgate.uncleaned ORDER BY store, last LIMIT 1").Scan(&s.store, &s.first, &s.last)
		if errors.Is(err, pgx.ErrNoRows) {
			c.cleaning = false
			return nil
		}
		if err != nil {
			return err
		}
		return s.clean(ctx, tx)
	})
	return worked, err
}

// span is some rows of a store, by their numbers.
type span struct {
	store       int32
	first, last int64
}

func (s span) clean(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, "SELECT "+rowSelection+", store FROM dmarcgate.message WHERE store = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq DESC LIMIT $4",
		s.store, s.first, s.last, cleanSlice)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, scanKept)
	if err != nil {
		return err
	}
	if err := writeClean(ctx, tx, found); err != nil {
		return err
	}
	if len(found) < cleanSlice || found[len(found)-1].Sequence == s.first {
		_, err = tx.Exec(ctx, "DELETE FROM dmarcgate.uncleaned WHERE store = $1 AND last = $2", s.store, s.last)
		return err
	}
	_, err = tx.Exec(ctx, "UPDATE dmarcgate.uncleaned SET last = $3 WHERE store = $1 AND last = $2", s.store, s.last, found[len(found)-1].Sequence-1)
	return err
}

// writeClean cleans rows and writes those that change.
func writeClean(ctx context.Context, tx pgx.Tx, rows []kept) error {
	var k keys
	var qids, authors, domains, overrides []string
	var blobs [][]byte
	for _, r := range rows {
		if r.Clean() {
			k.add(r)
			qids, authors = append(qids, r.QueueID), append(authors, r.Author)
			domains, overrides = append(domains, r.PolicyDomain), append(overrides, r.Reason)
			blobs = append(blobs, r.Encoded)
		}
	}
	if len(blobs) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `UPDATE dmarcgate.message AS m
		SET qid = d.qid, author = d.author, policy_domain = d.policy_domain, override = d.override, row = d.row
		FROM unnest($1::integer[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[])
			AS d (store, seq, time, qid, author, policy_domain, override, row)
		WHERE m.store = d.store AND m.seq = d.seq AND m.time = d.time`, k.stores, k.seqs, k.times, qids, authors, domains, overrides, blobs)
	return err
}

// tellUncleaned notes how many rows are left.
func (c *session) tellUncleaned(ctx context.Context) error {
	var n int64
	if err := c.conn.QueryRow(ctx, "SELECT coalesce(sum(last - first + 1), 0)::bigint FROM dmarcgate.uncleaned").Scan(&n); err != nil {
		return err
	}
	c.mu.Lock()
	c.status.Uncleaned = n
	c.mu.Unlock()
	c.Metrics.StoreUncleaned("postgres", n)
	return nil
}
