package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"dmarcgate/results"
	"dmarcgate/results/blob"
	"dmarcgate/results/dbread"
)

// maxRuleUses is how many rules a store knows the use of: twice as many as can
// be active at once, which leaves room for those of the past.
const maxRuleUses = "20000"

const (
	// ruledSQL notes those of a span of new rows that name a rule.
	ruledSQL = "INSERT OR IGNORE INTO ruled SELECT time, seq FROM message WHERE seq BETWEEN ? AND ? AND flags & 16"
	useSQL   = `INSERT INTO rule_use VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
		SET first = min(first, excluded.first), last = max(last, excluded.last), matches = matches + excluded.matches`
)

// noteRules notes which of the inserted rows name rules, and the use of these.
func (s *session) noteRules(ops []*op) error {
	var first, last int64
	clear(s.uses)
	for _, o := range ops {
		if o.err == nil && o.row.Ruled() {
			if first == 0 {
				first = o.seq
			}
			last = o.seq
			s.uses.Add(&o.row)
		}
	}
	if first == 0 {
		return nil
	}
	if err := s.exec(s.ruled, first, last); err != nil {
		return err
	}
	for _, u := range s.uses {
		if err := s.exec(s.use, u.Rule, u.First.UnixMilli(), u.Last.UnixMilli(), u.Matches); err != nil {
			return err
		}
	}
	return nil
}

const (
	// siftSlice is how many rows are looked through for one transaction, which
	// takes some 10 ms when all of them name a rule.
	siftSlice = 500
	// siftTime is for how long one round of maintenance does so. 1,000,000 rows take
	// some 20 s of it, half of which is rest.
	siftTime = 5 * time.Second
)

// sift looks through rows of schema version 2, the newest first. Until it has
// come to the end, Scan reads the others itself.
func (s *Store) sift(ctx context.Context, f *file) error {
	end := time.Now().Add(siftTime)
	_, err := slicewise(ctx, func() (int64, error) {
		mark, err := dbread.Unsifted(ctx, f.reads)
		if err != nil || mark == 0 || time.Now().After(end) {
			return 0, err
		}
		return 1, s.siftSlice(ctx, f, mark)
	})
	if err != nil {
		return fmt.Errorf("looking for rows that name rules: %w", err)
	}
	return nil
}

// siftSlice looks through the rows up to the mark, and moves it.
func (s *Store) siftSlice(ctx context.Context, f *file, mark int64) error {
	found, err := findRuled(ctx, f.reads, mark)
	if err != nil {
		return err
	}
	return s.in(ctx, f, func(tx *sql.Tx) error { return found.write(tx) })
}

// sifted is what a slice was found to have.
type sifted struct {
	mark int64 // the next one; 0 when nothing is left
	rows []int64
	uses results.RuleUses
}

func findRuled(ctx context.Context, db *sql.DB, mark int64) (out sifted, err error) {
	rs, err := db.QueryContext(ctx, "SELECT "+dbread.Selection+" FROM message WHERE seq <= ? ORDER BY seq DESC LIMIT ?", mark, siftSlice)
	if err != nil {
		return out, err
	}
	defer rs.Close()
	var b blob.Reader
	var c blob.Columns
	var r results.Row
	out.uses = make(results.RuleUses)
	for rs.Next() {
		if err := dbread.ScanColumns(&c, rs); err != nil {
			return out, err
		}
		out.mark = c.Sequence - 1
		if b.NamesRule(c.Blob) && b.Read(&c, &r) == nil {
			out.rows = append(out.rows, c.Sequence)
			out.uses.Add(&r)
		}
	}
	return out, rs.Err()
}

func (s sifted) write(tx *sql.Tx) error {
	ctx := context.Background()
	if len(s.rows) > 0 {
		list := inList(s.rows)
		if _, err := tx.ExecContext(ctx, "UPDATE message SET flags = flags | 16 WHERE seq IN "+list+
			"; INSERT OR IGNORE INTO ruled SELECT time, seq FROM message WHERE seq IN "+list); err != nil {
			return err
		}
	}
	for _, u := range s.uses {
		if _, err := tx.ExecContext(ctx, useSQL, u.Rule, u.First.UnixMilli(), u.Last.UnixMilli(), u.Matches); err != nil {
			return err
		}
	}
	if s.mark == 0 {
		_, err := tx.ExecContext(ctx, "DELETE FROM meta WHERE key = ?", dbread.MetaUnsifted)
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE meta SET value = ? WHERE key = ?", s.mark, dbread.MetaUnsifted)
	return err
}
