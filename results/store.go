package results

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"dmarcgate/metrics"

	_ "modernc.org/sqlite" // the driver "sqlite", without cgo
)

// Durability says what Add waits for.
type Durability string

// The durabilities; doc.go says what each can lose.
const (
	Async Durability = "async" // nothing
	Ack   Durability = "ack"   // the commit, at most Options.Wait
	Disk  Durability = "disk"  // the commit, synced to the disk
)

// Options are the settings of a store.
type Options struct {
	Path       string
	Durability Durability
	Wait       time.Duration // how long Add waits at most
	Queue      int           // rows that may wait for the writer
	Metrics    *metrics.Metrics
	Log        *slog.Logger
	Now        func() time.Time // for History, Retention and Privacy; nil is time.Now
	Retention  Retention
	Privacy    Privacy
	// Ship says that the rows go to PostgreSQL, too (Spool): none is deleted
	// before, unless Retention.MaxBytes asks for it.
	Ship bool
	// Free returns what is free on the file system of a path, and its size, in
	// bytes; nil asks the system.
	Free func(path string) (free, size int64, err error)
}

// Store is an open file of results. Its methods may be called at once.
type Store struct {
	opt    Options
	id     string
	writer *sql.DB
	*Reader
	session     *session // on the one connection of writer
	group, rows []*op    // the writer's, to be used again
	met         met      // the writer's
	history     *history
	loaded      chan struct{} // closed when the history needs the files no longer
	stopLoading context.CancelFunc

	mu      sync.RWMutex // guards closed and the sends into queue
	closed  bool
	queue   chan *op
	closing chan struct{}         // closed with closed
	done    chan struct{}         // closed when the writer has ended
	failed  atomic.Pointer[error] // of the last commit; nil when it went well
}

// Open opens the file, or makes it. An error says what an operator can mend.
func Open(ctx context.Context, opt Options) (*Store, error) {
	s := &Store{
		opt: opt, queue: make(chan *op, opt.Queue), closing: make(chan struct{}), done: make(chan struct{}),
		history: newHistory(), loaded: make(chan struct{}),
	}
	if err := s.open(ctx); err != nil {
		s.closeFiles()
		return nil, fmt.Errorf("opening the store %s: %w", opt.Path, err)
	}
	loading, stop := context.WithCancel(context.Background())
	s.stopLoading = stop
	go s.loadHistory(loading, s.session.next-1)
	go s.write()
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	// SQLite would make the file readable by everybody; its other files take
	// over the mode of this one.
	f, err := os.OpenFile(s.opt.Path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if s.writer, err = sql.Open("sqlite", dsn(s.opt)); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1) // one writer: SQLite has one anyway, and this one queues fairly
	if err := migrate(ctx, s.writer); err != nil {
		return err
	}
	if err := s.writer.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'store_id'").Scan(&s.id); err != nil {
		return fmt.Errorf("reading the store id: %w", err)
	}
	if s.session, err = newSession(ctx, s.writer); err != nil {
		return err
	}
	if err := s.session.convert(ctx, s.opt.Log); err != nil {
		return fmt.Errorf("converting rows of schema version 1: %w", err)
	}
	if err := s.session.noteOpening(ctx, s.opt.now()); err != nil {
		return fmt.Errorf("noting the opening: %w", err)
	}
	s.Reader, err = newReader(dsn(s.opt) + "&_pragma=query_only(1)")
	return err
}

// checkpointPages is how long the log grows before SQLite moves it into the
// file: 16 MB. A page that many commits wrote is moved once.
const checkpointPages = 4000

// dsn sets auto_vacuum before journal_mode, because it only takes effect on a
// file without pages.
func dsn(opt Options) string {
	synchronous := "NORMAL"
	if opt.Durability == Disk {
		synchronous = "FULL"
	}
	file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: opt.Path}).EscapedPath()}
	return fmt.Sprintf("%s?_pragma=auto_vacuum(INCREMENTAL)&_pragma=journal_mode(WAL)&_pragma=synchronous(%s)"+
		"&_pragma=wal_autocheckpoint(%d)&_pragma=busy_timeout(5000)&_txlock=immediate", &file, synchronous, checkpointPages)
}

// ID returns the id of the file: 32 hexadecimal digits, made with the file.
func (s *Store) ID() string { return s.id }

// Check reports whether the last commit went well and the file can be read.
func (s *Store) Check(ctx context.Context) error {
	if err := s.failed.Load(); err != nil {
		return fmt.Errorf("the last commit failed: %w", *err)
	}
	var n int
	return s.db.QueryRowContext(ctx, "SELECT count(*) FROM meta").Scan(&n)
}

// Close commits what is queued and closes the file. Rows added afterwards
// are dropped and counted.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.closing)
	close(s.queue)
	s.mu.Unlock()
	s.stopLoading()
	<-s.loaded
	<-s.done
	return s.closeFiles()
}

func (s *Store) closeFiles() error {
	var first error
	if s.session != nil {
		first = s.session.close()
	}
	if s.Reader != nil {
		first = cmp.Or(first, s.Reader.Close())
	}
	if s.writer != nil {
		first = cmp.Or(first, s.writer.Close())
	}
	return first
}
