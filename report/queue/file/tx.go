package file

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"dmarcgate/report/queue"
	"dmarcgate/report/queue/tables"
	"dmarcgate/results/dbfile"
)

// Do does f in one transaction. It has begun to write from the start (BEGIN
// IMMEDIATE), so that nothing changes between what f reads and what f writes;
// a queue that is only read writes nothing.
func (d *database) Do(ctx context.Context, f func(tables.Tx) error) error {
	if d.broken.Load() {
		return queue.ErrReopen
	}
	if d.gone() {
		d.broken.Store(true)
		return fmt.Errorf("%w: the file was removed, renamed or replaced", queue.ErrReopen)
	}
	err := d.transaction(ctx, f)
	if dbfile.IsDamage(err) {
		d.broken.Store(true)
		return fmt.Errorf("%w: %w", queue.ErrReopen, err)
	}
	return err
}

// Wipe empties the log of the file, in which deleted addresses stand until others take
// their place. The log stays while another process reads in it for longer than
// busyTimeout.
func (d *database) Wipe(ctx context.Context) error {
	select {
	case <-d.free:
		defer func() { d.free <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if d.conn == nil {
		return errClosed
	}
	var busy, log, moved int
	if err := d.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved); err != nil {
		return fmt.Errorf("emptying the log of the queue of reports: %w", err)
	}
	return nil
}

var errClosed = errors.New("the queue of reports is closed")

// transaction does f on the one connection. Statements are prepared once: that takes
// longer than most of them.
func (d *database) transaction(ctx context.Context, f func(tables.Tx) error) error {
	select {
	case <-d.free:
		defer func() { d.free <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if d.conn == nil {
		return errClosed
	}
	t := tx{d}
	if _, err := t.Exec(ctx, d.begin); err != nil {
		return err
	}
	err := f(t)
	if err == nil {
		if _, err = t.Exec(ctx, "COMMIT"); err == nil {
			return nil
		}
	}
	// It fails when SQLite has rolled back by itself, as it does when the disk is full.
	_, _ = t.Exec(context.Background(), "ROLLBACK")
	return err
}

// tx is a transaction on the one connection.
type tx struct{ d *database }

// Now is the time of this host: no other one has the file.
func (t tx) Now(context.Context) (time.Time, error) {
	return t.d.opt.now().UTC().Truncate(time.Millisecond), nil
}

func (t tx) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	stmt, err := t.d.statement(ctx, text)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, values(args)...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t tx) Query(ctx context.Context, text string, args ...any) (tables.Rows, error) {
	stmt, err := t.d.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	found, err := stmt.QueryContext(ctx, values(args)...)
	if err != nil {
		return nil, err
	}
	return rows{found}, nil
}

type rows struct{ *sql.Rows }

// Close forgets the error, which Err has.
func (r rows) Close() { _ = r.Rows.Close() }

// words translates a statement. A transaction that writes is the only one, so
// nothing has to be locked.
var words = strings.NewReplacer("$", "?", "FOR UPDATE SKIP LOCKED", "", "FOR UPDATE", "")

// statement returns a statement in the words of SQLite. It keeps them: there are some
// fifty, and for inserts one for each number of rows.
func (d *database) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if stmt, known := d.statements[text]; known {
		return stmt, nil
	}
	stmt, err := d.conn.PrepareContext(ctx, words.Replace(text))
	if err != nil {
		return nil, fmt.Errorf("preparing %q: %w", text, err)
	}
	d.statements[text] = stmt
	return stmt, nil
}

// values gives times as milliseconds since 1970, and NULL for none.
func values(args []any) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		t, isTime := arg.(time.Time)
		switch {
		case !isTime:
			out[i] = arg
		case t.IsZero():
			out[i] = nil
		default:
			out[i] = t.UnixMilli()
		}
	}
	return out
}
