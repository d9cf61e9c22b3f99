package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/results"
	"dmarcgate/site"
)

// Owner does what only the owner of the store may: *admin.Client, when the
// daemon runs, or this process.
type Owner interface {
	Purge(context.Context, results.Purge) (int64, error)
	Import(context.Context, func() (results.Row, error)) (admin.Imported, error)
}

// Source says who may change the store.
type Source struct {
	Socket string // control socket of the daemon, instead of the configured one; may be empty
	// Own opens the store of a configuration as the daemon does, for when none runs.
	// The function that it returns closes it.
	Own func(ctx context.Context, cfg *config.Config) (Owner, func() error, error)
}

// takeOver returns the daemon, when one answers on the control socket, and
// else the store itself, opened as the daemon does. Call the function at the
// end.
func takeOver(ctx context.Context, warn io.Writer, cfg *config.Config, from Source) (Owner, func() error, error) {
	client := admin.Dial(cmp.Or(from.Socket, cfg.Admin.Control))
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
	fmt.Fprintf(warn, "no daemon answers at %s: the store is opened here\n", cmp.Or(from.Socket, cfg.Admin.Control))
	return from.Own(ctx, cfg)
}

// atEnd adds the error of a close to that of the work.
func atEnd(end func() error, err *error) { *err = errors.Join(*err, end()) }
