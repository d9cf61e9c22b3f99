package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"

	"dmarcgate/results"
)

// An index on queue ids would double what a row costs: Postfix's short ids come
// in no order, so that each row changes another page of it. Instead, rows are
// written to the table digest in blocks, each with the sorted hashes of its
// queue ids. A search looks into every block, which takes some 20 ms for 1,000,000
// rows, and reads the rows behind the last one.
const (
	digestRows  = 4096
	digestEntry = 4 + 2     // bytes: hash, and the row's distance from the first, both big-endian
	maxDistance = 1<<16 - 1 // between the rows of a block
	digestSQL   = "INSERT INTO digest VALUES (?, ?, ?)"
)

// noted is a row whose queue id is in no block yet.
type noted struct {
	hash uint32
	seq  int64
}

// hashID returns the hash of a queue id, FNV-1a. Files hold it.
func hashID(qid string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(qid))
	return h.Sum32()
}

// note notes rows that are inserted, and writes a block when there are enough.
func (s *session) note(ops []*op) error {
	for _, o := range ops {
		if o.err != nil {
			continue
		}
		if n := len(s.recent); n > 0 && (n == digestRows || o.seq-s.recent[0].seq > maxDistance) {
			first, last := s.recent[0].seq, s.recent[n-1].seq
			if err := s.exec(s.digest, first, last, block(s.recent)); err != nil {
				return fmt.Errorf("writing the digest of rows %d to %d: %w", first, last, err)
			}
			s.recent = nil // a transaction that fails takes the old one back
		}
		s.recent = append(s.recent, noted{hashID(o.row.Facts.QueueID), o.seq})
	}
	return nil
}

// block returns the bytes of a block.
func block(rows []noted) []byte {
	first := rows[0].seq
	sorted := slices.SortedFunc(slices.Values(rows), func(a, b noted) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.seq, b.seq)) })
	out := make([]byte, 0, digestEntry*len(rows))
	for _, r := range sorted {
		out = binary.BigEndian.AppendUint32(out, r.hash)
		out = binary.BigEndian.AppendUint16(out, uint16(r.seq-first))
	}
	return out
}

// find returns the numbers of the rows of a block with this hash.
func find(block []byte, first int64, hash uint32) []int64 {
	lo, hi := 0, len(block)/digestEntry
	for lo < hi {
		if mid := (lo + hi) / 2; binary.BigEndian.Uint32(block[mid*digestEntry:]) < hash {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	var out []int64
	for rest := block[lo*digestEntry:]; len(rest) >= digestEntry && binary.BigEndian.Uint32(rest) == hash; rest = rest[digestEntry:] {
		out = append(out, first+int64(binary.BigEndian.Uint16(rest[4:])))
	}
	return out
}

// readRecent reads which rows are in no block.
func (s *session) readRecent(ctx context.Context) error {
	rs, err := s.conn.QueryContext(ctx, "SELECT seq, qid FROM message WHERE seq > (SELECT coalesce(max(last_seq), 0) FROM digest) ORDER BY seq")
	if err != nil {
		return err
	}
	defer rs.Close()
	for rs.Next() {
		var seq int64
		var qid string
		if err := rs.Scan(&seq, &qid); err != nil {
			return err
		}
		s.recent = append(s.recent, noted{hashID(qid), seq})
	}
	return rs.Err()
}

// maxSameID is how many rows of one queue id are read.
const maxSameID = 100

// ByQueueID returns the rows of one queue id, oldest first, at most 100. MTAs
// use their ids again, so there may be several.
func (r *Reader) ByQueueID(ctx context.Context, qid string) ([]results.Row, error) {
	// First what is in no block: it may get into one meanwhile.
	out, err := r.rows(ctx, "SELECT "+rowSelection+` FROM message
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
		rows, err := r.rows(ctx, "SELECT "+rowSelection+" FROM message WHERE seq = ? AND qid = ?", seq, qid)
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
	rs, err := r.db.QueryContext(ctx, "SELECT first_seq, qids FROM digest ORDER BY first_seq DESC")
	if err != nil {
		return nil, fmt.Errorf("reading the queue ids: %w", err)
	}
	defer rs.Close()
	var out []int64
	hash := hashID(qid)
	for rs.Next() && len(out) < 10*maxSameID {
		var first int64
		var qids sql.RawBytes
		if err := rs.Scan(&first, &qids); err != nil {
			return nil, fmt.Errorf("reading the queue ids: %w", err)
		}
		out = append(out, find(qids, first, hash)...)
	}
	return out, rs.Err()
}
