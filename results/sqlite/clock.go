package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"dmarcgate/results"
)

// metaClock is the key of what a later start has to know of the clock: the time
// when it was written, and From and High of retention and of shortening, in
// milliseconds since 1970, UTC.
const metaClock = "clock"

// keepClockEvery is how far one of these times moves before it is written again.
// What is lost of them is time that a later start waits.
const keepClockEvery = time.Minute

// times are what metaClock has.
type times struct{ written, retention, retentionHigh, shorten, shortenHigh int64 }

func (t *times) all() []any {
	return []any{&t.written, &t.retention, &t.retentionHigh, &t.shorten, &t.shortenHigh}
}

func (t times) String() string {
	return fmt.Sprint(t.written, t.retention, t.retentionHigh, t.shorten, t.shortenHigh)
}

// fileClock is what the maintenance of a file goes by. It belongs to the maintenance.
type fileClock struct {
	watch              results.ClockWatch
	compared           bool  // with what an earlier process has stored
	stored             times // as they were written last
	retention, shorten results.Pace
	pruned             bool          // what rows have left was deleted
	prunedAt           time.Duration // in monotonic time
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

// read goes on where the last process has stopped.
func (c *fileClock) read(ctx context.Context, conn *sql.Conn, opt *Options) error {
	var text string
	err := conn.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", metaClock).Scan(&text)
	switch {
	case err == nil:
		if _, err := fmt.Sscan(text, c.stored.all()...); err != nil {
			return fmt.Errorf("the value %q: %w", text, err)
		}
	case errors.Is(err, sql.ErrNoRows):
		if err := c.begin(ctx, conn, opt); err != nil {
			return err
		}
	default:
		return err
	}
	elapsed, at := opt.elapsed(), time.UnixMilli
	c.watch.Jump(opt.now(), elapsed)
	c.retention = results.NewPace(at(c.stored.retention), at(c.stored.retentionHigh), elapsed)
	c.shorten = results.NewPace(at(c.stored.shorten), at(c.stored.shortenHigh), elapsed)
	return nil
}

// begin is for a file that knows no cut-offs: see Pace.
func (c *fileClock) begin(ctx context.Context, conn *sql.Conn, opt *Options) error {
	never := time.Time{}.UnixMilli()
	c.stored = times{opt.now().UnixMilli(), never, never, never, never}
	at, _, err := shortenedTo(ctx, conn)
	if at > never { // rows up to there are shortened
		c.stored.shorten, c.stored.shortenHigh = at, at
	}
	return err
}

// oldestRow returns the time of the oldest row, and one that never comes when
// there is none.
func oldestRow(ctx context.Context, db oneRow) (at int64, err error) {
	err = db.QueryRowContext(ctx, "SELECT coalesce(min(time), 1 << 62) FROM message").Scan(&at)
	return at, err
}

// cut moves a cut-off towards target.
func (s *Store) cut(ctx context.Context, f *file, p *results.Pace, target time.Time) (time.Time, error) {
	oldest, err := oldestRow(ctx, f.reads)
	return p.Cut(target, time.UnixMilli(oldest), s.opt.elapsed()), err
}

// watchClock tells of jumps of the clock: against monotonic time, and in the
// first round against the time that an earlier process has stored.
func (s *Store) watchClock(f *file) {
	now := s.opt.now()
	if jump := f.clock.watch.Jump(now, s.opt.elapsed()); jump != 0 {
		s.opt.Metrics.ClockJumped("host")
		s.opt.Log.Warn("clock of this host jumped; retention limited to one day per hour until the clock is right",
			"by", jump.Round(time.Second), "now", now.UTC().Truncate(time.Second))
	}
	if f.clock.compared {
		return
	}
	f.clock.compared = true
	stored := time.UnixMilli(f.clock.stored.written)
	if jump := results.JumpOf(now.Round(0).Sub(stored)); jump != 0 {
		s.opt.Metrics.ClockJumped("stored")
		s.opt.Log.Warn("clock differs from the time stored by the last run: downtime or clock change",
			"by", jump.Round(time.Second), "stored", stored.UTC().Truncate(time.Second))
	}
}

// keepClock writes what a later start has to know, when it has changed.
func (s *Store) keepClock(ctx context.Context, f *file) error {
	c := &f.clock
	now := times{
		s.opt.now().UnixMilli(), c.retention.From.UnixMilli(), c.retention.High.UnixMilli(), c.shorten.From.UnixMilli(), c.shorten.High.UnixMilli(),
	}
	if !moved(c.stored, now) {
		return nil
	}
	err := s.in(ctx, f, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(context.Background(), "INSERT OR REPLACE INTO meta VALUES (?, ?)", metaClock, now.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("noting the time: %w", err)
	}
	c.stored = now
	return nil
}

// moved reports whether one of some times has moved enough to be written.
func moved(before, now times) bool {
	was, is := before.all(), now.all()
	for i := range was {
		if d := time.Duration(*was[i].(*int64) - *is[i].(*int64)); d.Abs() >= keepClockEvery/time.Millisecond {
			return true
		}
	}
	return false
}
