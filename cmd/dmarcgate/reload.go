package main

import (
	"context"
	"os"
	"strings"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/enforce"
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

func (d *daemon) inputs() site.Site {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.state.inputs
}

// reload reads the configuration, the rules and the suffix list, checks
// everything, and only then puts it in force for the messages that begin
// afterwards. A failure leaves what is in force as it is. Settings that cannot
// change without a restart are named and keep their value.
func (d *daemon) reload() admin.ReloadResult {
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
	if err := d.servers.use(in.Config.DNS); err != nil {
		return d.reloadFailed(err)
	}
	d.shipping.use(site.PostgresConfig(in.Config))
	restart := needRestart(d.state.first, in.Config)
	for _, g := range d.gates {
		for _, l := range in.Config.Listeners {
			if l.Name == g.listener.Name {
				g.use(in.Snapshot(l, d.sampler, d.dns.View), d.suspension())
			}
		}
	}
	d.log.setLevel(in.Config.Log.Level)
	d.announceChanges(d.inputs(), in)
	d.mu.Lock()
	d.state.inputs, d.state.at, d.state.failure, d.state.mapFailure, d.state.restart = in, now, "", "", restart
	d.mu.Unlock()
	d.metrics.ConfigRead(true, now)
	d.announceConfig(in.Config)
	d.announceRules(in)
	d.log.Info("reloaded", "rules", in.Rules.Len(), "rules_hash", in.Rules.Hash())
	if len(restart) > 0 {
		d.log.Warn("settings have changed that need a restart; until then the old ones are in force", "settings", strings.Join(restart, " "))
	}
	return admin.ReloadResult{OK: true, Restart: restart}
}

func (d *daemon) reloadFailed(err error) admin.ReloadResult {
	d.mu.Lock()
	d.state.failure = err.Error()
	d.mu.Unlock()
	d.metrics.ConfigRead(false, time.Time{})
	for line := range strings.Lines(err.Error()) {
		d.log.Error("reload failed; the settings before it stay in force", "err", strings.TrimSpace(line))
	}
	return admin.ReloadResult{Problem: err.Error()}
}

func problemTexts(list []config.Problem) []string {
	var out []string
	for _, p := range list[:min(len(list), maxToldFindings)] {
		out = append(out, p.String())
	}
	return out
}

// status is what the control socket tells.
func (d *daemon) status(ctx context.Context) admin.Status {
	d.mu.RLock()
	state := d.state
	d.mu.RUnlock()
	s := admin.Status{
		Version: version, PID: os.Getpid(), Started: d.started, Config: state.path, Reloaded: state.at,
		Failure: state.failures(), Restart: state.restart, Warnings: problemTexts(state.inputs.Config.Warnings()),
		Store: "off", Checks: make(map[string]string), DNS: d.dnsStatus(), Monitor: state.suspension,
	}
	ruleStatus(&s, state.inputs)
	if d.store != nil {
		s.Store = state.first.Store.Path + ", durability " + state.first.Store.Durability
		s.Results = d.resultsStatus(ctx, state.first.Store)
	}
	for _, g := range d.gates {
		p := g.Snapshot.Load().Settings.Policy
		s.Listeners = append(s.Listeners, admin.ListenerStatus{
			Name: g.Listener, Address: g.listener.Address.String(), Profile: p.Profile.String(), EnforceShare: 100 - int(p.Observed),
			AuthservID: g.Snapshot.Load().Settings.AuthservID, MTANames: namesOn(d.names.All(), g.Listener),
			Warning: listenerWarning(g.Coverage.Finding()),
		})
	}
	for _, c := range d.checks() {
		s.Checks[c.Name] = "ok"
		if err := c.Run(ctx); err != nil {
			s.Checks[c.Name] = err.Error()
		}
	}
	return s
}

func listenerWarning(f enforce.CoverageFinding) *admin.ListenerWarning {
	if f.Code == "" {
		return nil
	}
	w := admin.ListenerWarning(f)
	return &w
}
