// Package storekeeper does with the store what its owner alone may do: delete
// results and take over those of another program. The owner is the daemon, or a
// command while no daemon runs.
package storekeeper

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"dmarcgate/admin"
	"dmarcgate/results"
	"dmarcgate/results/sqlite"
)

// Keeper is the owner of one store.
type Keeper struct {
	store     *sqlite.Store
	retention time.Duration // 0 is for ever
	key       []byte        // of queue ids; nil when they are as they are
	log       *slog.Logger
}

// New makes the keeper of a store that was opened with opt.
func New(store *sqlite.Store, opt sqlite.Options) *Keeper {
	return &Keeper{store: store, retention: time.Duration(opt.Retention.Days) * 24 * time.Hour, key: opt.Privacy.QueueIDKey, log: opt.Log}
}

// Purge implements admin.Results. What is deleted is in the log as far as that
// names nobody.
func (k *Keeper) Purge(ctx context.Context, p results.Purge) (int64, error) {
	n, err := k.store.Purge(ctx, p)
	k.log.Info("results purged", "rows", n, "by_domain", p.Domain != "", "by_client", p.Client.IsValid(), "before", p.Before, "err", err)
	return n, err
}

const (
	// importSlice is how many rows are compared with the store at once.
	importSlice = 2000
	// importing is how many rows of an import wait for the writer: mail comes in
	// between.
	importing = 64
)

// errNotWritten means that the store does not take rows now.
var errNotWritten = errors.New("the store does not accept results now; imported rows stay, and another import continues from there")

// importKey is what one message is known by: queue id, reporter and time; with
// no queue id, also by client and author.
type importKey [sha256.Size]byte

func keyOf(r *results.Row, qid string) importKey {
	h := sha256.New()
	part := func(s string) { fmt.Fprintf(h, "%d:%s,", len(s), s) }
	part(qid)
	part(r.Facts.Listener)
	part(fmt.Sprint(r.Facts.Time.UnixMilli()))
	if qid == "" {
		part(r.Facts.Client.String())
		part(r.Decision.Author)
	}
	return importKey(h.Sum(nil))
}

// importer adds rows of another program that the store does not have.
type importer struct {
	store  *sqlite.Store
	key    []byte             // of queue ids
	oldest time.Time          // of what is kept
	seen   map[importKey]bool // in the store, or taken
	done   admin.Imported
}

// Import implements admin.Results. It ends with the first row that the store
// does not take.
func (k *Keeper) Import(ctx context.Context, next func() (results.Row, error)) (admin.Imported, error) {
	i := importer{store: k.store, key: k.key, seen: make(map[importKey]bool)}
	if k.retention > 0 {
		i.oldest = time.Now().Add(-k.retention)
	}
	err := i.run(ctx, next)
	k.log.Info("results imported", "imported", i.done.Taken, "present", i.done.Present, "expired", i.done.Expired, "err", err)
	return i.done, err
}

func (i *importer) run(ctx context.Context, next func() (results.Row, error)) error {
	for {
		slice, err := i.slice(next)
		if err != nil && err != io.EOF {
			return fmt.Errorf("reading what to import: %w", err)
		}
		if addErr := i.add(ctx, slice); addErr != nil || err != nil {
			return addErr
		}
	}
}

// slice collects rows that are young enough to be kept.
func (i *importer) slice(next func() (results.Row, error)) (rows []results.Row, err error) {
	for len(rows) < importSlice {
		row, err := next()
		if err != nil {
			return rows, err
		}
		if row.Facts.Time.Before(i.oldest) {
			i.done.Expired++
			continue
		}
		row.State = results.Imported // whatever was sent: it must not count
		rows = append(rows, row)
	}
	return rows, nil
}

// add writes those rows of a slice that the store does not have.
func (i *importer) add(ctx context.Context, rows []results.Row) error {
	if err := i.look(ctx, rows); err != nil {
		return fmt.Errorf("looking for what is there: %w", err)
	}
	fresh := rows[:0]
	for _, r := range rows {
		if i.present(&r) {
			i.done.Present++
			continue
		}
		i.seen[keyOf(&r, r.Facts.QueueID)] = true
		fresh = append(fresh, r)
	}
	n := i.write(ctx, fresh)
	i.done.Taken += n
	if n < int64(len(fresh)) {
		return errors.Join(errNotWritten, ctx.Err())
	}
	return nil
}

// present reports whether a row is there: under its queue id, or the hash of
// that.
func (i *importer) present(r *results.Row) bool {
	return i.seen[keyOf(r, r.Facts.QueueID)] || i.seen[keyOf(r, results.HashQueueID(i.key, r.Facts.QueueID))]
}

// look notes the imported rows of the time of a slice. Files are in the order
// of time, so that is about as many as the slice has.
func (i *importer) look(ctx context.Context, rows []results.Row) error {
	if len(rows) == 0 {
		return nil
	}
	span := results.Span{From: rows[0].Facts.Time, To: rows[0].Facts.Time}
	for _, r := range rows {
		if r.Facts.Time.Before(span.From) {
			span.From = r.Facts.Time
		}
		if r.Facts.Time.After(span.To) {
			span.To = r.Facts.Time
		}
	}
	span.To = span.To.Add(time.Millisecond)
	return i.store.Scan(ctx, span, func(r results.Row) error {
		if r.State == results.Imported {
			i.seen[keyOf(&r, r.Facts.QueueID)] = true
		}
		return nil
	})
}

// write hands rows to the writer, several at once, and returns how many it
// took.
func (i *importer) write(ctx context.Context, rows []results.Row) int64 {
	var mu sync.Mutex // guards what stands below
	var next int
	var taken int64
	var wg sync.WaitGroup
	for range importing {
		wg.Go(func() {
			for {
				mu.Lock()
				at := next
				next++
				mu.Unlock()
				if at >= len(rows) || ctx.Err() != nil {
					return
				}
				if i.store.Add(rows[at]).Outcome == results.Dropped {
					return
				}
				mu.Lock()
				taken++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return taken
}
