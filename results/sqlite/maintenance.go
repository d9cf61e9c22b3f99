package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"syscall"
	"time"

	"dmarcgate/results"
	"dmarcgate/results/dbread"
)

const (
	// maintenanceEvery is the time between two rounds of maintenance.
	maintenanceEvery = 10 * time.Second
	// maintenanceSlice is how many rows one transaction deletes or rewrites: it takes
	// some 5 ms, and rows that come meanwhile wait so long.
	maintenanceSlice = 100
	// vacuumSlice is how many pages one transaction gives back.
	vacuumSlice = 64
	// pruneEvery is the time between two looks for what rows have left behind.
	pruneEvery = time.Hour
)

// job is work for the writer between two groups of rows.
type job struct {
	file *file // that it is for; nil for any
	do   func(*sql.Conn) error
	done chan error
}

// on has the writer do something on its connection. Once begun, it is waited
// for.
func (s *Store) on(ctx context.Context, f *file, do func(*sql.Conn) error) error {
	j := job{f, do, make(chan error, 1)}
	select {
	case s.jobs <- j:
		return <-j.done
	case <-s.done:
		return errors.New("the store is closed")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// in does the same in a transaction.
func (s *Store) in(ctx context.Context, f *file, do func(*sql.Tx) error) error {
	return s.on(ctx, f, func(conn *sql.Conn) error {
		tx, err := conn.BeginTx(context.Background(), nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := do(tx); err != nil {
			return err
		}
		return tx.Commit()
	})
}

// run does a job, and fixes the file as commit does.
func (s *Store) run(j job) error {
	if err := s.ensure(); err != nil {
		return err
	}
	if j.file != nil && j.file != s.file {
		return results.ErrReplaced
	}
	err := j.do(s.session.conn)
	if err == nil && s.gone(s.opt.Path) {
		err = errGone
	}
	s.replaced(err)
	return err
}

// rest waits as long as a slice took: the writer is free for half of the time
// at least.
func rest(ctx context.Context, took time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(took):
		return nil
	}
}

// slicewise does slices of work until one had nothing to do.
func slicewise(ctx context.Context, slice func() (int64, error)) (total int64, err error) {
	for {
		start := time.Now()
		n, err := slice()
		total += n
		if err != nil || n == 0 {
			return total, err
		}
		if err := rest(ctx, time.Since(start)); err != nil {
			return total, err
		}
	}
}

// maintenance keeps the store within its limits, beside the mail.
func (s *Store) maintenance(ctx context.Context) {
	ticker := time.NewTicker(cmp.Or(s.opt.MaintenanceEvery, maintenanceEvery))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := s.tend(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if s.tallies.fail("") {
				s.opt.Log.Info("store maintenance succeeded again")
			}
		case s.tallies.fail(err.Error()):
			s.opt.Log.Error("store maintenance failed; retrying", "err", err)
		}
	}
}

// tend is one round.
func (s *Store) tend(ctx context.Context) error {
	// Also without mail, the writer looks for its file and for space.
	if err := s.on(ctx, nil, func(*sql.Conn) error { s.roomy(); return nil }); err != nil {
		return err
	}
	f := s.current.Load()
	s.watchClock(f)
	for _, task := range []func(context.Context, *file) error{s.expire, s.limit, s.shortenOld, s.sift, s.sumNew, s.cleanOld, s.prune, s.tidy, s.keepClock} {
		err := task(ctx, f)
		if f != s.current.Load() {
			return nil // the file that it was about is no longer used
		}
		if err != nil {
			return err
		}
	}
	return s.accessible()
}

// accessible tells of a file that only this process can still use, since it
// has it open.
func (s *Store) accessible() error {
	const readWrite = 4 | 2
	if err := syscall.Access(s.opt.Path, readWrite); err != nil {
		return fmt.Errorf("the file %s cannot be opened any more, and will not be after a restart: %w", s.opt.Path, err)
	}
	return nil
}

// expire deletes rows that are too old.
func (s *Store) expire(ctx context.Context, f *file) error {
	if s.opt.Retention.Days <= 0 {
		return nil
	}
	before, err := s.cut(ctx, f, &f.clock.retention, s.opt.now().AddDate(0, 0, -s.opt.Retention.Days))
	if err != nil {
		return fmt.Errorf("looking for the oldest row: %w", err)
	}
	n, err := slicewise(ctx, func() (int64, error) {
		return s.deleteOldest(ctx, f, deletion{before: before.UnixMilli(), shipped: s.opt.Ship})
	})
	s.deleted("age", n)
	if err != nil {
		return fmt.Errorf("deleting old rows: %w", err)
	}
	return nil
}

// deleteSQL deletes the oldest rows. While rows are shipped, and with ?2, only
// those that were.
const deleteSQL = "DELETE FROM message WHERE seq IN " + oldestSQL

const oldestSQL = `(SELECT seq FROM message WHERE time < ?1
	AND (NOT ?2 OR seq <= coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = '` + metaShipped + `'), 0)) ORDER BY time LIMIT ?3)`

// deletion says which of the oldest rows go.
type deletion struct {
	before  int64 // milliseconds since 1970, UTC
	shipped bool  // while rows are shipped: only those that were
	lost    bool  // with more space they would be kept: count those that no report has yet
}

// deleteOldest deletes some of the oldest rows.
func (s *Store) deleteOldest(ctx context.Context, f *file, d deletion) (n int64, err error) {
	err = s.in(ctx, f, func(tx *sql.Tx) error {
		if d.lost {
			if _, err := tx.ExecContext(context.Background(), countLostSQL, d.before, d.shipped, maintenanceSlice); err != nil {
				return fmt.Errorf("counting rows that no report has: %w", err)
			}
		}
		done, err := tx.ExecContext(context.Background(), deleteSQL, d.before, d.shipped, maintenanceSlice)
		if err != nil {
			return err
		}
		n, err = done.RowsAffected()
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// limit deletes the oldest rows while the file is too large: first those that
// are elsewhere, too.
func (s *Store) limit(ctx context.Context, f *file) error {
	if s.opt.Retention.MaxBytes <= 0 {
		return nil
	}
	for _, round := range []struct {
		why     string
		shipped bool
	}{{"size", s.opt.Ship}, {"unshipped", false}} {
		n, err := slicewise(ctx, func() (int64, error) {
			size, err := sizeOf(ctx, f.reads)
			if err != nil || size.used() <= s.opt.Retention.MaxBytes {
				return 0, err
			}
			return s.deleteOldest(ctx, f, deletion{1 << 62, round.shipped, !round.shipped})
		})
		s.deleted(round.why, n)
		if n > 0 && round.why == "unshipped" {
			s.opt.Log.Error("store.max_size reached: rows deleted before reaching PostgreSQL", "rows", n)
		}
		if err != nil {
			return fmt.Errorf("keeping the store within its size: %w", err)
		}
	}
	return nil
}

// size is that of a file, in pages.
type size struct{ page, pages, free int64 }

func (s size) used() int64 { return (s.pages - s.free) * s.page }

func sizeOf(ctx context.Context, db dbread.Querier) (z size, err error) {
	rs, err := db.QueryContext(ctx, "SELECT page_size, page_count, freelist_count FROM pragma_page_size, pragma_page_count, pragma_freelist_count")
	if err != nil {
		return z, err
	}
	defer rs.Close()
	if rs.Next() {
		err = rs.Scan(&z.page, &z.pages, &z.free)
	}
	return z, errors.Join(err, rs.Err())
}

// prune deletes what belongs to rows that are no longer there.
func (s *Store) prune(ctx context.Context, f *file) error {
	now := s.opt.elapsed()
	if f.clock.pruned && now-f.clock.prunedAt < pruneEvery {
		return nil
	}
	if err := s.pruneNow(ctx, f); err != nil {
		return fmt.Errorf("deleting what rows have left: %w", err)
	}
	f.clock.pruned, f.clock.prunedAt = true, now
	return nil
}

// pruneSQL: the blocks of queue ids, states that wait for PostgreSQL, sums of
// nothing, and the rules that have not matched for longest.
const pruneSQL = `DELETE FROM digest WHERE NOT EXISTS (SELECT 1 FROM message WHERE seq BETWEEN first_seq AND last_seq);
	DELETE FROM restate WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.seq = restate.seq);
	DELETE FROM day_sum WHERE messages <= 0;
	DELETE FROM rule_use WHERE rule NOT IN (SELECT rule FROM rule_use ORDER BY last DESC LIMIT ` + maxRuleUses + `)`

func (s *Store) pruneNow(ctx context.Context, f *file) error {
	if err := s.in(ctx, f, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(context.Background(), pruneSQL)
		return err
	}); err != nil || s.opt.Retention.Days <= 0 {
		return err
	}
	// A sender has the first message of its last day.
	before := f.clock.retention.From.AddDate(0, 0, -1).UnixMilli()
	_, err := slicewise(ctx, func() (n int64, err error) {
		err = s.in(ctx, f, func(tx *sql.Tx) error {
			n, err = changed(tx.ExecContext(context.Background(),
				"DELETE FROM sender WHERE (org, net) IN (SELECT org, net FROM sender WHERE last < ? LIMIT ?)", before, maintenanceSlice))
			return err
		})
		return n, err
	})
	return err
}

// changed returns how many rows a statement has changed.
func changed(done sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}
