package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// daysAhead is how many days after this one have their partition already,
	// so that midnight finds nothing to do.
	daysAhead = 2
	// maxFuture is how far a row's time may lie ahead: a host whose clock is
	// wrong by more has its rows refused, since their partitions would stay
	// until then.
	maxFuture = 366 * 24 * time.Hour
	// dropWait is how long dropping waits for those who read, and makes others
	// wait meanwhile. What it cannot drop now it drops an hour later.
	dropWait = "2s"
	// maintenanceEvery is the time between two looks at the partitions.
	maintenanceEvery = time.Hour

	partitionPrefix = "message_"
	partitionDay    = "20060102"
)

// day is a day in UTC, by its partition.
func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

func partitionName(d time.Time) string { return partitionPrefix + d.Format(partitionDay) }

// oldest returns the begin of the first day that is kept, the zero time when
// all are.
func (c Config) oldest(now time.Time) time.Time {
	if c.RetentionDays <= 0 {
		return time.Time{}
	}
	return day(now).AddDate(0, 0, -c.RetentionDays)
}

// addDay makes the partition of a day. Attaching one lets others write on,
// which making it in its place would not ("ALTER TABLE", ATTACH PARTITION).
func addDay(ctx context.Context, conn *pgx.Conn, d time.Time) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, $2)", lockClass, lockPartitions); err != nil {
			return err
		}
		there, err := tableExists(ctx, tx, partitionName(d))
		if err != nil || there {
			return err
		}
		const layout = "2006-01-02 15:04:05+00"
		_, err = tx.Exec(ctx, fmt.Sprintf(`
			CREATE TABLE dmarcgate.%[1]s (LIKE dmarcgate.message INCLUDING ALL);
			ALTER TABLE dmarcgate.message ATTACH PARTITION dmarcgate.%[1]s FOR VALUES FROM ('%[2]s') TO ('%[3]s')`,
			partitionName(d), d.Format(layout), d.AddDate(0, 0, 1).Format(layout)))
		return err
	})
	if err != nil {
		return fmt.Errorf("making the partition of %s: %w", d.Format(time.DateOnly), err)
	}
	return nil
}

// dropBefore drops the partitions of all days before one, unless another host
// is at it. It returns how many it dropped.
func dropBefore(ctx context.Context, conn *pgx.Conn, first time.Time) (dropped int, err error) {
	days, err := days(ctx, conn)
	if err != nil {
		return 0, err
	}
	for _, d := range days {
		if !d.Before(first) {
			continue
		}
		done, err := dropDay(ctx, conn, d)
		if err != nil {
			return dropped, fmt.Errorf("dropping the partition of %s: %w", d.Format(time.DateOnly), err)
		}
		if !done {
			break
		}
		dropped++
	}
	return dropped, nil
}

func dropDay(ctx context.Context, conn *pgx.Conn, d time.Time) (done bool, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1, $2)", lockClass, lockRetention).Scan(&done)
		if err != nil || !done {
			return err
		}
		_, err = tx.Exec(ctx, "SET LOCAL lock_timeout = '"+dropWait+"'; DROP TABLE IF EXISTS dmarcgate."+partitionName(d))
		return err
	})
	return done && err == nil, err
}

// days returns the days that have a partition, oldest first.
func days(ctx context.Context, conn *pgx.Conn) ([]time.Time, error) {
	rows, err := conn.Query(ctx, `SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'dmarcgate.message'::regclass ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("listing the partitions: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("listing the partitions: %w", err)
	}
	var out []time.Time
	for _, name := range names {
		// One with another name is somebody else's business.
		if d, err := time.Parse(partitionPrefix+partitionDay, name); err == nil {
			out = append(out, d)
		}
	}
	return out, nil
}
