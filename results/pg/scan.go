package pg

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"dmarcgate/results"
	"dmarcgate/results/blob"
)

// scanSlice is how many rows one read of Scan takes.
const scanSlice = 1000

// end is after all rows.
var end = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	scanSQL = "SELECT " + rowSelection + `, store FROM dmarcgate.message
		WHERE time >= $1 AND time < $2 AND (time, store, seq) > ($1, $3, $4) ORDER BY time, store, seq LIMIT $5`
	// The limits keep the server to looking up one row after the other, whatever
	// it thinks of the size of the tables. A row that is gone has no Encoded.
	ruledSQL = `SELECT r.seq, r.time, coalesce(state, 0::smallint), coalesce(qid, ''), client, coalesce(author, ''), coalesce(policy_domain, ''), row, r.store
		FROM (SELECT * FROM dmarcgate.ruled WHERE time >= $1 AND time < $2 AND (time, store, seq) > ($1, $3, $4) AND store <> ALL ($6)
			ORDER BY time, store, seq LIMIT $5) AS r
			LEFT JOIN LATERAL (SELECT * FROM dmarcgate.message AS m WHERE m.store = r.store AND m.seq = r.seq AND m.time = r.time LIMIT 1) AS m ON true
		ORDER BY r.time, r.store, r.seq`
	olderSQL = "SELECT " + rowSelection + `, store FROM dmarcgate.message
		WHERE time >= $1 AND time < $2 AND store = $3 AND seq > $4 AND seq < $6 ORDER BY seq LIMIT $5`
)

// Scan implements results.Queries.
func (r *Reader) Scan(ctx context.Context, span results.Span, f func(results.Row) error) error {
	s := &scanner{Reader: r, f: f, to: whole(span.To)}
	if s.to.IsZero() {
		s.to = end
	}
	if span.Upto != nil {
		if err := s.bound(ctx, span.Upto); err != nil {
			return err
		}
	}
	if !span.Ruled {
		return s.all(ctx, whole(span.From), scanSQL)
	}
	older, err := query(ctx, r, "stores", pgx.RowToStructByPos[olderStore], `SELECT id, coalesce(ruled_from, $1) FROM dmarcgate.store
		WHERE ruled_from IS NULL OR ruled_from > 1 ORDER BY id`, int64(math.MaxInt64))
	if err != nil {
		return err
	}
	unmarked := []int32{} // stores with no row in ruled
	for _, o := range older {
		if err := s.older(ctx, whole(span.From), o); err != nil {
			return err
		}
		if o.Before == math.MaxInt64 {
			unmarked = append(unmarked, o.ID)
		}
	}
	return s.all(ctx, whole(span.From), ruledSQL, unmarked)
}

// olderStore is a store whose rows before one are not in the table ruled.
type olderStore struct {
	ID     int32
	Before int64
}

// scanner is one scan.
type scanner struct {
	*Reader
	f    func(results.Row) error
	to   time.Time
	last map[int32]int64 // of each store, the last row that counts; nil is no limit
}

// bound limits the scan to the rows up to the numbers of the stores.
func (s *scanner) bound(ctx context.Context, upto map[string]int64) error {
	stores, err := query(ctx, s.Reader, "stores", pgx.RowToStructByPos[namedStore], "SELECT id, replace(uuid::text, '-', '') FROM dmarcgate.store")
	s.last = make(map[int32]int64, len(stores))
	for _, store := range stores {
		s.last[store.ID] = upto[store.Name]
	}
	return err
}

// namedStore is a store with its id in PostgreSQL and its own one.
type namedStore struct {
	ID   int32
	Name string
}

// all reads in the order of time.
func (s *scanner) all(ctx context.Context, from time.Time, text string, more ...any) error {
	last := kept{Shipment: blob.Shipment{Time: from, Sequence: -1}, store: -1}
	for n := scanSlice; n == scanSlice; {
		rows, err := query(ctx, s.Reader, "rows", scanKept, text, append([]any{last.Time, s.to, last.store, last.Sequence, scanSlice}, more...)...)
		if err != nil {
			return err
		}
		if n = len(rows); n > 0 {
			last = rows[n-1]
		}
		for i := range rows {
			if err := s.give(&rows[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// older reads the rows that name a rule of those that are not in ruled.
func (s *scanner) older(ctx context.Context, from time.Time, store olderStore) error {
	last := int64(-1)
	for n := scanSlice; n == scanSlice; {
		rows, err := query(ctx, s.Reader, "rows", scanKept, olderSQL, from, s.to, store.ID, last, scanSlice, store.Before)
		if err != nil {
			return err
		}
		if n = len(rows); n > 0 {
			last = rows[n-1].Sequence
		}
		for i := range rows {
			if !rows[i].MarkRuled() {
				continue
			}
			if err := s.give(&rows[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *scanner) give(k *kept) error {
	if k.Encoded == nil || s.last != nil && k.Sequence > s.last[k.store] {
		return nil
	}
	row, err := k.Row()
	if err != nil {
		return fmt.Errorf("reading rows from PostgreSQL: %w", err)
	}
	return s.f(row)
}
