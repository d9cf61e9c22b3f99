package main

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/site"
)

const (
	// useTimeout is how long the store may take to tell of the use of rules. It
	// reads one small table.
	useTimeout = 10 * time.Second
	// mapsEvery is how often map files are looked at.
	mapsEvery = 30 * time.Second
	// maxLoggedFindings and maxToldFindings bound what a reload says of rules that
	// work: our limits.
	maxLoggedFindings = 50
	maxToldFindings   = 200
)

// announceConfig logs the warnings about the configuration file.
func (d *daemon) announceConfig(cfg *config.Config) {
	found := cfg.Warnings()
	for _, p := range found[:min(len(found), maxLoggedFindings)] {
		d.log.Warn("configuration warning", "what", p.String())
	}
	if more := len(found) - maxLoggedFindings; more > 0 {
		d.log.Warn("further configuration warnings: dmarcgate check-config lists them all", "count", more)
	}
}

// maxLoggedChanges bounds what a reload says of changed keys and of rules: our
// limit.
const maxLoggedChanges = 100

// announceChanges logs what a reload has found changed in the configuration
// file, by key, and which rules have come, gone or changed.
func (d *daemon) announceChanges(before, after site.Site) {
	changed := before.Config.Changes(after.Config)
	for _, c := range changed[:min(len(changed), maxLoggedChanges)] {
		d.log.Info("setting changed", "key", c.Key, "old", orDefault(c.Old), "new", orDefault(c.New))
	}
	if more := len(changed) - maxLoggedChanges; more > 0 {
		d.log.Info("further settings changed", "count", more)
	}
	rules := diffRules(before.Rules.List(), after.Rules.List())
	for _, c := range rules[:min(len(rules), maxLoggedChanges)] {
		d.log.Info("rule "+c.what, "rule", c.id)
	}
	if more := len(rules) - maxLoggedChanges; more > 0 {
		d.log.Info("further rules changed", "count", more)
	}
}

// orDefault stands for a key that a file does not have.
func orDefault(value string) string { return cmp.Or(value, "(default)") }

// rulesDiff is a rule that two sets have otherwise.
type rulesDiff struct{ id, what string }

// diffRules compares two sets by the ids of rules. In which file and line a
// rule stands, and its tests, do not count.
func diffRules(before, after []policy.Rule) []rulesDiff {
	was := make(map[string]policy.Rule, len(before))
	for _, r := range before {
		r.File, r.Line, r.Tests = "", 0, nil
		was[r.ID] = r
	}
	var all []rulesDiff
	for _, r := range after {
		r.File, r.Line, r.Tests = "", 0, nil
		old, there := was[r.ID]
		delete(was, r.ID)
		switch {
		case !there:
			all = append(all, rulesDiff{r.ID, "added"})
		case !reflect.DeepEqual(old, r):
			all = append(all, rulesDiff{r.ID, "changed"})
		}
	}
	for id := range was {
		all = append(all, rulesDiff{id, "removed"})
	}
	slices.SortFunc(all, func(a, b rulesDiff) int { return cmp.Compare(a.id, b.id) })
	return all
}

// announceRules tells of the rules that have come into force.
func (d *daemon) announceRules(in site.Site) {
	d.metrics.Ruleset(in.Rules.Hash(), in.Rules.Len())
	expiry := make(map[string]time.Time)
	for _, r := range in.Rules.List() {
		if r.Mode != policy.Off && !r.Expires.IsZero() {
			expiry[r.ID] = r.Expires
		}
	}
	d.metrics.RuleExpiry(expiry)
	found := in.Findings()
	d.metrics.RulesWarnings(len(found))
	for _, f := range found[:min(len(found), maxLoggedFindings)] {
		d.log.Warn("rule is doubtful", "code", f.Code, "rule", f.Rule, "what", f.Problem.String())
	}
	if more := len(found) - maxLoggedFindings; more > 0 {
		d.log.Warn("further rules are doubtful: dmarcgate rules lint lists them all", "count", more)
	}
}

// announceUse gives the metrics the last matches from before the start.
func (d *daemon) announceUse(ctx context.Context) {
	if d.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, useTimeout)
	defer cancel()
	use, err := d.store.RuleUse(ctx)
	if err != nil {
		d.log.Warn("the last matches of rules are not known", "err", err)
		return
	}
	in := d.inputs()
	for _, r := range in.Rules.List() {
		for _, u := range use {
			if u.Rule == r.ID && !u.Last.IsZero() {
				d.metrics.RuleLastMatch(r.ID, u.Last)
			}
		}
	}
}

// watchMaps looks for map files that have changed.
func (d *daemon) watchMaps(ctx context.Context, every time.Duration) {
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

// refreshMaps puts changed map files in force, for all listeners and for the
// messages that begin afterwards. The rules themselves and all other settings
// stay as they were at the last reload, and a failure leaves the maps as they
// are.
func (d *daemon) refreshMaps() {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	in := d.inputs()
	if in.RuleSet == nil || !in.RuleSet.Stale() {
		return
	}
	next, err := in.RuleSet.Refresh(site.RuleOptions(in.Config))
	if err != nil {
		d.mapsFailed(err)
		return
	}
	in.RuleSet, in.Rules = next, next.Rules
	for _, g := range d.gates {
		now := *g.configured
		now.Settings.Policy.Rules = in.Rules
		now.Settings.PolicySum = now.Settings.Policy.Sum()
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
		d.log.Info("map of rules in force", "file", m.Path, "entries", m.Entries)
	}
	d.log.Info("maps of rules were read again", "rules_hash", in.Rules.Hash())
}

// mapsFailed notes a failure, and logs it when it is a new one: the files are
// looked at again and again until they are mended.
func (d *daemon) mapsFailed(err error) {
	d.metrics.ConfigRead(false, time.Time{})
	d.mu.Lock()
	before := d.state.mapFailure
	d.state.mapFailure = err.Error()
	d.mu.Unlock()
	if before == err.Error() {
		return
	}
	for line := range strings.Lines(err.Error()) {
		d.log.Error("changed maps of rules cannot be used; those before them stay in force", "err", strings.TrimSpace(line))
	}
}

// ruleStatus adds the rules to the status.
func ruleStatus(s *admin.Status, in site.Site) {
	s.Rules, s.RulesHash = in.Rules.Len(), in.Rules.Hash()
	found := in.Findings()
	s.RuleWarnings = len(found)
	for _, f := range found[:min(len(found), maxToldFindings)] {
		s.RuleFindings = append(s.RuleFindings, admin.RuleFinding{
			Code: f.Code, Rule: f.Rule, File: f.File, Line: f.Line, Key: f.Key, Text: f.Text, Mend: f.Mend,
		})
	}
	if in.RuleSet == nil {
		return
	}
	for _, m := range in.RuleSet.Maps {
		s.RuleMaps = append(s.RuleMaps, admin.RuleMap{Path: m.Path, Entries: m.Entries})
	}
}

// failures joins what went wrong at the last reload and with maps since.
func (s *reloadState) failures() string {
	var errs []error
	for _, text := range []string{s.failure, s.mapFailure} {
		if text != "" {
			errs = append(errs, errors.New(text))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err.Error()
	}
	return ""
}
