package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"dmarcgate/results"
	"dmarcgate/results/blob"
	"dmarcgate/results/dbfile"
)

// readers is how many reads go on at once.
const readers = 4

// Reader reads a store. A Store is one, too.
type Reader struct{ db *handle }

func openReads(dsn string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(readers)
	return db, nil
}

// OpenReader opens a store to read, also while a daemon writes to it. It makes
// no file and changes none. An error says what an operator can mend.
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	r, err := openReader(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("reading the store %s: %w", path, err)
	}
	return r, nil
}

func openReader(ctx context.Context, path string) (*Reader, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, errors.Unwrap(err)
	}
	file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	db, err := openReads(file.String() + "?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	r := &Reader{newHandle(db)}
	var version int
	if err = r.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err == nil && version != dbfile.Version {
		err = fmt.Errorf("the file has schema version %d and this program reads %d: use the program of the daemon", version, dbfile.Version)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.db.Close() }

// Recent returns the newest rows, newest first, at most limit.
func (r *Reader) Recent(ctx context.Context, limit int) ([]results.Row, error) {
	return r.rows(ctx, "SELECT "+rowSelection+" FROM message ORDER BY seq DESC LIMIT ?", limit)
}

func (r *Reader) rows(ctx context.Context, query string, args ...any) ([]results.Row, error) {
	rs, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading results: %w", err)
	}
	defer rs.Close()
	var out []results.Row
	for rs.Next() {
		r, err := scan(rs)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rs.Err()
}

// rowSelection is what toRow needs, in the order of scan.
const rowSelection = "seq, time, state, qid, client, author, policy_domain, row"

func scan(rs *sql.Rows) (results.Row, error) {
	var c blob.Columns
	if err := scanColumns(&c, rs); err != nil {
		return results.Row{}, err
	}
	return c.Row()
}

// scan reads the columns. The bytes are valid until the next row.
func scanColumns(c *blob.Columns, rs *sql.Rows) error {
	if err := rs.Scan(&c.Sequence, &c.Time, &c.State, &c.QueueID, (*sql.RawBytes)(&c.Client), &c.Author, &c.PolicyDomain, (*sql.RawBytes)(&c.Blob)); err != nil {
		return fmt.Errorf("reading a row: %w", err)
	}
	return nil
}
