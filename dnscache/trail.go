package dnscache

import (
	"slices"
	"sync"
)

// Trail collects lookups: give its Add to [View.Traced]. The zero value is
// empty and ready. It may be used by several goroutines.
type Trail struct {
	mu   sync.Mutex
	list []Lookup
}

// Add adds a lookup that has ended.
func (t *Trail) Add(l Lookup) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, l)
}

// Lookups returns the lookups so far, in the order in which they ended.
func (t *Trail) Lookups() []Lookup {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.list)
}
