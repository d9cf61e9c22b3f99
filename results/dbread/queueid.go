package dbread

import (
	"cmp"
	"context"
	"database/sql"
	"dmarcgate/results"
	"dmarcgate/results/dbfile"
	"fmt"
	"slices"
)

// maxSameID is how many rows of one queue id are read.
const maxSameID = 100

// ByQueueID returns the rows of one queue id, oldest first, at most 100. MTAs
// use their ids again, so there may be several.
func (r *Reader) ByQueueID(ctx context.Context, qid string) ([]results.Row, error) {
	// First what is in no block: it may get into one meanwhile.
	out, err := r.rows(ctx, "SELECT "+Selection+` FROM message
		WHERE seq > (SELECT coalesce(max(last_seq), 0) FROM digest) AND qid = ? ORDER BY seq LIMIT ?`, qid, maxSameID)
	if err != nil {
		return nil, err
	}
	candidates, err := r.candidates(ctx, qid)
	if err != nil {
		return nil, err
	}
	for _, seq := range candidates {
		if len(out) >= maxSameID {
			break
		}
		rows, err := r.rows(ctx, "SELECT "+Selection+" FROM message WHERE seq = ? AND qid = ?", seq, qid)
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	slices.SortFunc(out, func(a, b results.Row) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return slices.CompactFunc(out, func(a, b results.Row) bool { return a.Sequence == b.Sequence }), nil
}

// candidates returns the numbers of the rows that may have the queue id, those
// in blocks, newest first.
func (r *Reader) candidates(ctx context.Context, qid string) ([]int64, error) {
	rs, err := r.QueryContext(ctx, "SELECT first_seq, qids FROM digest ORDER BY first_seq DESC")
	if err != nil {
		return nil, fmt.Errorf("reading the queue ids: %w", err)
	}
	defer rs.Close()
	var out []int64
	hash := dbfile.HashID(qid)
	for rs.Next() && len(out) < 10*maxSameID {
		var first int64
		var qids sql.RawBytes
		if err := rs.Scan(&first, &qids); err != nil {
			return nil, fmt.Errorf("reading the queue ids: %w", err)
		}
		out = append(out, dbfile.Find(qids, first, hash)...)
	}
	return out, rs.Err()
}
