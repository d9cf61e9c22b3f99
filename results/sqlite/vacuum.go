package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"dmarcgate/results/dbfile"
)

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
	for _, suffix := range dbfile.Suffixes[:2] {
		if info, err := os.Stat(path + suffix); err == nil {
			n += info.Size()
		}
	}
	return n
}
