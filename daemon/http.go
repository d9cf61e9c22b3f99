package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/milter"
)

// controlMode lets the daemon's group use the control socket, and privateMode its
// user alone.
const (
	controlMode = 0o660
	privateMode = 0o600
)

// server is an HTTP server with its socket.
type server struct {
	*http.Server
	socket net.Listener
}

// openAdmin makes the HTTP server and opens the control socket.
func (d *Daemon) openAdmin(cfg config.Admin) error {
	if d.web != nil {
		d.web.Server = admin.NewServer(d.registry, d.checks(), d.metrics)
	}
	ln, err := milter.Socket{Network: "unix", Addr: cfg.Control, Mode: d.controlMode, UID: -1, GID: -1}.Listen()
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	control := admin.Control{Status: d.Status, Reload: d.Reload, Tail: &d.tail, Cache: loggedCache{d.dns, d.log.Logger}, Monitor: d}
	if d.store != nil {
		control.Results, control.Reports = d.keeper, d.reporter
	}
	d.control = &server{admin.NewControl(control), ln}
	return d.openPages(d.state.first.Pages)
}

// checks are what readiness needs. PostgreSQL is not among them: the local store
// holds what it cannot take, and a host that leaves the service for it would
// lose mail for nothing.
func (d *Daemon) checks() []admin.Check {
	checks := []admin.Check{{Name: "resolver", Run: d.prober.Check}, {Name: "connections", Run: d.checkConnections}}
	if d.store != nil {
		checks = append(checks, admin.Check{Name: "store", Run: d.store.Check})
	}
	return checks
}

func (d *Daemon) serve(name string, s *server) {
	if s == nil {
		return
	}
	d.wg.Go(func() {
		if err := s.Serve(s.socket); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error(name+" listener failed", "err", err)
		}
	})
}

// loggedCache is the cache as the control socket may use it: whoever empties it
// makes traffic, and the log says when.
type loggedCache struct {
	*dnscache.Resolver
	log *slog.Logger
}

func (c loggedCache) Flush(name string) int {
	removed := c.Resolver.Flush(name)
	c.log.Info("name flushed from DNS cache", "name", name, "removed", removed)
	return removed
}

func (c loggedCache) FlushAll() int {
	removed := c.Resolver.FlushAll()
	c.log.Info("DNS cache flushed", "removed", removed)
	return removed
}
