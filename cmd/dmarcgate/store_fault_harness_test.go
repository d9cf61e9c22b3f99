package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dmarcgate/results"
	"dmarcgate/results/sqlite"
)

// The tests in store_fault_*_test.go do to the store of a daemon what happens
// to files: the process that writes them dies, the disk is full, files go away
// or are put back from a copy. Their failures say which row is missing, or is
// there twice.

// storeFiles are the endings of what belongs to a store. The third is an index
// of the second and is made anew after a crash.
var storeFiles = []string{"", "-wal", "-shm"}

func (h *host) storePath() string { return filepath.Join(h.dir, "results.db") }

// openStore opens a file that no daemon uses.
func openStore(path string) (*sqlite.Store, error) {
	return sqlite.Open(context.Background(), sqlite.Options{
		Path: path, Durability: sqlite.Ack, Wait: time.Second, Queue: 1, Log: slog.New(slog.DiscardHandler),
	})
}

// readStore opens a file as the next daemon would, checks it, and returns all
// its rows, each decoded, in their order. A file that was set aside because it
// is damaged is an error.
func readStore(path string) (rows []results.Row, err error) {
	store, err := openStore(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := errors.Join(checkAlone(path), checkIntegrity(path)); err != nil {
		return nil, err
	}
	rows, err = store.Recent(context.Background(), math.MaxInt32)
	slices.Reverse(rows)
	return rows, err
}

// errSetAside is a store that was found damaged.
var errSetAside = errors.New("set aside")

// checkAlone fails when there is a file with a longer name than those of a
// store.
func checkAlone(path string) error {
	names, err := filepath.Glob(path + "*")
	for _, name := range names {
		if !slices.Contains(storeFiles, strings.TrimPrefix(name, path)) {
			err = errors.Join(err, fmt.Errorf("%w: there is a file %s now", errSetAside, name))
		}
	}
	return err
}

// checkIntegrity asks SQLite for all that it can find, including an index that
// does not agree with its table.
func checkIntegrity(path string) error {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("integrity_check says %q", verdict)
	}
	return nil
}
