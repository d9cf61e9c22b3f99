// Package daemon is what serve runs: milter listeners, the control socket,
// metrics and health, the name servers, the store and the loops beside them. It
// reloads while it serves, and drains at the end. It wires the rooms together and
// decides about no message: enforce does.
package daemon

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/admin"
	"dmarcgate/daemon/logging"
	"dmarcgate/daemon/memory"
	"dmarcgate/daemon/nameservers"
	"dmarcgate/daemon/reporter"
	"dmarcgate/daemon/system"
	"dmarcgate/dnscache"
	"dmarcgate/enforce"
	"dmarcgate/metrics"
	"dmarcgate/policy/sampling"
	"dmarcgate/results"
	"dmarcgate/results/sqlite"
	"dmarcgate/site"
)

// Daemon is everything that serve runs.
type Daemon struct {
	log          logging.Log
	registry     *prometheus.Registry
	metrics      *metrics.Metrics
	dns          *dnscache.Resolver
	servers      *nameservers.List  // of dns
	store        *sqlite.Store      // nil when nothing is recorded
	shipping     *shipping          // nil without a store or PostgreSQL
	keeper       keeper             // of store
	reporter     *reporter.Reporter // nil without a store
	recorder     enforce.Recorder
	sampler      sampling.Sampler
	prober       *nameservers.Prober
	tail         admin.Tail
	names        *enforce.Names // of MTAs
	namesChanged <-chan struct{}

	suspensionChanged chan struct{} // has room for one

	version string // of the program
	started time.Time
	notify  notifier

	account     system.Account // that the daemon has become
	controlMode os.FileMode    // of the control socket

	listeners []*Listener
	web       *server // nil when off
	control   *server
	pages     *server // nil when off

	reloading sync.Mutex   // one reload at a time
	mu        sync.RWMutex // guards what a reload changes
	state     reloadState

	stop context.CancelFunc // of the loops
	wg   sync.WaitGroup
}

// Options say which daemon to run.
type Options struct {
	Path string    // of the configuration file, which a reload reads
	Log  io.Writer // takes the lines of the log

	// Version and Revision are those of the program, as status and the metrics
	// show them.
	Version, Revision string
}

// New opens everything that can fail: after it, only Start is left. in is what
// the file at opt.Path says. On an error nothing stays open.
func New(ctx context.Context, in site.Site, opt Options) (*Daemon, error) {
	return open(ctx, in, opt, logging.Open(opt.Log, in.Config.Log))
}

// open is New with a logger that has been made.
func open(ctx context.Context, in site.Site, opt Options, log logging.Log) (*Daemon, error) {
	d := &Daemon{
		log: log, registry: prometheus.NewRegistry(), version: opt.Version, started: time.Now(), recorder: results.None{},
		notify: newNotifier(log.Logger), suspensionChanged: make(chan struct{}, 1),
	}
	d.state = reloadState{path: opt.Path, first: in.Config, inputs: in, at: d.started}
	d.registerMetrics(in.Config, opt)
	log.Count(d.metrics)
	if err := d.openAll(ctx, in); err != nil {
		d.close()
		return nil, err
	}
	d.metrics.ConfigRead(true, d.started)
	d.announceConfig(in.Config)
	d.announceRules(in)
	d.announceUse(ctx)
	return d, nil
}

// Inputs returns the configuration and the rules that are active.
func (d *Daemon) Inputs() site.Site {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.state.inputs
}

// Store returns the store of results; nil when nothing is recorded.
func (d *Daemon) Store() *sqlite.Store { return d.store }

// Listeners returns the milter listeners, in the order of the configuration.
func (d *Daemon) Listeners() []*Listener { return d.listeners }

// Web returns the address of metrics and health; nil when they are off.
func (d *Daemon) Web() net.Addr {
	if d.web == nil {
		return nil
	}
	return d.web.socket.Addr()
}

// Start serves until shutdown. Name servers that do not answer are reported,
// and mail goes on by the temperror settings.
func (d *Daemon) Start(ctx context.Context) {
	ctx, d.stop = context.WithCancel(ctx)
	d.servers.Start(ctx)
	for _, g := range d.listeners {
		for _, ln := range g.sockets {
			d.wg.Go(func() {
				if err := g.server.Serve(ln); err != nil {
					d.log.Error("listener failed", "listener", g.server.Name, "err", err)
				}
			})
		}
		d.log.Info("listening", "listener", g.server.Name, "address", g.Config.Address.String(), "profile", g.Config.Profile)
	}
	d.serve("admin", d.web)
	d.serve("control", d.control)
	d.serve("pages", d.pages)
	if d.pages != nil {
		d.log.Info("listening for status pages", "address", d.pages.socket.Addr().String())
	}
	if d.web != nil {
		d.log.Info("listening for metrics", "url", "http://"+d.web.socket.Addr().String()+"/metrics")
	}
	d.wg.Go(func() { d.prober.Run(ctx) })
	d.wg.Go(func() { d.watchdog(ctx) })
	d.wg.Go(func() { memory.Return(ctx) })
	d.wg.Go(func() { d.watchMaps(ctx, mapsEvery) })
	d.wg.Go(func() { d.keepNames(ctx) })
	d.wg.Go(func() { d.endSuspensions(ctx) })
	if d.reporter != nil {
		d.wg.Go(func() { d.reporter.Run(ctx) })
	}
}

// Shutdown stops accepting, lets sessions go on for drain_timeout, commits
// what is queued and closes everything. Postfix keeps a session's milter for
// all its messages, and fails the next one when it is gone.
func (d *Daemon) Shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.Inputs().Config.Limits.DrainTimeout.Std())
	defer cancel()
	var wg sync.WaitGroup
	for _, g := range d.listeners {
		wg.Go(func() {
			if err := g.server.Shutdown(ctx); err != nil {
				d.log.Warn("open sessions closed at shutdown (drain_timeout reached)", "listener", g.server.Name, "err", err)
			}
		})
	}
	wg.Wait()
	d.stop()
	for _, s := range []*server{d.web, d.control, d.pages} {
		if s != nil {
			s.Close()
		}
	}
	d.wg.Wait()
	d.reloading.Lock() // one that began before the socket was closed
	d.servers.Stop()
	d.reloading.Unlock()
	d.close()
}

// close closes what openAll opened, as far as it came.
func (d *Daemon) close() {
	for _, g := range d.listeners {
		for _, ln := range g.sockets {
			ln.Close()
		}
	}
	for _, s := range []*server{d.web, d.control, d.pages} {
		if s != nil {
			s.socket.Close()
		}
	}
	d.shipping.stop()
	if d.store != nil {
		if err := d.store.Close(); err != nil {
			d.log.Error("cannot close the store", "err", err)
		}
	}
	if d.dns != nil {
		d.dns.Close()
	}
	d.notify.close()
}
