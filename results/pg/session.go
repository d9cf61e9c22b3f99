package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"dmarcgate/results"
)

// session is one connection, with what is known while it lasts.
type session struct {
	*Shipper
	conn        *pgx.Conn
	claimed     []claim
	known       map[time.Time]bool // days with a partition
	maintenance time.Duration      // monotonic time of the maintenance of the partitions, the last one
	today       time.Time          // the day of that; zero before the first
	beaten      time.Time          // the mark, the last time

	shortening bool // there may be addresses to shorten
	cleaning   bool // there may be rows of earlier programs to clean
}

// session ships until something fails, or nothing is left after Stop: then the
// error is nil.
func (s *Shipper) session(ctx context.Context) error {
	conn, err := s.connect(ctx, s.name)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	c := &session{Shipper: s, conn: conn}
	if err := c.begin(ctx); err != nil {
		return err
	}
	for {
		more, err := c.turn(ctx)
		if err != nil {
			return err
		}
		c.well()
		switch {
		case more:
		case c.stopping():
			return c.bounded(ctx, c.farewell)
		default:
			c.idle(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// bounded gives a function the time that the server may take.
func (c *session) bounded(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	return f(ctx)
}

// begin makes the session one that may ship.
func (c *session) begin(ctx context.Context) error {
	err := c.bounded(ctx, func(ctx context.Context) error {
		if err := migrate(ctx, c.conn); err != nil {
			return err
		}
		if err := c.clock(ctx); err != nil {
			return err
		}
		if err := c.claims(ctx); err != nil {
			return err
		}
		return c.noteUncleaned(ctx)
	})
	if err != nil {
		return err
	}
	c.adopted = false
	select {
	case <-c.adopt: // it came too late, and must not count another time
	default:
	}
	c.resume(ctx)
	return nil
}

// resume goes on where PostgreSQL says that the store is, whatever the local
// mark says: a database that was restored gets again what it has lost.
func (c *session) resume(ctx context.Context) {
	cl := c.current()
	done := cl.done
	var unheard int64
	if own := c.ownOf(cl); own.store != "" && done > own.done {
		unheard = done - own.done
		c.Metrics.ShipBatch("repeated")
		c.Metrics.Shipped(int(unheard))
	}
	c.own = mark{cl.StoreID, done, done}
	c.mu.Lock()
	c.status.Shipped = done
	c.status.Rows += unheard
	c.mu.Unlock()
	c.setShipped(ctx, done)
}

// turn does what there is to do once.
func (c *session) turn(ctx context.Context) (more bool, err error) {
	if err := c.bounded(ctx, c.clock); err != nil {
		return false, err
	}
	if err := c.keepUp(ctx); err != nil {
		return false, err
	}
	c.shorten(ctx)
	c.clean(ctx)
	more, err = c.ship(ctx)
	if err != nil {
		return false, err
	}
	c.look(ctx)
	if more {
		c.beaten = c.Now()
		return true, nil
	}
	if now := c.Now(); now.Sub(c.beaten) >= beatEvery {
		c.beaten = now
		return false, c.bounded(ctx, c.beat)
	}
	return false, nil
}

// idle waits for rows.
func (c *session) idle(ctx context.Context) {
	timer := time.NewTimer(idleWait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.stop:
	case <-ctx.Done():
	}
}

// clock measures how far the host's clock is ahead of the server's, which
// answered in the middle of the question.
func (c *session) clock(ctx context.Context) error {
	var server time.Time
	asked := c.elapsed()
	ours := c.Now()
	if err := c.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&server); err != nil {
		return fmt.Errorf("asking for the time: %w", err)
	}
	answered := c.elapsed()
	c.measured(ours.Add((answered - asked) / 2).Sub(server))
	c.serverAt = server
	if jump := c.serverWatch.Jump(server, asked+(answered-asked)/2); jump != 0 {
		c.Metrics.ClockJumped("database")
		c.Log.Warn("clock of PostgreSQL jumped; retention there limited to one day per hour until the clock is right",
			"by", jump.Round(time.Second), "now", server.UTC().Truncate(time.Second))
	}
	return nil
}

// beat moves the watermark of a store that has nothing to ship.
func (c *session) beat(ctx context.Context) error {
	_, err := c.conn.Exec(ctx, "UPDATE dmarcgate.store SET watermark = $2, skew_ms = $3, seen = clock_timestamp() WHERE id = $1",
		c.current().id, c.Now().Add(-settle), c.skew().Milliseconds())
	if err != nil {
		return fmt.Errorf("moving the watermark: %w", err)
	}
	return nil
}

// farewell says that nothing more comes until the next start.
func (c *session) farewell(ctx context.Context) error {
	_, err := c.conn.Exec(ctx, "UPDATE dmarcgate.store SET watermark = $2, stopped = clock_timestamp() WHERE id = $1",
		c.current().id, c.Now().Add(-settle))
	if err != nil {
		return fmt.Errorf("taking leave: %w", err)
	}
	return nil
}

// keepUp makes partitions ahead and drops those that are over, once an hour.
func (c *session) keepUp(ctx context.Context) error {
	now := c.serverAt
	if c.elapsed()-c.maintenance < maintenanceEvery && day(now).Equal(c.today) {
		return nil
	}
	c.maintenance, c.today, c.shortening = c.elapsed(), day(now), c.ShortenIPAfter > 0
	return c.bounded(ctx, func(ctx context.Context) error {
		for n := range daysAhead + 1 {
			if err := c.addDay(ctx, day(now).AddDate(0, 0, n)); err != nil {
				return err
			}
		}
		if err := c.noteUncleaned(ctx); err != nil {
			c.Log.Warn("cannot search PostgreSQL for rows of older programs; retrying", "err", err)
		}
		if err := c.expire(ctx, now); err != nil { // shipping does not depend on it
			c.Log.Warn("cannot drop expired partitions in PostgreSQL; retrying", "err", err)
		}
		return nil
	})
}

// expire drops the days that are no longer kept, and what belongs to them.
func (c *session) expire(ctx context.Context, now time.Time) error {
	first, err := c.cutOff(ctx, now)
	if err != nil {
		return err
	}
	c.cut = first
	if err := forgetRules(ctx, c.conn, first); err != nil || first.IsZero() {
		return err
	}
	dropped, err := dropBefore(ctx, c.conn, first)
	if dropped > 0 {
		c.known = nil
		c.Log.Info("expired partitions dropped from PostgreSQL", "days", dropped, "before", first.Format(time.DateOnly))
	}
	if err != nil {
		return err
	}
	return forgetSenders(ctx, c.conn, first)
}

// cutOff returns the first day that is kept: by the time of the server, and not
// faster than Pace allows from the oldest day that there is. A server whose
// clock is wrong for an hour costs one day.
func (c *session) cutOff(ctx context.Context, now time.Time) (time.Time, error) {
	target := c.oldest(now)
	if target.IsZero() {
		return target, nil
	}
	oldest, err := oldestDay(ctx, c.conn, target)
	if err != nil {
		return time.Time{}, err
	}
	if c.retention == nil {
		pace := results.NewPace(oldest, oldest, c.elapsed())
		c.retention = &pace
	}
	return day(c.retention.Cut(target, oldest, c.elapsed())), nil
}

// oldestDay returns the oldest day that there is, and latest when that is before.
func oldestDay(ctx context.Context, conn *pgx.Conn, latest time.Time) (time.Time, error) {
	all, err := days(ctx, conn)
	if err != nil || len(all) == 0 || all[0].After(latest) {
		return latest, err
	}
	return all[0], nil
}
