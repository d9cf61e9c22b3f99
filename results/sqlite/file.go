package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"dmarcgate/results/dbfile"
	"dmarcgate/results/dbread"
)

// file is the file of a store, opened.
type file struct {
	id       string
	writer   *sql.DB  // one connection
	session  *session // on it
	reads    *sql.DB
	opened   int64 // the number of the first row that comes
	identity os.FileInfo
	log      os.FileInfo // of its log
	clock    fileClock   // the maintenance's
	checking *checking   // nil before use
}

// openFile opens the file, or makes it. dbfile.IsDamage tells whether an error is one
// that nothing but another file fixes.
func (s *Store) openFile(ctx context.Context) (*file, error) {
	// SQLite would make the file readable by everybody; its other files take
	// over the mode of this one.
	made, err := os.OpenFile(s.opt.Path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := made.Close(); err != nil {
		return nil, err
	}
	lost, err := dbfile.Inspect(s.opt.Path)
	if err != nil {
		return nil, err
	}
	f := &file{}
	if err := f.open(ctx, &s.opt); err != nil {
		return nil, errors.Join(err, f.close())
	}
	if lost > 0 { // said when it is sure that the file is used
		s.opt.Metrics.StoreDamaged("log")
		s.opt.Log.Error("end of write-ahead log unreadable: last commits before the start are lost", "commits", lost)
	}
	return f, nil
}

// noFile stands for the file of a store that has none yet: it can be asked, and
// fails.
func noFile(opt *Options) (*file, error) {
	path := url.URL{Scheme: "file", Opaque: (&url.URL{Path: opt.Path}).EscapedPath()}
	reads, err := dbread.Pool(path.String() + "?mode=ro")
	return &file{reads: reads, opened: 1}, err
}

// migrateCheck is how long the start waits for the check of a file that is to be
// migrated: once for each new schema.
const migrateCheck = 2 * time.Second

func (f *file) open(ctx context.Context, opt *Options) (err error) {
	info, err := os.Stat(opt.Path)
	if err != nil {
		return err
	}
	if f.writer, err = sql.Open("sqlite", dsn(*opt)); err != nil {
		return err
	}
	f.writer.SetMaxOpenConns(1) // one writer: SQLite has one anyway, and this one queues fairly
	version, err := dbfile.ReadVersion(ctx, f.writer)
	if err != nil {
		return err
	}
	if version != dbfile.Version { // a damaged file is not to be migrated; others are checked beside the mail (checkFiles)
		limited, cancel := context.WithTimeout(ctx, migrateCheck)
		defer cancel()
		if err := dbfile.Check(limited, f.writer, info.Size()); err != nil {
			return err
		}
	}
	if err := dbfile.Migrate(ctx, f.writer, version); err != nil {
		return err
	}
	if err := f.begin(ctx, opt); err != nil {
		return err
	}
	if f.reads, err = dbread.Pool(dsn(*opt) + "&_pragma=query_only(1)"); err != nil {
		return err
	}
	f.log, _ = os.Stat(opt.Path + "-wal") // without one, there is nothing to compare
	f.identity, err = os.Stat(opt.Path)
	return err
}

// begin begins the session.
func (f *file) begin(ctx context.Context, opt *Options) (err error) {
	if err := f.writer.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'store_id'").Scan(&f.id); err != nil {
		return fmt.Errorf("reading the store id: %w", err)
	}
	if f.session, err = newSession(ctx, f.writer); err != nil {
		return err
	}
	f.opened = f.session.next
	if err := f.session.convert(ctx, opt.Log); err != nil {
		return fmt.Errorf("converting rows of schema version 1: %w", err)
	}
	if !opt.Ship {
		if err := f.session.forgetShipping(ctx); err != nil {
			return fmt.Errorf("forgetting what was shipped: %w", err)
		}
	}
	if err := f.clock.read(ctx, f.session.conn, opt); err != nil {
		return fmt.Errorf("reading the clock of the store: %w", err)
	}
	if err := f.session.noteOpening(ctx, opt.now()); err != nil {
		return fmt.Errorf("noting the opening: %w", err)
	}
	return nil
}

// forgetShipping forgets how far rows were shipped: nobody ships any more, and
// nothing is to wait for it. PostgreSQL knows it, should it come back.
func (s *session) forgetShipping(ctx context.Context) error {
	_, err := s.conn.ExecContext(ctx, "DELETE FROM restate; DELETE FROM meta WHERE key = '"+metaShipped+"'")
	return err
}

// close closes what is open.
func (f *file) close() error {
	var first error
	if f.session != nil {
		first = f.session.close()
	}
	if f.reads != nil {
		first = cmp.Or(first, f.reads.Close())
	}
	if f.writer != nil {
		first = cmp.Or(first, f.writer.Close())
	}
	return first
}

// gone reports whether the path is no longer that of the file.
func (f *file) gone(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	return !os.SameFile(info, f.identity)
}

// openOrSetAside opens the file; a damaged one is renamed, and a new one made.
func (s *Store) openOrSetAside(ctx context.Context) (*file, error) {
	f, err := s.openFile(ctx)
	if !dbfile.IsDamage(err) {
		return f, err
	}
	return s.beginAnew(ctx, err)
}

// beginAnew sets the file aside because of damage, and makes a new one.
func (s *Store) beginAnew(ctx context.Context, damage error) (*file, error) {
	name, err := dbfile.SetAside(s.opt.Path, s.opt.now())
	if err != nil {
		return nil, fmt.Errorf("%w; it could not be set aside: %w", damage, err)
	}
	s.tallies.setAside(name)
	s.opt.Metrics.StoreDamaged("file")
	s.opt.Log.Error("store file damaged: renamed, and a new file created; use sqlite3 .recover on the renamed file",
		"aside", name, "err", damage)
	return s.openFile(ctx)
}
