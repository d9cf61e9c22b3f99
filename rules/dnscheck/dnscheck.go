// Package dnscheck asks the DNS what the anchors of rules and of trust lists let in:
// domains that do not exist, SPF records that let in everybody or the customers of a
// shared holder, and client addresses that belong to one.
//
// All that it finds is a warning: other hosts change what the DNS says at any time, so
// nothing that is loaded depends on it. A name that cannot be looked up is a finding
// as well.
//
// Limits: 10,000 names and addresses, 1,000 items of a map, eight addresses of a
// network, 16 lookups at a time, 30 seconds for a name and 300 for all. What is left
// out is said.
package dnscheck

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/policy"
	"dmarcgate/site"
)

// Our limits.
const (
	maxNames       = 10_000 // names and addresses that are looked up
	maxMapItems    = 1000   // of each map of a key
	maxAddresses   = 8      // of a network
	atOnce         = 16     // names and addresses looked up at a time
	maxNameSeconds = 30     // for one name with all that its SPF record includes
	maxSeconds     = 300    // for all
)

// Checker looks up anchors.
type Checker struct {
	DNS      *dnscache.Resolver
	Config   *config.Config // whose lists are looked up, too; nil is none
	Now      time.Time
	Progress func(done, all int) // told now and then, by one goroutine; may be nil

	limit time.Duration // of all; 0 is maxSeconds
}

// Check looks up the anchors of rules and of the lists of the configuration. The
// findings are in the order of the rules, those of the configuration last. The error
// is that of ctx.
func (c Checker) Check(ctx context.Context, rules []policy.Rule) ([]site.Remark, error) {
	p := newPlan()
	for _, r := range rules {
		if r.Mode != policy.Off && !r.Expired(c.Now) && r.Action != policy.RuleReject {
			p.addRule(r)
		}
	}
	if c.Config != nil {
		p.addConfig(c.Config)
	}
	c.askAll(ctx, p.subjects)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var found []site.Remark
	for _, a := range p.anchors {
		found = append(found, a.findings()...)
	}
	return found, nil
}

// tellEvery is the time between two calls of Progress.
const tellEvery = 200 * time.Millisecond

// askAll looks up every subject, until the time is up.
func (c Checker) askAll(ctx context.Context, list []*subject) {
	limit := c.limit
	if limit == 0 {
		limit = maxSeconds * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var next, done atomic.Int64
	var wg sync.WaitGroup
	for range min(atOnce, len(list)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(list)) {
					return
				}
				list[i].ask(ctx, c.DNS.View(dnscache.SPF))
				done.Add(1)
			}
		})
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for running := true; running; {
		if c.Progress != nil {
			c.Progress(int(done.Load()), len(list))
		}
		select {
		case <-ended:
			running = false
		case <-tick.C:
		}
	}
}
