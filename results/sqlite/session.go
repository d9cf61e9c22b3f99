package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dmarcgate/results"
	"dmarcgate/results/blob"
	"dmarcgate/results/dbfile"
)

// batch is how many rows one statement inserts at most. What a statement costs
// apart from its rows is half of what a row costs, so a group is inserted by as
// few as can be.
const batch = 32

// session is the connection of the writer with its statements. They are the
// driver's own: database/sql takes longer for a statement than SQLite does.
type session struct {
	conn *sql.Conn
	raw  driver.Conn // of conn
	statements
	all      []driver.Stmt
	encoders [batch]blob.Encoder
	args     []driver.NamedValue
	uses     results.RuleUses // of the rows that are written, empty in between
	position
}

// position is what the next rows depend on. A transaction that fails takes it
// back.
type position struct {
	next   int64          // the number of the next row
	recent []dbfile.Noted // rows whose queue ids are in no block
}

type statements struct {
	begin, commit, rollback, mark, restate, meet, digest, ruled, use driver.Stmt

	insert [batch + 1]driver.Stmt // by number of rows; made when first needed
}

// insertSQL has OR ROLLBACK, which is what happens on an error anyway: without
// it, SQLite keeps a journal of what a statement for several rows changes.
const insertSQL = `INSERT OR ROLLBACK INTO message (seq, time, state, qid, client, author, policy_domain,
	result, requested, disposition, action, override, flags, row) VALUES `

const insertValues = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

// newSession takes the connection of db.
func newSession(ctx context.Context, db *sql.DB) (*session, error) {
	s := &session{uses: make(results.RuleUses)}
	var err error
	if s.conn, err = db.Conn(ctx); err != nil {
		return nil, err
	}
	err = s.conn.Raw(func(c any) error {
		s.raw = c.(driver.Conn)
		return s.prepare()
	})
	if err == nil {
		err = s.conn.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'message'").Scan(&s.next)
	}
	if err == nil {
		err = s.readRecent(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *session) prepare() (err error) {
	for _, p := range []struct {
		stmt *driver.Stmt
		text string
	}{
		{&s.begin, "BEGIN IMMEDIATE"}, {&s.commit, "COMMIT"}, {&s.rollback, "ROLLBACK"},
		{&s.mark, "UPDATE message SET state = ? WHERE seq = ?"},
		{&s.restate, "INSERT OR REPLACE INTO restate SELECT ?, ? WHERE EXISTS (SELECT 1 FROM meta WHERE key = 'shipped')"},
		{&s.meet, meetSQL}, {&s.digest, digestSQL}, {&s.ruled, ruledSQL}, {&s.use, useSQL},
	} {
		if *p.stmt, err = s.prepareOne(p.text); err != nil {
			return err
		}
		s.all = append(s.all, *p.stmt)
	}
	return nil
}

func (s *session) prepareOne(text string) (stmt driver.Stmt, err error) {
	if stmt, err = s.raw.Prepare(text); err != nil {
		return nil, fmt.Errorf("preparing %q: %w", text, err)
	}
	return stmt, nil
}

// close gives the connection back. A statement that is left would keep SQLite
// from moving the log into the file.
func (s *session) close() error {
	err := s.conn.Raw(func(any) error {
		var first error
		for _, stmt := range s.all {
			first = errors.Join(first, stmt.Close())
		}
		return first
	})
	return errors.Join(err, s.conn.Close())
}

// transaction does f in a transaction.
func (s *session) transaction(f func() error) error {
	return s.conn.Raw(func(any) error {
		if err := s.exec(s.begin); err != nil {
			return fmt.Errorf("beginning: %w", err)
		}
		before := s.position
		err := f()
		if err == nil {
			if err = s.exec(s.commit); err == nil {
				return nil
			}
		}
		s.position = before
		// It fails when SQLite has rolled back by itself, as it does when the disk
		// is full.
		_ = s.exec(s.rollback)
		return err
	})
}

// exec runs a statement, with values of the types that a driver takes.
func (s *session) exec(stmt driver.Stmt, values ...driver.Value) error {
	s.args = s.args[:0]
	for _, v := range values {
		s.arg(v)
	}
	return s.run(stmt)
}

func (s *session) arg(v driver.Value) {
	s.args = append(s.args, driver.NamedValue{Ordinal: len(s.args) + 1, Value: v})
}

func (s *session) run(stmt driver.Stmt) error {
	_, err := stmt.(driver.StmtExecContext).ExecContext(context.Background(), s.args)
	return err
}

// insertRows inserts the rows and gives numbers to those without one. A row
// that cannot be encoded fails alone.
func (s *session) insertRows(ops []*op) error {
	for part := range slices.Chunk(ops, batch) {
		s.args = s.args[:0]
		n := 0
		for i, o := range part {
			var c *blob.Columns
			if c, o.err = s.encoders[i].Columns(&o.row); o.err != nil {
				continue
			}
			if o.seq == 0 {
				o.seq = s.next
				s.next++
			}
			c.Sequence = o.seq
			s.bind(c)
			n++
		}
		if err := s.insertBound(n); err != nil {
			return fmt.Errorf("inserting: %w", err)
		}
		if err := s.note(part); err != nil {
			return err
		}
	}
	return nil
}

// insertBound inserts n rows whose values are bound.
func (s *session) insertBound(n int) (err error) {
	if n == 0 {
		return nil
	}
	stmt := &s.insert[n]
	if *stmt == nil {
		if *stmt, err = s.prepareOne(insertSQL + insertValues + strings.Repeat(", "+insertValues, n-1)); err != nil {
			return err
		}
		s.all = append(s.all, *stmt)
	}
	return s.run(*stmt)
}

func (s *session) bind(c *blob.Columns) {
	s.arg(c.Sequence)
	s.arg(c.Time)
	s.arg(int64(c.State))
	s.arg(c.QueueID)
	s.arg(c.Client)
	s.arg(c.Author)
	s.arg(c.PolicyDomain)
	s.arg(int64(c.Result))
	s.arg(int64(c.Requested))
	s.arg(int64(c.Disposition))
	s.arg(int64(c.Action))
	s.arg(c.Reason)
	s.arg(int64(c.Flags))
	s.arg(c.Blob)
}

// noteOpening notes that the file was opened to be written.
func (s *session) noteOpening(ctx context.Context, now time.Time) error {
	token := dbfile.NewToken()
	_, err := s.conn.ExecContext(ctx, "INSERT INTO opening VALUES (?, ?, ?)", token[:], s.next, now.UnixMilli())
	return err
}
