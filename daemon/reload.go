package daemon

import (
	"strings"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/policy/sum"
	"dmarcgate/site"
)

// reloadState is what a reload changes.
type reloadState struct {
	path    string         // of the configuration file
	first   *config.Config // of the start: what only a restart changes is as it says
	inputs  site.Site      // active
	at      time.Time
	failure string   // of the last reload
	restart []string // settings that wait for a restart

	mapFailure string // of the maps that have changed since

	suspension *admin.Monitoring // what dmarcgate monitor has ordered; nil for nothing
}

// Reload reads the configuration, the rules and the suffix list, checks
// everything, and only then makes it active for the messages that begin
// afterwards. A failure leaves what is active as it is. Settings that cannot
// change without a restart are named and keep their value.
func (d *Daemon) Reload() admin.ReloadResult {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	d.notify.reloading()
	defer d.notify.ready()
	now := time.Now()
	in, err := site.Load(d.state.path, site.AllParts)
	if err != nil {
		return d.reloadFailed(err)
	}
	in.Started = d.state.first
	if err := d.servers.Use(in.Config.DNS); err != nil {
		return d.reloadFailed(err)
	}
	d.shipping.use(site.PostgresConfig(in.Config))
	restart := needRestart(d.state.first, in.Config)
	for _, g := range d.listeners {
		for _, l := range in.Config.Listeners {
			if l.Name == g.Config.Name {
				g.use(in.Snapshot(l, d.sampler, d.dns.View), d.suspension())
			}
		}
	}
	d.log.SetLevel(in.Config.Log.Level)
	d.announceChanges(d.Inputs(), in)
	d.mu.Lock()
	d.state.inputs, d.state.at, d.state.failure, d.state.mapFailure, d.state.restart = in, now, "", "", restart
	d.mu.Unlock()
	d.reporter.Wake()
	d.metrics.ConfigRead(true, now)
	d.metrics.RestartRequired(restart)
	d.announceConfig(in.Config)
	d.announceRules(in)
	d.log.Info("reloaded", "rules", in.Rules.Len(), "rules_hash", sum.Rules(in.Rules))
	if len(restart) > 0 {
		d.log.Warn("changed settings need a restart; previous values stay active", "settings", strings.Join(restart, " "))
	}
	return admin.ReloadResult{OK: true, Restart: restart}
}

func (d *Daemon) reloadFailed(err error) admin.ReloadResult {
	d.mu.Lock()
	d.state.failure = err.Error()
	d.mu.Unlock()
	d.metrics.ConfigRead(false, time.Time{})
	for line := range strings.Lines(err.Error()) {
		d.log.Error("reload failed; previous settings stay active", "err", strings.TrimSpace(line))
	}
	return admin.ReloadResult{Problem: err.Error()}
}
