package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/daemon/logging"
	"dmarcgate/daemon/storekeeper"
	"dmarcgate/results"
	"dmarcgate/results/sqlite"
	"dmarcgate/site"
)

// owner does what only the owner of the store may: *admin.Client, when the
// daemon runs, or this process.
type owner interface {
	Purge(context.Context, results.Purge) (int64, error)
	Import(context.Context, func() (results.Row, error)) (admin.Imported, error)
}

// takeOver returns the daemon, when one answers on the control socket, and else the
// store itself. Call the function at the end. Socket is "" for the configured one.
func takeOver(ctx context.Context, warn io.Writer, cfg *config.Config, socket string) (owner, func() error, error) {
	socket = cmp.Or(socket, cfg.Admin.Control)
	client := admin.Dial(socket)
	_, err := client.Status(ctx)
	if err == nil {
		return client, func() error { return nil }, nil
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil, err // it may run, and only not let us in
	}
	if cfg.Store.Durability == "off" {
		return nil, nil, site.ErrNoResults
	}
	fmt.Fprintf(warn, "no daemon answers at %s: the store is opened here\n", socket)
	return openOwn(ctx, warn, cfg)
}

// openOwn opens a store that is there, as the daemon does.
func openOwn(ctx context.Context, warn io.Writer, cfg *config.Config) (owner, func() error, error) {
	if _, err := os.Stat(cfg.Store.Path); err != nil {
		return nil, nil, err
	}
	if sqlite.InUse(cfg.Store.Path) {
		return nil, nil, fmt.Errorf("another process has the store %s open: if that is the daemon, --socket names its control socket", cfg.Store.Path)
	}
	log := logging.Open(warn, config.Log{Format: cfg.Log.Format, Level: "warn"})
	var key []byte
	if cfg.Privacy.HashQueueIDs { // made by the daemon alone, so that it is the one to own it
		var err error
		if key, err = site.ReadQueueIDKey(cfg.Privacy.KeyFile); err != nil {
			return nil, nil, err
		}
	}
	opt := site.StoreOptions(cfg, key, nil, log.Logger)
	own, err := sqlite.Open(ctx, opt)
	if err != nil {
		return nil, nil, err
	}
	return storekeeper.New(own, opt), own.Close, nil
}

// atEnd adds the error of a close to that of the work.
func atEnd(end func() error, err *error) { *err = errors.Join(*err, end()) }
