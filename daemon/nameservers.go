package daemon

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
