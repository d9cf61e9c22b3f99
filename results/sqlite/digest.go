package sqlite

import (
	"context"
	"dmarcgate/results/dbfile"
	"fmt"
)

// How many rows a block of the digest has (see dbfile.Block).
const (
	digestRows = 4096
	digestSQL  = "INSERT INTO digest VALUES (?, ?, ?)"
)

// note notes rows that are inserted, and writes a block when there are enough.
func (s *session) note(ops []*op) error {
	for _, o := range ops {
		if o.err != nil {
			continue
		}
		if n := len(s.recent); n > 0 && (n == digestRows || o.seq-s.recent[0].Sequence > dbfile.MaxDistance) {
			first, last := s.recent[0].Sequence, s.recent[n-1].Sequence
			if err := s.exec(s.digest, first, last, dbfile.Block(s.recent)); err != nil {
				return fmt.Errorf("writing the digest of rows %d to %d: %w", first, last, err)
			}
			s.recent = nil // a transaction that fails takes the old one back
		}
		s.recent = append(s.recent, dbfile.Noted{Hash: dbfile.HashID(o.row.Facts.QueueID), Sequence: o.seq})
	}
	return nil
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
		s.recent = append(s.recent, dbfile.Noted{Hash: dbfile.HashID(qid), Sequence: seq})
	}
	return rs.Err()
}
