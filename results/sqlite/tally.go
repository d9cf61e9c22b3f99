package sqlite

import (
	"maps"
	"sync"

	"dmarcgate/results"
)

// tallies are what Status tells of the time since the start.
type tallies struct {
	mu               sync.Mutex // guards what stands below
	dropped, deleted map[string]int64
	aside            string
	guard            bool
	failure          string // of the maintenance
}

func (t *tallies) setAside(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.aside = name
}

func (t *tallies) setGuard(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.guard = on
}

// fail notes what is wrong beside the commits, and reports whether it is news.
func (t *tallies) fail(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	news := t.failure != text
	t.failure = text
	return news
}

func (t *tallies) fill(st *results.StoreStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	st.Dropped, st.Deleted = maps.Clone(t.dropped), maps.Clone(t.deleted)
	st.SetAside, st.Guard, st.Failure = t.aside, t.guard, t.failure
}

// drop counts a row that was lost.
func (s *Store) drop(why string) {
	s.opt.Metrics.RecordDropped(why)
	s.tallies.mu.Lock()
	defer s.tallies.mu.Unlock()
	if s.tallies.dropped == nil {
		s.tallies.dropped = make(map[string]int64)
	}
	s.tallies.dropped[why]++
}

// deleted counts rows that were deleted.
func (s *Store) deleted(why string, n int64) {
	if n == 0 {
		return
	}
	s.opt.Metrics.StoreDeleted(why, n)
	s.tallies.mu.Lock()
	defer s.tallies.mu.Unlock()
	if s.tallies.deleted == nil {
		s.tallies.deleted = make(map[string]int64)
	}
	s.tallies.deleted[why] += n
}
