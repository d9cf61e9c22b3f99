package daemon

import (
	"context"
	"strings"
	"time"

	"dmarcgate/policy/sum"
	"dmarcgate/site"
)

// watchMaps looks for map files that have changed.
func (d *Daemon) watchMaps(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			d.refreshMaps()
		}
	}
}

// refreshMaps makes changed map files active, for all listeners and for the
// messages that begin afterwards. The rules themselves and all other settings
// stay as they were at the last reload, and a failure leaves the maps as they
// are.
func (d *Daemon) refreshMaps() {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	in := d.Inputs()
	if in.RuleSet == nil || !in.RuleSet.Stale() {
		return
	}
	next, err := in.RuleSet.Refresh(site.RuleOptions(in.Config))
	if err != nil {
		d.mapsFailed(err)
		return
	}
	in.RuleSet, in.Rules = next, next.Rules
	for _, g := range d.listeners {
		now := *g.configured
		now.Settings.Policy.Rules = in.Rules
		now.Settings.PolicySum = sum.Settings(now.Settings.Policy)
		g.use(&now, d.suspension())
	}
	d.mu.Lock()
	d.state.inputs, d.state.mapFailure = in, ""
	good := d.state.failure == ""
	d.mu.Unlock()
	if good {
		d.metrics.ConfigRead(true, time.Now())
	}
	d.announceRules(in)
	for _, m := range next.Maps {
		d.log.Info("rule map active", "file", m.Path, "entries", m.Entries)
	}
	d.log.Info("rule maps reloaded", "rules_hash", sum.Rules(in.Rules))
}

// mapsFailed notes a failure, and logs it when it is a new one: the files are
// looked at again and again until they are fixed.
func (d *Daemon) mapsFailed(err error) {
	d.metrics.ConfigRead(false, time.Time{})
	d.mu.Lock()
	before := d.state.mapFailure
	d.state.mapFailure = err.Error()
	d.mu.Unlock()
	if before == err.Error() {
		return
	}
	for line := range strings.Lines(err.Error()) {
		d.log.Error("invalid rule maps; previous maps stay active", "err", strings.TrimSpace(line))
	}
}
