package dbread

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"sync/atomic"

	"dmarcgate/results"
	"dmarcgate/results/blob"
	"dmarcgate/results/dbfile"
)

// readers is how many reads go on at once.
const readers = 4

// Reader reads a store's file. Its methods may be called at once. The file may be
// changed for another meanwhile: see Use.
type Reader struct{ current atomic.Pointer[sql.DB] }

// Pool opens a database to read.
func Pool(dsn string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(readers)
	return db, nil
}

// Over returns a reader of a database that is open.
func Over(db *sql.DB) *Reader {
	r := &Reader{}
	r.Use(db)
	return r
}

// Use changes the database for another one, which the writer has begun. Queries
// of the old one that fail for it are asked again.
func (r *Reader) Use(db *sql.DB) { r.current.Store(db) }

// Open opens a store to read, also while a daemon writes to it. It makes
// no file and changes none. An error says what an operator can fix.
func Open(ctx context.Context, path string) (*Reader, error) {
	r, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("reading the store %s: %w", path, err)
	}
	return r, nil
}

func open(ctx context.Context, path string) (*Reader, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, errors.Unwrap(err)
	}
	file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	db, err := Pool(file.String() + "?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	r := Over(db)
	var version int
	if err = r.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err == nil && version != dbfile.Version {
		err = fmt.Errorf("the file has schema version %d and this program reads %d: use the program of the daemon", version, dbfile.Version)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.current.Load().Close() }

// Querier is what reads need.
type Querier interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

// QueryContext is that of the database. It asks once more when the database was changed meanwhile.
func (r *Reader) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	for {
		db := r.current.Load()
		rs, err := db.QueryContext(ctx, text, args...)
		if err == nil || db == r.current.Load() {
			return rs, err
		}
	}
}

// QueryRowContext does the same.
func (r *Reader) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	for {
		db := r.current.Load()
		row := db.QueryRowContext(ctx, text, args...)
		if row.Err() == nil || db == r.current.Load() {
			return row
		}
	}
}

// Recent returns the newest rows, newest first, at most limit.
func (r *Reader) Recent(ctx context.Context, limit int) ([]results.Row, error) {
	return r.rows(ctx, "SELECT "+Selection+" FROM message ORDER BY seq DESC LIMIT ?", limit)
}

// rows reads whole rows. It gives way to other goroutines at each row: status pages
// read many, and the mail goes first.
func (r *Reader) rows(ctx context.Context, query string, args ...any) ([]results.Row, error) {
	rs, err := r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading results: %w", err)
	}
	defer rs.Close()
	var out []results.Row
	for rs.Next() {
		r, err := Scan(rs)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
		runtime.Gosched()
	}
	return out, rs.Err()
}

// Selection is the columns of a row, in the order of ScanColumns.
const Selection = "seq, time, state, qid, client, author, policy_domain, row"

// Scan reads a row with the columns of Selection.
func Scan(rs *sql.Rows) (results.Row, error) {
	var c blob.Columns
	if err := ScanColumns(&c, rs); err != nil {
		return results.Row{}, err
	}
	return c.Row()
}

// ScanColumns reads the columns of Selection. The bytes are valid until the next row.
func ScanColumns(c *blob.Columns, rs *sql.Rows) error {
	if err := rs.Scan(&c.Sequence, &c.Time, &c.State, &c.QueueID, (*sql.RawBytes)(&c.Client), &c.Author, &c.PolicyDomain, (*sql.RawBytes)(&c.Blob)); err != nil {
		return fmt.Errorf("reading a row: %w", err)
	}
	return nil
}
