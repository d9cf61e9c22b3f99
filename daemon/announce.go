package daemon

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"time"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/policy/sum"
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
func (d *Daemon) announceConfig(cfg *config.Config) {
	found := cfg.Warnings()
	for _, p := range found[:min(len(found), maxLoggedFindings)] {
		d.log.Warn("configuration warning", "warning", p.String())
	}
	if more := len(found) - maxLoggedFindings; more > 0 {
		d.log.Warn("more configuration warnings; run dmarcgate check-config for all", "count", more)
	}
}

// maxLoggedChanges bounds what a reload says of changed keys and of rules: our
// limit.
const maxLoggedChanges = 100

// announceChanges logs what a reload has found changed in the configuration
// file, by key, and which rules have come, gone or changed.
func (d *Daemon) announceChanges(before, after site.Site) {
	changed := before.Config.Changes(after.Config)
	for _, c := range changed[:min(len(changed), maxLoggedChanges)] {
		d.log.Info("setting changed", "key", c.Key, "old", orDefault(c.Old), "new", orDefault(c.New))
	}
	if more := len(changed) - maxLoggedChanges; more > 0 {
		d.log.Info("more settings changed", "count", more)
	}
	rules := diffRules(before.Rules.List(), after.Rules.List())
	for _, c := range rules[:min(len(rules), maxLoggedChanges)] {
		d.log.Info("rule "+c.what, "rule", c.id)
	}
	if more := len(rules) - maxLoggedChanges; more > 0 {
		d.log.Info("more rules changed", "count", more)
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

// announceRules tells of the rules that have become active.
func (d *Daemon) announceRules(in site.Site) {
	d.metrics.Ruleset(sum.Rules(in.Rules), in.Rules.Len())
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
		d.log.Warn("rule warning", "code", f.Code, "rule", f.Rule, "warning", f.Problem.String())
	}
	if more := len(found) - maxLoggedFindings; more > 0 {
		d.log.Warn("more rule warnings; run dmarcgate rules lint for all", "count", more)
	}
	d.announceDemoted(in.Demoted())
}

// announceDemoted tells of the rules that are not enforced, though their files say
// so.
func (d *Daemon) announceDemoted(found []site.Remark) {
	d.metrics.RulesDemoted(len(found))
	for _, f := range found[:min(len(found), maxLoggedFindings)] {
		d.log.Error("rule refused by this version and not enforced; reloads fail until the rule is fixed", "code", f.Code, "rule", f.Rule, "err", f.Problem.String())
	}
	if more := len(found) - maxLoggedFindings; more > 0 {
		d.log.Error("more rules refused and not enforced; run dmarcgate rules lint for all", "count", more)
	}
}

// announceUse gives the metrics the last matches from before the start.
func (d *Daemon) announceUse(ctx context.Context) {
	if d.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, useTimeout)
	defer cancel()
	use, err := d.store.RuleUse(ctx)
	if err != nil {
		d.log.Warn("cannot load last rule matches", "err", err)
		return
	}
	in := d.Inputs()
	for _, r := range in.Rules.List() {
		for _, u := range use {
			if u.Rule == r.ID && !u.Last.IsZero() {
				d.metrics.RuleLastMatch(r.ID, u.Last)
			}
		}
	}
}
