package site

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/metrics"
	"dmarcgate/results"
	"dmarcgate/results/dbread"
	"dmarcgate/results/pg"
	"dmarcgate/results/sqlite"
)

// StoreOptions is [store] and [privacy] in the words of package results. key is
// that of queue ids.
func StoreOptions(cfg *config.Config, key []byte, m *metrics.Metrics, log *slog.Logger) sqlite.Options {
	return sqlite.Options{
		Path: cfg.Store.Path, Durability: sqlite.Durability(cfg.Store.Durability), Wait: cfg.Store.Wait.Std(),
		Queue: cfg.Store.Queue, Metrics: m, Log: log,
		Retention: results.Retention{Days: days(cfg.Store.Retention), MaxBytes: int64(cfg.Store.MaxSize), FreeBytes: freeBytes(cfg.Store.MinFree)},
		Privacy: results.Privacy{
			ShortenIPAfter: cfg.Privacy.ShortenIPAfter.Std(), DropRecipients: !cfg.Privacy.KeepRecipients, QueueIDKey: key,
		},
		Ship: cfg.Store.Postgres.URL != "",
	}
}

// freeBytes is min_free as results.Retention has it: the default of both fits
// itself to a small file system, and none is below 0.
func freeBytes(size config.Size) int64 {
	switch size {
	case config.Default().Store.MinFree:
		return 0
	case 0:
		return -1
	}
	return int64(size)
}

// PostgresConfig is [store.postgres] in the words of package pg.
func PostgresConfig(cfg *config.Config) pg.Config {
	p := cfg.Store.Postgres
	return pg.Config{URL: p.URL, PasswordFile: p.PasswordFile, RetentionDays: days(p.Retention)}
}

// days is a duration of whole days.
func days(d config.Duration) int { return int(d.Std() / (24 * time.Hour)) }

// Store is a store of results to read.
type Store interface {
	results.Queries
	io.Closer
}

// errNoURL means that a command needs what is not configured.
var errNoURL = errors.New("[store.postgres] has no url: there are the results of this host alone")

// ErrNoResults means that nothing is recorded.
var ErrNoResults = errors.New(`nothing is recorded: [store] durability is "off"`)

// OpenStore opens the store of this host, beside the daemon, or PostgreSQL
// for all hosts. On a machine that has no store, but is told of PostgreSQL, it
// is that, too, and warn is told so. The caller closes it.
func OpenStore(ctx context.Context, warn io.Writer, cfg *config.Config, allHosts bool) (Store, error) {
	shared := cfg.Store.Postgres.URL != ""
	if !allHosts {
		r, err := dbread.Open(ctx, cfg.Store.Path)
		if err == nil {
			return r, nil
		}
		if !shared || !errors.Is(err, fs.ErrNotExist) {
			return nil, StoreProblem(err, cfg.Store.Path)
		}
		fmt.Fprintf(warn, "there is no store at %s: these are the results of all hosts\n", cfg.Store.Path)
	}
	if !shared {
		return nil, errNoURL
	}
	return OpenPostgres(ctx, cfg)
}

// readOK is R_OK of access(2).
const readOK = 4

// StoreProblem adds to the error of a store that this user may not read for whom
// it is.
func StoreProblem(err error, path string) error {
	if _, statErr := os.Stat(path); errors.Is(err, fs.ErrPermission) || errors.Is(statErr, fs.ErrPermission) || syscall.Access(path, readOK) == syscall.EACCES {
		return fmt.Errorf("%w; %s", err, admin.Access(path))
	}
	return err
}

// OpenPostgres opens the results of all hosts. Without one configured it fails.
func OpenPostgres(ctx context.Context, cfg *config.Config) (*pg.Reader, error) {
	if cfg.Store.Postgres.URL == "" {
		return nil, errNoURL
	}
	return pg.OpenReader(ctx, PostgresConfig(cfg))
}

// ByQueueID returns the rows of a queue id, and of its hash: rows of before
// hash_queue_ids was changed have the other one.
func ByQueueID(ctx context.Context, store Store, cfg *config.Config, qid string) ([]results.Row, error) {
	key, err := queueIDKey(cfg.Privacy)
	if err != nil {
		return nil, err
	}
	rows, err := store.ByQueueID(ctx, qid)
	if err != nil || key == nil {
		return rows, err
	}
	hashed, err := store.ByQueueID(ctx, results.HashQueueID(key, qid))
	return append(rows, hashed...), err
}

// queueIDKey returns the key that ids may be hashed with, nil when there is
// none.
func queueIDKey(p config.Privacy) ([]byte, error) {
	key, err := ReadQueueIDKey(p.KeyFile)
	if errors.Is(err, fs.ErrNotExist) || err != nil && !p.HashQueueIDs {
		return nil, nil
	}
	return key, err
}
