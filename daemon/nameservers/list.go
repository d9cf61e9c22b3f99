// Package nameservers keeps the name servers of the daemon's resolver as the
// configuration or /etc/resolv.conf says, and asks them every few seconds whether
// they answer.
package nameservers

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/site"
)

// List keeps the servers of a resolver as the configuration says, and as the file
// at path says while the configuration names none. Its methods are called by one
// goroutine at a time.
type List struct {
	dns  *dnscache.Resolver
	path string
	log  *slog.Logger
	cfg  config.DNS // active

	ctx    context.Context // of the daemon
	cancel context.CancelFunc
	wg     sync.WaitGroup // the following, when there is some
}

// NewList makes the list of a resolver that was made for cfg. path is that of
// resolv.conf(5).
func NewList(dns *dnscache.Resolver, cfg config.DNS, path string, log *slog.Logger) *List {
	return &List{dns: dns, path: path, log: log, cfg: cfg}
}

// Start follows the file until ctx is done, when the configuration names no
// servers.
func (n *List) Start(ctx context.Context) {
	n.ctx = ctx
	ctx, n.cancel = context.WithCancel(ctx)
	if len(n.cfg.Servers) == 0 {
		n.wg.Go(func() { n.dns.FollowResolvConf(ctx, n.path, n.report) })
	}
}

// Stop ends the following, and waits for it.
func (n *List) Stop() {
	n.cancel()
	n.wg.Wait()
}

// Use makes another list active. On an error nothing has changed.
func (n *List) Use(cfg config.DNS) error {
	if slices.Equal(cfg.Servers, n.cfg.Servers) && slices.Equal(cfg.Trusted, n.cfg.Trusted) {
		return nil // what is followed may be unreadable just now
	}
	list, err := site.ServerList(cfg, n.path)
	if err != nil {
		return err
	}
	n.Stop() // it must not put its list above ours
	if err = n.dns.SetServers(list.Servers, list.Trusted); err == nil {
		n.cfg = cfg
	}
	n.Start(n.ctx)
	return err
}

func (n *List) report(list dnscache.ServerList, err error) {
	if err != nil {
		n.log.Warn("invalid list of name servers; previous servers stay active", "file", n.path, "err", err)
		return
	}
	n.log.Info("name servers reloaded", "file", n.path, "servers", strings.Join(list.Servers, " "))
}
