package results

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// metaClock is the key of what a later start has to know of the clock: the time
// when it was written, the cut-off of retention and that of shortening, in
// milliseconds since 1970, UTC.
const metaClock = "clock"

// keepClockEvery is how far one of these times moves before it is written again.
// What is lost of them is time that a later start waits.
const keepClockEvery = time.Minute

// fileClock is what the upkeep of a file goes by. It belongs to the upkeep.
type fileClock struct {
	watch              ClockWatch
	stored             [3]int64 // as they were written last
	retention, shorten Pace
}

// begun is when the process began: the monotonic time is that since then.
var begun = time.Now()

// elapsed is monotonic time.
func (o *Options) elapsed() time.Duration {
	if o.Elapsed != nil {
		return o.Elapsed()
	}
	return time.Since(begun)
}

// read goes on where the last process has stopped. In a file that knows no
// cut-off, nothing has ever been deleted: it is the time of the oldest row.
func (c *fileClock) read(ctx context.Context, conn *sql.Conn, opt *Options) error {
	var text string
	err := conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", metaClock).Scan(&text)
	switch {
	case err == nil:
		if _, err := fmt.Sscan(text, &c.stored[0], &c.stored[1], &c.stored[2]); err != nil {
			return fmt.Errorf("the value %q: %w", text, err)
		}
	case errors.Is(err, sql.ErrNoRows):
		if err := c.begin(ctx, conn, opt); err != nil {
			return err
		}
	default:
		return err
	}
	elapsed := opt.elapsed()
	c.retention, c.shorten = NewPace(time.UnixMilli(c.stored[1]), elapsed), NewPace(time.UnixMilli(c.stored[2]), elapsed)
	return nil
}

// begin sets the cut-offs of a file that has none. A file without rows has
// nothing to lose, so that its cut-offs are the present.
func (c *fileClock) begin(ctx context.Context, conn *sql.Conn, opt *Options) error {
	var oldest sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT min(time) FROM message").Scan(&oldest); err != nil {
		return err
	}
	now := opt.now().UnixMilli()
	c.stored = [3]int64{now, now, now}
	if oldest.Valid {
		c.stored[1], c.stored[2] = oldest.Int64, oldest.Int64
	}
	at, _, err := shortenedTo(ctx, conn)
	c.stored[2] = max(c.stored[2], min(at, now)) // rows up to there are shortened
	return err
}

// watchClock tells of jumps of the clock: against monotonic time, and in the
// first round against the time that an earlier process has stored.
func (s *Store) watchClock(f *file) {
	now, first := s.opt.now(), f.clock.watch == ClockWatch{}
	if jump := f.clock.watch.Jump(now, s.opt.elapsed()); jump != 0 {
		s.opt.Metrics.ClockJumped("host")
		s.opt.Log.Warn("the clock of this host has jumped; rows are deleted and shortened at most a day an hour until it agrees again",
			"by", jump.Round(time.Second), "now", now.UTC().Truncate(time.Second))
	}
	if !first {
		return
	}
	stored := time.UnixMilli(f.clock.stored[0])
	if jump := jumpOf(now.Round(0).Sub(stored)); jump != 0 {
		s.opt.Metrics.ClockJumped("stored")
		s.opt.Log.Warn("the clock of this host is not where the last run of the store left it: the host was down so long, or its clock has changed",
			"by", jump.Round(time.Second), "stored", stored.UTC().Truncate(time.Second))
	}
}

// keepClock writes what a later start has to know, when it has changed.
func (s *Store) keepClock(ctx context.Context, f *file) error {
	c := &f.clock
	now := [3]int64{s.opt.now().UnixMilli(), c.retention.From.UnixMilli(), c.shorten.From.UnixMilli()}
	if !moved(c.stored, now) {
		return nil
	}
	err := s.in(ctx, f, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(context.Background(), "INSERT OR REPLACE INTO meta VALUES (?, ?)", metaClock, fmt.Sprint(now[0], now[1], now[2]))
		return err
	})
	if err != nil {
		return fmt.Errorf("noting the time: %w", err)
	}
	c.stored = now
	return nil
}

// moved reports whether one of some times has moved enough to be written.
func moved(before, now [3]int64) bool {
	for i := range before {
		if time.Duration(before[i]-now[i]).Abs()*time.Millisecond >= keepClockEvery {
			return true
		}
	}
	return false
}
