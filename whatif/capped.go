package whatif

import (
	"cmp"
	"slices"
)

// capped counts by keys that third parties choose, in bounded memory: when there
// are more than most of them, the lesser half is dropped. What stays was counted
// from when it last came in, so it may lack up to missed.
type capped[K comparable, V any] struct {
	most    int
	lines   map[K]*entry[V]
	came    int64 // how many lines were ever begun
	dropped int64 // the counts of lines that were dropped
	missed  int64
}

// entry is one line.
type entry[V any] struct {
	n     int64
	came  int64 // which line it was
	value V
}

// maxLines is how many keys of one kind what-if counts apart: for three kinds,
// with names of usual length, some 25 MB.
const maxLines = 20_000

func newCapped[K comparable, V any](most int) *capped[K, V] {
	return &capped[K, V]{most: most, lines: make(map[K]*entry[V])}
}

// count counts one more of a key and returns its line. own copies the key: one
// that is cut out of a row would keep all of the row in memory.
func (c *capped[K, V]) count(key K, own func(K) K) *V {
	e := c.lines[key]
	if e == nil {
		if len(c.lines) >= c.most {
			c.shrink()
		}
		c.came++
		e = &entry[V]{came: c.came}
		c.lines[own(key)] = e
	}
	e.n++
	return &e.value
}

// shrink drops the lesser half, of equals those that came first.
func (c *capped[K, V]) shrink() {
	all := c.sorted(func(a, b ranked[K, V]) int { return -cmp.Compare(a.entry.came, b.entry.came) })
	rest := all[len(all)/2:]
	c.missed += rest[0].entry.n
	for _, k := range rest {
		c.dropped += k.entry.n
		delete(c.lines, k.key)
	}
}

// ranked is a line with its key.
type ranked[K comparable, V any] struct {
	key   K
	entry *entry[V]
}

// sorted returns the lines, the largest first, equals in the order of then.
func (c *capped[K, V]) sorted(then func(a, b ranked[K, V]) int) []ranked[K, V] {
	all := make([]ranked[K, V], 0, len(c.lines))
	for k, e := range c.lines {
		all = append(all, ranked[K, V]{k, e})
	}
	slices.SortFunc(all, func(a, b ranked[K, V]) int { return cmp.Or(cmp.Compare(b.entry.n, a.entry.n), then(a, b)) })
	return all
}
