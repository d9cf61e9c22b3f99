package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/blob"
)

// convertSlice is how many rows of an earlier schema one transaction converts:
// what is not yet converted when the program is stopped is at the next start.
const convertSlice = 1000

// convert moves the rows of schema version 1, if there are any, from message_1
// to message. The daemon serves no mail before it is done, some 20 s for
// 1,000,000 rows.
func (s *session) convert(ctx context.Context, log *slog.Logger) error {
	var last sql.NullInt64
	err := s.conn.QueryRowContext(ctx, "SELECT 1 FROM sqlite_schema WHERE name = 'message_1'").Scan(&last)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	forget, err := s.prepareOne("DELETE FROM message_1 WHERE seq <= ?")
	if err != nil {
		return err
	}
	defer forget.Close()
	start, rows, refused := time.Now(), 0, 0
	for {
		slice, err := s.oldRows(ctx)
		if err != nil {
			return err
		}
		if slice.last == 0 {
			break
		}
		if err := s.transaction(func() error { return s.move(slice, forget) }); err != nil {
			return err
		}
		rows, refused = rows+len(slice.rows), refused+slice.unreadable
	}
	if rows+refused > 0 {
		log.Info("store schema upgraded", "rows", rows, "unreadable", refused, "took", time.Since(start).Round(time.Millisecond))
	}
	_, err = s.conn.ExecContext(ctx, "DROP TABLE message_1")
	return err
}

// oldSlice is some rows of message_1.
type oldSlice struct {
	rows       []*op
	unreadable int   // left out
	last       int64 // the number of the last one; 0 when there are none
}

// oldFacts are facts with the keys that have another name now.
type oldFacts struct {
	policy.Facts
	OldHeaderTruncated bool `json:"cut"`
}

// newKeys are keys of schema version 1 and their names of today. Within a text
// of JSON a quote has a backslash before it, so only keys are replaced.
var newKeys = strings.NewReplacer(`"reason":`, `"why":`, `"override":`, `"reason":`, `"from":`, `"from_field":`,
	`"standing":`, `"sends_mail":`, `"asked":`, `"queried":`)

func renameKeys(object []byte) []byte { return []byte(newKeys.Replace(string(object))) }

func (s *session) oldRows(ctx context.Context) (oldSlice, error) {
	var slice oldSlice
	rs, err := s.conn.QueryContext(ctx, "SELECT seq, state, facts, decision FROM message_1 ORDER BY seq LIMIT ?", convertSlice)
	if err != nil {
		return slice, err
	}
	defer rs.Close()
	for rs.Next() {
		var r results.Row
		var facts, decision []byte
		var old oldFacts
		if err := rs.Scan(&r.Sequence, &r.State, &facts, &decision); err != nil {
			return slice, err
		}
		slice.last = r.Sequence
		if json.Unmarshal(renameKeys(facts), &old) != nil || json.Unmarshal(renameKeys(decision), &r.Decision) != nil {
			slice.unreadable++
			continue
		}
		r.Facts = old.Facts
		r.Facts.HeaderTruncated = r.Facts.HeaderTruncated || old.OldHeaderTruncated
		r.Clean()
		blob.Trim(&r)
		slice.rows = append(slice.rows, &op{row: r, seq: r.Sequence})
	}
	return slice, rs.Err()
}

func (s *session) move(slice oldSlice, forget driver.Stmt) error {
	if err := s.insertRows(slice.rows); err != nil {
		return err
	}
	if err := s.meetSenders(&met{}, slice.rows); err != nil {
		return err
	}
	if err := s.noteRules(slice.rows); err != nil {
		return err
	}
	return s.exec(forget, slice.last)
}
