package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/site"
)

// nameservers keeps the servers of a resolver as the configuration says, and as
// the file at path says while the configuration names none. Its methods are
// called by one goroutine at a time.
type nameservers struct {
	dns  *dnscache.Resolver
	path string
	log  *slog.Logger
	cfg  config.DNS // active

	ctx    context.Context // of the daemon
	cancel context.CancelFunc
	wg     sync.WaitGroup // the following, when there is some
}

// start follows the file until ctx is done, when the configuration names no
// servers.
func (n *nameservers) start(ctx context.Context) {
	n.ctx = ctx
	ctx, n.cancel = context.WithCancel(ctx)
	if len(n.cfg.Servers) == 0 {
		n.wg.Go(func() { n.dns.FollowResolvConf(ctx, n.path, n.report) })
	}
}

// stop ends the following, and waits for it.
func (n *nameservers) stop() {
	n.cancel()
	n.wg.Wait()
}

// use puts another list in force. On an error nothing has changed.
func (n *nameservers) use(cfg config.DNS) error {
	if slices.Equal(cfg.Servers, n.cfg.Servers) && slices.Equal(cfg.Trusted, n.cfg.Trusted) {
		return nil // what is followed may be unreadable just now
	}
	list, err := site.ServerList(cfg, n.path)
	if err != nil {
		return err
	}
	n.stop() // it must not put its list above ours
	if err = n.dns.SetServers(list.Servers, list.Trusted); err == nil {
		n.cfg = cfg
	}
	n.start(n.ctx)
	return err
}

func (n *nameservers) report(list dnscache.ServerList, err error) {
	if err != nil {
		n.log.Warn("the changed list of name servers cannot be used; the old ones are asked", "file", n.path, "err", err)
		return
	}
	n.log.Info("the list of name servers was read again", "file", n.path, "servers", strings.Join(list.Servers, " "))
}

// loggedCache is the cache as the control socket may use it: whoever empties it
// makes traffic, and the log says when.
type loggedCache struct {
	*dnscache.Resolver
	log *slog.Logger
}

func (c loggedCache) Flush(name string) int {
	removed := c.Resolver.Flush(name)
	c.log.Info("a name was flushed from the DNS cache", "name", name, "removed", removed)
	return removed
}

func (c loggedCache) FlushAll() int {
	removed := c.Resolver.FlushAll()
	c.log.Info("the DNS cache was flushed", "removed", removed)
	return removed
}

// dnsStatus is the health of the servers and the use of the cache.
func (d *daemon) dnsStatus() admin.DNSStatus {
	s := cacheUse(d.registry)
	for _, n := range d.dns.Servers() {
		s.Servers = append(s.Servers, admin.ServerStatus{
			Address: n.Address, Trusted: n.Trusted, Down: n.Down, Since: n.Since, Failures: n.Failures, Queries: n.Queries, RTT: n.RTT.Seconds(), Err: n.Err,
			Window: n.Window, InFlight: n.InFlight, GivenUp: n.GivenUp, Refusing: n.Refusing, Refusal: n.Refusal, Plain: n.Plain,
		})
	}
	return s
}

// cacheUse reads the counters of the cache.
func cacheUse(reg prometheus.Gatherer) (s admin.DNSStatus) {
	families, err := reg.Gather()
	if err != nil {
		return s // some other metric; /metrics says which
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "dmarcgate_dns_cache_entries":
				s.Entries = int(m.GetGauge().GetValue())
			case "dmarcgate_dns_cache_bytes":
				s.Bytes = uint64(m.GetGauge().GetValue())
			case "dmarcgate_dns_cache_requests_total":
				n := uint64(m.GetCounter().GetValue())
				s.Lookups += n
				for _, l := range m.GetLabel() {
					if l.GetName() == "outcome" && l.GetValue() != "miss" {
						s.Cached += n
					}
				}
			}
		}
	}
	return s
}
