package daemon

import (
	"context"
	"fmt"
	"net"
	"slices"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/enforce"
	"dmarcgate/milter"
	"dmarcgate/policy/sum"
	"dmarcgate/site"
)

// Listener is one milter listener with its sockets. The gate in it answers the
// MTA.
type Listener struct {
	Config  config.Listener // as at the start
	sockets []net.Listener
	server  *milter.Server
	enforce.Gate

	configured *enforce.Snapshot // without an order of dmarcgate monitor
}

// fillListeners makes the handlers behind the milter sockets.
func (d *Daemon) fillListeners(in site.Site) {
	d.openNames(in.Config)
	deferrals := &enforce.Deferrals{}
	memory := milter.NewHeaderMemory(int64(in.Config.Limits.HeaderMemory), d.metrics, d.log.Logger)
	for _, g := range d.listeners {
		l := g.Config
		g.Listener, g.Store, g.Deferrals = l.Name, d.recorder, deferrals
		g.Metrics, g.Log, g.Now, g.Observe = d.metrics, d.log.Logger, wallClock, d.tail.Publish
		g.Coverage = enforce.NewCoverage(l.Name, d.metrics, d.log.Logger)
		g.Names, g.Local = d.names, local(g.sockets)
		if d.store != nil {
			g.History = d.store.History
		}
		g.use(in.Snapshot(l, d.sampler, d.dns.View), d.state.suspension)
		g.server = &milter.Server{
			Name: l.Name, Limits: site.MilterLimits(in.Config), HeaderMemory: memory, Unseen: g.Coverage.NoHeader,
			Metrics: d.metrics, Log: d.log.Logger, Handler: wrapHandler(&g.Gate),
		}
	}
}

// Addr returns the address of the first socket, as "unix:/path" or
// "tcp:host:port".
func (g *Listener) Addr() string { return g.Addrs()[0] }

// Addrs returns the addresses of all sockets.
func (g *Listener) Addrs() []string {
	list := make([]string, 0, len(g.sockets))
	for _, s := range g.sockets {
		list = append(list, s.Addr().Network()+":"+s.Addr().String())
	}
	return list
}

// use gives a listener what it works by: what the configuration says, under an
// order, nil for none. Once the daemon serves, d.reloading is held.
func (g *Listener) use(configured *enforce.Snapshot, m *admin.Monitoring) {
	g.configured = configured
	now := *configured
	if m != nil {
		now.Settings.Policy = now.Settings.Policy.Suspend(m.Until)
		now.Settings.PolicySum = sum.Settings(now.Settings.Policy)
	}
	g.Snapshot.Store(&now)
	p := now.Settings.Policy
	g.Metrics.ListenerSettings(g.Listener, p.Profile.String(), int(p.EnforceShare))
}

// checkConnections fails while a listener has no place for another MTA, whose
// sessions wait meanwhile: another host may have one.
func (d *Daemon) checkConnections(context.Context) error {
	for _, g := range d.listeners {
		if g.server.Full() {
			return fmt.Errorf("listener %s: all of its limits.connections, %d, are taken", g.Listener, g.server.Limits.Connections)
		}
	}
	return nil
}

// local reports whether only this host can connect.
func local(sockets []net.Listener) bool {
	return !slices.ContainsFunc(sockets, func(ln net.Listener) bool { return ln.Addr().Network() != "unix" })
}
