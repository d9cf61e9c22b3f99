package results

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	// upkeepEvery is the time between two rounds of upkeep.
	upkeepEvery = 10 * time.Second
	// upkeepSlice is how many rows one transaction deletes or rewrites: it takes
	// some 5 ms, and rows that come meanwhile wait so long.
	upkeepSlice = 100
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

// run does a job, and mends the file as commit does.
func (s *Store) run(j job) error {
	if err := s.ensure(); err != nil {
		return err
	}
	if j.file != nil && j.file != s.file {
		return ErrReplaced
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

// upkeep keeps the store within its limits, beside the mail.
func (s *Store) upkeep(ctx context.Context) {
	ticker := time.NewTicker(upkeepEvery)
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
				s.opt.Log.Info("the upkeep of the store goes well again")
			}
		case s.tallies.fail(err.Error()):
			s.opt.Log.Error("the upkeep of the store failed; it is tried again", "err", err)
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
	for _, task := range []func(context.Context, *file) error{s.expire, s.limit, s.shortenOld, s.prune, s.tidy} {
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
	before := s.opt.now().AddDate(0, 0, -s.opt.Retention.Days)
	n, err := slicewise(ctx, func() (int64, error) { return s.deleteOldest(ctx, f, before.UnixMilli(), s.opt.Ship) })
	s.deleted("age", n)
	if err != nil {
		return fmt.Errorf("deleting old rows: %w", err)
	}
	return nil
}

// deleteSQL deletes the oldest rows. While rows are shipped, and with ?2, only
// those that were.
const deleteSQL = `DELETE FROM message WHERE seq IN (SELECT seq FROM message WHERE time < ?1
	AND (NOT ?2 OR seq <= coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = '` + metaShipped + `'), 0)) ORDER BY time LIMIT ?3)`

func (s *Store) deleteOldest(ctx context.Context, f *file, before int64, shipped bool) (n int64, err error) {
	err = s.in(ctx, f, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(context.Background(), deleteSQL, before, shipped, upkeepSlice)
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
			return s.deleteOldest(ctx, f, 1<<62, round.shipped)
		})
		s.deleted(round.why, n)
		if n > 0 && round.why == "unshipped" {
			s.opt.Log.Error("rows that PostgreSQL does not have were deleted: the store has reached its size limit", "rows", n)
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

func sizeOf(ctx context.Context, db queryer) (z size, err error) {
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

// metaShortened is the key of the mark up to which addresses were shortened:
// the time and the number of a row.
const metaShortened = "shortened"

// shortenOld shortens the addresses in rows that are old enough. Those that
// come later with an old time were shortened before (Privacy.conceal).
func (s *Store) shortenOld(ctx context.Context, f *file) error {
	after := s.opt.Privacy.ShortenIPAfter
	if after <= 0 {
		return nil
	}
	before := s.opt.now().Add(-after - time.Minute) // what is being added is not missed
	_, err := slicewise(ctx, func() (n int64, err error) {
		err = s.in(ctx, f, func(tx *sql.Tx) error {
			n, err = shortenSlice(tx, before.UnixMilli())
			return err
		})
		return n, err
	})
	if err != nil {
		return fmt.Errorf("shortening addresses: %w", err)
	}
	return nil
}

// shortenSlice shortens what comes after the mark, and moves it.
func shortenSlice(tx *sql.Tx, before int64) (int64, error) {
	ctx := context.Background()
	var at, seq int64 = -1 << 62, 0
	var mark string
	err := tx.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", metaShortened).Scan(&mark)
	if err == nil {
		_, err = fmt.Sscan(mark, &at, &seq)
	} else if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the mark: %w", err)
	}
	rows, err := encodedRows(tx, `WHERE (time, seq) > (?, ?) AND time < ? ORDER BY time, seq LIMIT ?`, at, seq, before, upkeepSlice)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	for i := range rows {
		at, seq = rows[i].Time.UnixMilli(), rows[i].Sequence
		if !rows[i].Shorten() {
			continue
		}
		var e encoder
		if _, err := tx.ExecContext(ctx, "UPDATE message SET client = ?, row = ? WHERE seq = ?", e.address(rows[i].Client), rows[i].Encoded, seq); err != nil {
			return 0, err
		}
	}
	_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO meta VALUES (?, ?)", metaShortened, fmt.Sprint(at, seq))
	return int64(len(rows)), err
}

// encodedRows reads rows as they are stored.
func encodedRows(tx *sql.Tx, where string, args ...any) (out []Shipment, err error) {
	rs, err := tx.QueryContext(context.Background(), shipmentSQL+where, args...)
	if err != nil {
		return nil, err
	}
	defer rs.Close()
	for rs.Next() {
		r, err := scanShipment(rs)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rs.Err()
}

// prune deletes what belongs to rows that are no longer there.
func (s *Store) prune(ctx context.Context, f *file) error {
	now := s.opt.now()
	if since := now.Sub(f.pruned); since >= 0 && since < pruneEvery {
		return nil
	}
	if err := s.pruneNow(ctx, f); err != nil {
		return fmt.Errorf("deleting what rows have left: %w", err)
	}
	f.pruned = now
	return nil
}

// pruneSQL: the blocks of queue ids, and states that wait for PostgreSQL.
const pruneSQL = `DELETE FROM digest WHERE NOT EXISTS (SELECT 1 FROM message WHERE seq BETWEEN first_seq AND last_seq);
	DELETE FROM restate WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.seq = restate.seq)`

func (s *Store) pruneNow(ctx context.Context, f *file) error {
	if err := s.in(ctx, f, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(context.Background(), pruneSQL)
		return err
	}); err != nil || s.opt.Retention.Days <= 0 {
		return err
	}
	// A sender has the first message of its last day.
	before := s.opt.now().AddDate(0, 0, -s.opt.Retention.Days-1).UnixMilli()
	_, err := slicewise(ctx, func() (n int64, err error) {
		err = s.in(ctx, f, func(tx *sql.Tx) error {
			n, err = changed(tx.ExecContext(context.Background(),
				"DELETE FROM sender WHERE (org, net) IN (SELECT org, net FROM sender WHERE last < ? LIMIT ?)", before, upkeepSlice))
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

// slack is how much of a file may be free: the next rows take it.
func slack(z size) int64 { return max(1024, z.pages/10) }

// tidy gives back what is free beyond some slack, and tells the sizes.
func (s *Store) tidy(ctx context.Context, f *file) error {
	z, err := sizeOf(ctx, f.reads)
	if err == nil && z.free > slack(z) {
		err = s.vacuum(ctx, f, slack(z)/2)
	}
	if err != nil {
		return fmt.Errorf("giving space back: %w", err)
	}
	s.opt.Metrics.StoreSize(bytesOf(s.opt.Path))
	return nil
}

// vacuum makes the file smaller until no more pages than these are free.
func (s *Store) vacuum(ctx context.Context, f *file, keep int64) error {
	_, err := slicewise(ctx, func() (int64, error) {
		z, err := sizeOf(ctx, f.reads)
		if err != nil || z.free <= keep {
			return 0, err
		}
		return 1, s.on(ctx, f, vacuumSome)
	})
	if err != nil {
		return err
	}
	return s.on(ctx, f, func(conn *sql.Conn) error { return checkpoint(context.Background(), conn) })
}

// vacuumSome gives some pages back: one for each row of the answer.
func vacuumSome(conn *sql.Conn) error {
	rs, err := conn.QueryContext(context.Background(), fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumSlice))
	if err != nil {
		return err
	}
	defer rs.Close()
	for rs.Next() {
	}
	return rs.Err()
}

// checkpoint moves the log into the file, which gets its size then, and empties
// it unless somebody reads. It waits for nobody.
func checkpoint(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
		return err
	}
	var busy, log, moved int
	err := conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved)
	_, undo := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout.Milliseconds()))
	return errors.Join(err, undo)
}

// bytesOf is the size of a file and its log.
func bytesOf(path string) (n int64) {
	for _, suffix := range suffixes[:2] {
		if info, err := os.Stat(path + suffix); err == nil {
			n += info.Size()
		}
	}
	return n
}
