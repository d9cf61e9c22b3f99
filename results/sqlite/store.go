package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"dmarcgate/metrics"
	"dmarcgate/results"
	"dmarcgate/results/dbfile"
	"dmarcgate/results/dbread"
	"dmarcgate/results/history"

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
	// Elapsed is the time that has passed since some moment, whatever the clock
	// of the host says; nil asks the monotonic clock. It bounds how fast rows are
	// deleted or shortened: see Pace.
	Elapsed func() time.Duration
	// MaintenanceEvery is the time between two rounds of maintenance; 0 is 10 s.
	MaintenanceEvery time.Duration
	Retention        results.Retention
	Privacy          results.Privacy
	// Ship says that the rows go to PostgreSQL, too (Spool): none is deleted
	// before, unless Retention.MaxBytes asks for it.
	Ship bool
	// Free returns what is free on the file system of a path, and its size, in
	// bytes; nil asks the system.
	Free func(path string) (free, size int64, err error)

	check   func(ctx context.Context, db *sql.DB, size int64) error // for tests; nil is dbfile.Check
	checked chan struct{}                                           // for tests: told after each check
}

// Store is an open file of results. Its methods may be called at once.
type Store struct {
	opt Options
	*dbread.Reader
	*file             // the writer's; nil when there is none, and it tries to open one
	group, rows []*op // the writer's, to be used again
	met         met   // the writer's
	space       space // the writer's
	pause       *pause
	fix         fix // the writer's
	current     atomic.Pointer[file]
	jobs        chan job
	unchecked   chan *file // at most one: the file that came into use last
	tallies     tallies
	history     *history.History
	loaded      chan struct{}      // closed when the history needs the files no longer
	stop        context.CancelFunc // ends what goes on beside the mail
	beside      sync.WaitGroup

	mu      sync.RWMutex // guards closed and the sends into queue
	closed  bool
	queue   chan *op
	closing chan struct{}         // closed with closed
	done    chan struct{}         // closed when the writer has ended
	failed  atomic.Pointer[error] // of the last commit; nil when it went well
}

// Open opens the file, or makes it. One that is damaged is set aside: it is
// renamed, and a new one begun. On a full disk the store goes without a file
// until it can have one. An error says what an operator can fix.
func Open(ctx context.Context, opt Options) (*Store, error) {
	s := newStore(opt)
	f, err := s.openOrSetAside(ctx)
	switch {
	case err == nil:
		s.use(f)
	case dbfile.IsFull(err):
		opt.Log.Error("cannot open store, disk full: results not recorded; mail unaffected; retrying", "err", err)
		if f, err = noFile(&opt); err == nil {
			s.current.Store(f)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store %s: %w", opt.Path, err)
	}
	s.Reader = dbread.Over(f.reads)
	s.measure()
	beside, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.beside.Go(func() { s.loadHistory(beside, f) })
	s.beside.Go(func() { s.maintenance(beside) })
	s.beside.Go(func() { s.checkFiles(beside) })
	go s.write()
	return s, nil
}

func newStore(opt Options) *Store {
	return &Store{
		opt: opt, queue: make(chan *op, opt.Queue), closing: make(chan struct{}), done: make(chan struct{}),
		pause: newPause(opt.Durability), jobs: make(chan job), unchecked: make(chan *file, 1), history: history.New(), loaded: make(chan struct{}),
	}
}

// use makes a file the one that rows go to.
func (s *Store) use(f *file) {
	s.file, s.met = f, met{}
	s.current.Store(f)
	s.toCheck(f)
	if s.Reader != nil {
		s.Reader.Use(f.reads)
	}
}

// checkpointPages is how long the log grows before SQLite moves it into the
// file: 16 MB. A page that many commits wrote is moved once.
const checkpointPages = 4000

// maxIdleLog is what a log may keep of its size once it was moved into the
// file: readers that are slow make it longer.
const maxIdleLog = 32 << 20

// busyTimeout is how long a statement waits for another process.
const busyTimeout = 5 * time.Second

// dsn sets auto_vacuum before journal_mode, because it only takes effect on a
// file without pages. What is deleted within a page is overwritten
// (secure_delete); pages that become free go back to the file system.
func dsn(opt Options) string {
	synchronous := "NORMAL"
	if opt.Durability == Disk {
		synchronous = "FULL"
	}
	file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: opt.Path}).EscapedPath()}
	return fmt.Sprintf("%s?_pragma=auto_vacuum(INCREMENTAL)&_pragma=journal_mode(WAL)&_pragma=synchronous(%s)&_pragma=secure_delete(FAST)&_pragma=temp_store(MEMORY)"+
		"&_pragma=wal_autocheckpoint(%d)&_pragma=journal_size_limit(%d)&_pragma=busy_timeout(%d)&_txlock=immediate",
		&file, synchronous, checkpointPages, maxIdleLog, busyTimeout.Milliseconds())
}

func (o *Options) dir() string { return filepath.Dir(o.Path) }

// ID returns the id of the file: 32 hexadecimal digits, made with the file.
func (s *Store) ID() string { return s.current.Load().id }

// Check reports whether the last commit went well and the file can be read.
func (s *Store) Check(ctx context.Context) error {
	if err := s.failed.Load(); err != nil {
		return fmt.Errorf("the last commit failed: %w", *err)
	}
	var n int
	return s.QueryRowContext(ctx, "SELECT count(*) FROM meta").Scan(&n)
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
	s.stop()
	s.beside.Wait()
	<-s.done
	if s.file == nil {
		return nil
	}
	return s.file.close()
}
