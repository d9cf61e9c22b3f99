package file

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"

	"dmarcgate/report/queue/schema"
	"dmarcgate/report/queue/tables"
)

// Read opens a queue that is there, to read it beside the daemon or without one.
// It makes no file and changes none; steps that write fail. An error that is
// fs.ErrNotExist means that there is no queue.
func Read(ctx context.Context, path string) (*tables.Queue, error) {
	d := &database{opt: Options{Path: path}, begin: "BEGIN"}
	if err := d.openToRead(ctx); err != nil {
		return nil, fmt.Errorf("reading the queue of reports %s: %w", path, closed(d, err))
	}
	return tables.New(d), nil
}

// closed closes what is open after an error.
func closed(d *database, err error) error {
	_ = d.Close() // the first error counts
	return err
}

func (d *database) openToRead(ctx context.Context) (err error) {
	if d.identity, err = os.Stat(d.opt.Path); err != nil {
		return err
	}
	file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: d.opt.Path}).EscapedPath()}
	if d.db, err = sql.Open("sqlite", fmt.Sprintf("%s?mode=ro&_pragma=busy_timeout(%d)", &file, busyTimeout.Milliseconds())); err != nil {
		return err
	}
	d.db.SetMaxOpenConns(1)
	if d.conn, err = d.db.Conn(ctx); err != nil {
		return err
	}
	d.ready()
	var version, id int
	if err := d.conn.QueryRowContext(ctx, "SELECT user_version, application_id FROM pragma_user_version, pragma_application_id").Scan(&version, &id); err != nil {
		return err
	}
	if id != applicationID || version != schema.Version {
		return fmt.Errorf("the file is no queue of reports with schema version %d: use the program of the daemon", schema.Version)
	}
	return nil
}
