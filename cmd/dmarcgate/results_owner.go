package main

import (
	"context"
	"fmt"
	"os"

	"dmarcgate/config"
	"dmarcgate/daemon/storekeeper"
	"dmarcgate/results/sqlite"
	"dmarcgate/site"
	"dmarcgate/store"
)

// ownStore opens a store that is there.
func (e *env) ownStore(ctx context.Context, cfg *config.Config) (store.Owner, func() error, error) {
	if _, err := os.Stat(cfg.Store.Path); err != nil {
		return nil, nil, err
	}
	if sqlite.InUse(cfg.Store.Path) {
		return nil, nil, fmt.Errorf("another process has the store %s open: if that is the daemon, --socket names its control socket", cfg.Store.Path)
	}
	log := site.NewLogger(e.stderr, cfg.Log.Format, "warn")
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
