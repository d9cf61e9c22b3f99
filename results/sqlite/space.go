package sqlite

import (
	"errors"
	"syscall"
	"time"

	"dmarcgate/results"
)

// errNoSpace means that so little is free that the rest is left to the mail.
var errNoSpace = errors.New("too little space is free")

const (
	// defaultFree is what stays free when nothing is said: room for the queue of
	// an MTA that has its files here, too. Of a file system below 5 GiB it is the
	// part of it that most keep for root (mke2fs -m).
	defaultFree     = 256 << 20
	defaultFreePart = 20
	// spaceEvery is how often the system is asked.
	spaceEvery = 200 * time.Millisecond
)

// space watches what is free. It belongs to the writer.
type space struct {
	asked time.Time
	low   bool
}

// statfs asks the system what is free for users that are not root.
func statfs(path string) (free, size int64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * st.Frsize, int64(st.Blocks) * st.Frsize, nil
}

// keepsFree returns what stays free on a file system of a size.
func keepsFree(r *results.Retention, size int64) int64 {
	if r.FreeBytes != 0 {
		return max(0, r.FreeBytes)
	}
	return min(defaultFree, size/defaultFreePart)
}

// roomy reports whether rows may be written. Once they may not, it takes a
// quarter more than the limit before they may again: rows that are written at
// once must not close the door behind them.
func (s *Store) roomy() bool {
	now := s.opt.now()
	if since := now.Sub(s.space.asked); since >= 0 && since < spaceEvery && !s.space.asked.IsZero() {
		return !s.space.low
	}
	s.space.asked = now
	free, size, err := s.free()
	if err != nil {
		return !s.space.low
	}
	limit := keepsFree(&s.opt.Retention, size)
	low := free < limit || s.space.low && free < limit+limit/4
	s.opt.Metrics.StoreFree(free, limit)
	if low != s.space.low {
		s.space.low = low
		s.tallies.setGuard(low)
		s.opt.Metrics.StoreGuard(low)
		if low {
			s.opt.Log.Error("free disk space below store.min_free: results not recorded; mail unaffected", "free_bytes", free, "min_free_bytes", limit)
		} else {
			s.opt.Log.Info("enough free disk space again: results are recorded", "free_bytes", free)
		}
	}
	return !low
}

// measure tells the metrics the sizes at the start: the first maintenance comes
// later.
func (s *Store) measure() {
	s.opt.Metrics.StoreSize(bytesOf(s.opt.Path))
	if free, size, err := s.free(); err == nil {
		s.opt.Metrics.StoreFree(free, keepsFree(&s.opt.Retention, size))
	}
}

func (s *Store) free() (free, size int64, err error) {
	if s.opt.Free != nil {
		return s.opt.Free(s.opt.Path)
	}
	return statfs(s.opt.dir())
}
