package logging

import (
	"sync"

	"dmarcgate/metrics"
)

// counts has how many lines were lost, by cause, until there are metrics.
type counts struct {
	mu      sync.Mutex
	metrics *metrics.Metrics
	before  map[string]int
}

func (c *counts) lost(why string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.metrics != nil {
		c.metrics.LogLinesLost(why, n)
		return
	}
	if c.before == nil {
		c.before = make(map[string]int)
	}
	c.before[why] += n
}

func (c *counts) use(m *metrics.Metrics) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for why, n := range c.before {
		m.LogLinesLost(why, n)
	}
	c.metrics, c.before = m, nil
}
