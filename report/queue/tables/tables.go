package tables

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dmarcgate/report/queue"
)

// Database is one of the two databases.
type Database interface {
	// Do does f in one transaction that may write, and commits when f returns nil.
	Do(ctx context.Context, f func(Tx) error) error
	Close() error
}

// Tx is a transaction. The statements are in the language of PostgreSQL: $1 is the
// first value, and FOR UPDATE locks rows. A zero time is NULL.
type Tx interface {
	// Now is the time of the database, in whole milliseconds.
	Now(ctx context.Context) (time.Time, error)
	// Exec returns the number of rows that were changed.
	Exec(ctx context.Context, text string, args ...any) (int64, error)
	Query(ctx context.Context, text string, args ...any) (Rows, error)
}

// Rows is the answer to a query. It is to be closed.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// Queue is a queue in a database. Its methods are described at queue.Store.
type Queue struct{ db Database }

var _ queue.Store = (*Queue)(nil)

// New returns the queue of a database that has the tables.
func New(db Database) *Queue { return &Queue{db} }

// Close closes the database.
func (q *Queue) Close() error { return q.db.Close() }

// step is one transaction and the time at which it happens.
type step struct {
	ctx context.Context
	tx  Tx
	now time.Time
}

// do does one step. what names the step in an error.
func (q *Queue) do(ctx context.Context, what string, f func(*step) error) error {
	err := q.db.Do(ctx, func(tx Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		return f(&step{ctx, tx, now})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// exec executes a statement and returns how many rows it has changed.
func (s *step) exec(text string, args ...any) (int64, error) { return s.tx.Exec(s.ctx, text, args...) }

// must executes a statement that has to change a row: if it does not, somebody
// else was faster.
func (s *step) must(text string, args ...any) error {
	n, err := s.exec(text, args...)
	if err == nil && n == 0 {
		return queue.ErrLost
	}
	return err
}

// one reads one row, or returns queue.ErrUnknown.
func (s *step) one(text string, args []any, dest ...any) error {
	found := false
	err := s.each(text, args, func(r Rows) error {
		found = true
		return r.Scan(dest...)
	})
	if err == nil && !found {
		return queue.ErrUnknown
	}
	return err
}

// each calls f for each row of an answer.
func (s *step) each(text string, args []any, f func(Rows) error) error {
	rows, err := s.tx.Query(s.ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// stamp reads a time: milliseconds since 1970 of SQLite, or a time of PostgreSQL.
type stamp struct{ to *time.Time }

// Scan implements sql.Scanner, which both drivers know.
func (s stamp) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*s.to = time.Time{}
	case int64:
		*s.to = time.UnixMilli(v).UTC()
	case time.Time:
		*s.to = v.UTC()
	default:
		return fmt.Errorf("%T is no time", value)
	}
	return nil
}

// Now returns the time of the database.
func (q *Queue) Now(ctx context.Context) (now time.Time, err error) {
	err = q.do(ctx, "asking for the time", func(s *step) error {
		now = s.now
		return nil
	})
	return now, err
}

// unknownIsNone takes an unknown row for none.
func unknownIsNone(err error) error {
	if errors.Is(err, queue.ErrUnknown) {
		return nil
	}
	return err
}
