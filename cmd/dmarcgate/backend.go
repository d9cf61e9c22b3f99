package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/results"
	"dmarcgate/results/pg"
	"dmarcgate/results/sqlite"
)

// backend is a store of results to read.
type backend interface {
	results.Queries
	io.Closer
}

// backendFlags choose what to read.
type backendFlags struct {
	Config   string `short:"c" default:"${config}" help:"Configuration file." type:"path"`
	AllHosts bool   `help:"Of all hosts, from PostgreSQL."`
}

func (f backendFlags) open(ctx context.Context, e *env) (backend, error) {
	cfg, err := loadPartly(e, f.Config)
	if err != nil {
		return nil, err
	}
	return openBackend(ctx, e, cfg, f.AllHosts)
}

// errNoURL means that a command needs what is not configured.
var errNoURL = errors.New("[store.postgres] has no url: there are the results of this host alone")

// openBackend opens the store of this host, beside the daemon, or PostgreSQL
// for all hosts. On a machine that has no store, but is told of PostgreSQL, it
// is that, too.
func openBackend(ctx context.Context, e *env, cfg *config.Config, allHosts bool) (backend, error) {
	shared := cfg.Store.Postgres.URL != ""
	if !allHosts {
		r, err := sqlite.OpenReader(ctx, cfg.Store.Path)
		if err == nil {
			return r, nil
		}
		if !shared || !errors.Is(err, fs.ErrNotExist) {
			return nil, storeProblem(err, cfg.Store.Path)
		}
		fmt.Fprintf(e.stderr, "there is no store at %s: these are the results of all hosts\n", cfg.Store.Path)
	}
	if !shared {
		return nil, errNoURL
	}
	return openPostgres(ctx, cfg)
}

// storeProblem adds to the error of a store that this user may not read for whom
// it is.
func storeProblem(err error, path string) error {
	if _, statErr := os.Stat(path); errors.Is(err, fs.ErrPermission) || errors.Is(statErr, fs.ErrPermission) || syscall.Access(path, mayRead) == syscall.EACCES {
		return fmt.Errorf("%w; %s", err, admin.Access(path))
	}
	return err
}

func openPostgres(ctx context.Context, cfg *config.Config) (*pg.Reader, error) {
	if cfg.Store.Postgres.URL == "" {
		return nil, errNoURL
	}
	return pg.OpenReader(ctx, pgConfig(cfg))
}

// parseWhen reads a point in time: how long ago ("24h", "7d"), a day in UTC
// ("2026-11-22"), or RFC 3339. "" is the zero time.
func parseWhen(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	var ago config.Duration
	if ago.UnmarshalText([]byte(text)) == nil && ago >= 0 {
		return now.Add(-ago.Std()), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s: %q is neither a time ago, as 24h or 7d, nor a day, as 2026-11-22, nor as 2026-11-22T09:30:00Z", flag, text)
}
