package daemon

import (
	"context"
	"errors"
	"os"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/daemon/storekeeper"
	"dmarcgate/enforce"
	"dmarcgate/policy/sum"
	"dmarcgate/site"
)

func problemTexts(list []config.Problem) []string {
	var out []string
	for _, p := range list[:min(len(list), maxToldFindings)] {
		out = append(out, p.String())
	}
	return out
}

// Status is what the control socket tells.
func (d *Daemon) Status(ctx context.Context) admin.Status {
	d.mu.RLock()
	state := d.state
	d.mu.RUnlock()
	s := admin.Status{
		Version: d.version, PID: os.Getpid(), Started: d.started, Config: state.path, Reloaded: state.at,
		Failure: state.failures(), Restart: state.restart, Warnings: problemTexts(state.inputs.Config.Warnings()),
		Store: "off", Checks: make(map[string]string), DNS: d.dnsStatus(), Monitor: state.suspension,
	}
	ruleStatus(&s, state.inputs)
	if d.store != nil {
		s.Store = state.first.Store.Path + ", durability " + state.first.Store.Durability
		s.Results = d.resultsStatus(ctx, state.first.Store)
	}
	for _, g := range d.listeners {
		p := g.Snapshot.Load().Settings.Policy
		s.Listeners = append(s.Listeners, admin.ListenerStatus{
			Name: g.Listener, Address: g.Config.Address.String(), Sockets: g.Addrs(), Profile: p.Profile.String(), EnforceShare: int(p.EnforceShare),
			AuthservID: g.Snapshot.Load().Settings.AuthservID, MTANames: namesOn(d.names.All(), g.Listener),
			Warning: listenerWarning(g.Coverage.Finding()), Traffic: d.traffic(g, site.MilterLimits(state.first).Connections),
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

// traffic is what a listener has counted, beside its limit of connections.
func (d *Daemon) traffic(g *Listener, limit int) admin.Traffic {
	t := d.metrics.Traffic(g.Listener)
	return admin.Traffic{
		Sessions: t.Sessions, Active: t.Active, Limit: limit, InFlight: t.InFlight, Messages: t.Messages,
	}
}

func listenerWarning(f enforce.CoverageFinding) *admin.ListenerWarning {
	if f.Code == "" {
		return nil
	}
	w := admin.ListenerWarning(f)
	return &w
}

// namesOn returns the names of one listener.
func namesOn(all []enforce.MTAName, listener string) []string {
	var names []string
	for _, n := range all {
		if n.Listener == listener {
			names = append(names, n.Name)
		}
	}
	return names
}

// ruleStatus adds the rules to the status.
func ruleStatus(s *admin.Status, in site.Site) {
	s.Rules, s.RulesHash = in.Rules.Len(), sum.Rules(in.Rules)
	found := in.Findings()
	s.RuleWarnings = len(found)
	s.RuleFindings = ruleFindings(found)
	demoted := in.Demoted()
	s.RulesDemoted, s.DemotedRules = len(demoted), ruleFindings(demoted)
	if in.RuleSet == nil {
		return
	}
	for _, m := range in.RuleSet.Maps {
		s.RuleMaps = append(s.RuleMaps, admin.RuleMap{Path: m.Path, Entries: m.Entries})
	}
}

// ruleFindings are the first of what was found, in the words of the control socket.
func ruleFindings(found []site.Remark) []admin.RuleFinding {
	var out []admin.RuleFinding
	for _, f := range found[:min(len(found), maxToldFindings)] {
		out = append(out, admin.RuleFinding{Code: f.Code, Rule: f.Rule, File: f.File, Line: f.Line, Key: f.Key, Text: f.Text, Fix: f.Fix})
	}
	return out
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

// dnsStatus is the health of the servers and the use of the cache.
func (d *Daemon) dnsStatus() admin.DNSStatus {
	use := d.metrics.CacheUse()
	s := admin.DNSStatus{Entries: use.Entries, Bytes: use.Bytes, Lookups: use.Lookups, Cached: use.Cached}
	for _, n := range d.dns.Servers() {
		s.Servers = append(s.Servers, admin.ServerStatus{
			Address: n.Address, Trusted: n.Trusted, Down: n.Down, Since: n.Since, Failures: n.Failures, Queries: n.Queries, RTT: n.RTT.Seconds(), Err: n.Err,
			Window: n.Window, InFlight: n.InFlight, GivenUp: n.GivenUp, Refusing: n.Refusing, Refusal: n.Refusal, Plain: n.Plain,
		})
	}
	return s
}

// keeper is what the control socket may do with the store.
type keeper struct {
	*storekeeper.Keeper
	shipping *shipping // nil without PostgreSQL
}

// Adopt implements admin.Results.
func (k keeper) Adopt() error { return k.shipping.adopt() }

// resultsStatus is what the control socket tells of the store.
func (d *Daemon) resultsStatus(ctx context.Context, conf config.Store) *admin.ResultsStatus {
	st, err := d.store.Status(ctx)
	s := &admin.ResultsStatus{
		Path: conf.Path, Durability: conf.Durability, ID: st.ID, Rows: st.Rows, Bytes: st.Bytes, FreeBytes: st.FreeBytes,
		MaxBytes: int64(conf.MaxSize), KeepDays: int(conf.Retention.Std() / (24 * time.Hour)),
		Oldest: st.Oldest, Newest: st.Newest, Dropped: st.Dropped, Deleted: st.Deleted, Guard: st.Guard, Uncleaned: st.Uncleaned, SetAside: st.SetAside, Failure: st.Failure,
	}
	if err != nil {
		s.Failure = err.Error()
	}
	if d.shipping != nil {
		s.Postgres = postgresStatus(d.shipping)
	}
	return s
}

func postgresStatus(from *shipping) *admin.PostgresStatus {
	st := from.status()
	s := &admin.PostgresStatus{
		State: st.State.String(), Since: st.Since, Failure: st.Err, Waiting: st.Waiting.Rows, Oldest: st.Waiting.Oldest,
		Shipped: st.Rows, Last: st.Last, Aside: st.Aside, Uncleaned: st.Uncleaned,
	}
	if st.Skewed {
		skew := st.Skew.Seconds()
		s.Skew = &skew
	}
	return s
}
