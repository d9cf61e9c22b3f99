package file

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"dmarcgate/report/queue/tables"
	"dmarcgate/results/dbfile"

	_ "modernc.org/sqlite" // the driver "sqlite", without cgo
)

// Options are the settings of a queue.
type Options struct {
	Path string
	Log  *slog.Logger
	Now  func() time.Time // nil is time.Now
}

// busyTimeout is how long a statement waits for another process.
const busyTimeout = 5 * time.Second

// database is the file, opened.
type database struct {
	opt      Options
	db       *sql.DB
	identity os.FileInfo
	broken   atomic.Bool
	begin    string        // statement that begins a transaction
	free     chan struct{} // holds a token while nobody uses what stands below

	conn       *sql.Conn
	statements map[string]*sql.Stmt // of conn
}

// Open opens the queue, or makes it. A damaged file is set aside. An error says what
// an operator can fix.
func Open(ctx context.Context, opt Options) (*tables.Queue, error) {
	db, err := openDatabase(ctx, opt)
	if dbfile.IsDamage(err) && !dbfile.InUse(opt.Path) {
		db, err = beginAnew(ctx, opt, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the queue of reports %s: %w", opt.Path, err)
	}
	return tables.New(db), nil
}

// beginAnew sets the file aside because of damage, and makes a new one.
func beginAnew(ctx context.Context, opt Options, damage error) (*database, error) {
	name, err := dbfile.SetAside(opt.Path, opt.now())
	if err != nil {
		return nil, fmt.Errorf("%w; it could not be set aside: %w", damage, err)
	}
	opt.Log.Error("queue of reports damaged: renamed, and a new queue created; reports of earlier days are not repeated",
		"aside", name, "err", damage)
	return openDatabase(ctx, opt)
}

func openDatabase(ctx context.Context, opt Options) (*database, error) {
	// SQLite would make the file readable by everybody; its other files take over
	// the mode of this one.
	made, err := os.OpenFile(opt.Path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := made.Close(); err != nil {
		return nil, err
	}
	lost, err := dbfile.Inspect(opt.Path)
	if err != nil {
		return nil, err
	}
	d := &database{opt: opt, begin: "BEGIN IMMEDIATE"}
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if lost > 0 {
		opt.Log.Error("end of write-ahead log of the queue of reports unreadable: last commits before the start are lost", "commits", lost)
	}
	return d, nil
}

func (d *database) open(ctx context.Context) (err error) {
	if d.identity, err = os.Stat(d.opt.Path); err != nil {
		return err
	}
	if d.db, err = sql.Open("sqlite", dsn(d.opt.Path)); err != nil {
		return err
	}
	d.db.SetMaxOpenConns(1) // SQLite has one writer anyway
	if err := migrate(ctx, d.db); err != nil {
		return err
	}
	if err := dbfile.Check(ctx, d.db, d.identity.Size()); err != nil {
		return err
	}
	if d.conn, err = d.db.Conn(ctx); err != nil {
		return err
	}
	d.ready()
	return nil
}

// ready lets transactions begin.
func (d *database) ready() {
	d.free, d.statements = make(chan struct{}, 1), make(map[string]*sql.Stmt)
	d.free <- struct{}{}
}

// dsn sets auto_vacuum before journal_mode, because it only takes effect on a file
// without pages. What is deleted is overwritten (secure_delete).
func dsn(path string) string {
	file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	return fmt.Sprintf("%s?_pragma=auto_vacuum(FULL)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=secure_delete(FAST)"+
		"&_pragma=temp_store(MEMORY)&_pragma=busy_timeout(%d)&_txlock=immediate", &file, busyTimeout.Milliseconds())
}

func (o *Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// Close closes the file. A statement that is left would keep SQLite from moving the log
// into the file.
func (d *database) Close() error {
	var first error
	if d.free != nil {
		<-d.free
		defer func() { d.free <- struct{}{} }()
	}
	if d.conn != nil {
		for _, stmt := range d.statements {
			first = errors.Join(first, stmt.Close())
		}
		first = errors.Join(first, d.conn.Close())
		d.conn = nil
	}
	if d.db != nil {
		first = errors.Join(first, d.db.Close())
	}
	return first
}

// gone reports whether the path is no longer that of the file.
func (d *database) gone() bool {
	info, err := os.Stat(d.opt.Path)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	return !os.SameFile(info, d.identity)
}
