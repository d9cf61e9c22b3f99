package file

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"dmarcgate/report/queue/tables"
	"dmarcgate/results/dbfile"
)

// Do does f in one transaction. It has begun to write from the start (BEGIN
// IMMEDIATE), so that nothing changes between what f reads and what f writes.
func (d *database) Do(ctx context.Context, f func(tables.Tx) error) error {
	if d.broken.Load() {
		return ErrReopen
	}
	if d.gone() {
		d.broken.Store(true)
		return fmt.Errorf("%w: the file was removed, renamed or replaced", ErrReopen)
	}
	err := d.transaction(ctx, f)
	if dbfile.IsDamage(err) {
		d.broken.Store(true)
		return fmt.Errorf("%w: %w", ErrReopen, err)
	}
	return err
}

func (d *database) transaction(ctx context.Context, f func(tables.Tx) error) error {
	t, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer t.Rollback()
	if err := f(tx{t, d}); err != nil {
		return err
	}
	return t.Commit()
}

// tx is a transaction.
type tx struct {
	tx *sql.Tx
	d  *database
}

// Now is the time of this host: no other one has the file.
func (t tx) Now(context.Context) (time.Time, error) {
	return t.d.opt.now().UTC().Truncate(time.Millisecond), nil
}

func (t tx) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	result, err := t.tx.ExecContext(ctx, t.d.translate(text), values(args)...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (t tx) Query(ctx context.Context, text string, args ...any) (tables.Rows, error) {
	found, err := t.tx.QueryContext(ctx, t.d.translate(text), values(args)...)
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

// translate returns a statement in the words of SQLite. It keeps them: there are some
// fifty.
func (d *database) translate(text string) string {
	if t, known := d.translated.Load(text); known {
		return t.(string)
	}
	t := words.Replace(text)
	d.translated.Store(text, t)
	return t
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
