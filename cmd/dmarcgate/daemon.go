package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/enforce"
	"dmarcgate/metrics"
	"dmarcgate/milter"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/pg"
	"dmarcgate/results/sqlite"
	"dmarcgate/site"
)

// controlMode lets the daemon's group use the control socket, and privateMode its
// user alone.
const (
	controlMode = 0o660
	privateMode = 0o600
)

// daemon is everything that serve runs.
type daemon struct {
	log          logger
	registry     *prometheus.Registry
	metrics      *metrics.Metrics
	dns          *dnscache.Resolver
	servers      *nameservers  // of dns
	store        *sqlite.Store // nil when nothing is recorded
	shipping     *shipping     // nil without a store or PostgreSQL
	keeper       *storekeeper  // nil when nothing is recorded
	recorder     enforce.Recorder
	sampler      policy.Sampler
	prober       *prober
	tail         admin.Tail
	names        *enforce.Names // of MTAs
	namesChanged <-chan struct{}

	suspensionChanged chan struct{} // has room for one

	started time.Time
	notify  notifier

	account     account     // that the daemon has become
	controlMode os.FileMode // of the control socket

	gates   []*gate
	web     *server // nil when off
	control *server

	reloading sync.Mutex   // one reload at a time
	mu        sync.RWMutex // guards what a reload changes
	state     reloadState

	stop context.CancelFunc // of the loops
	wg   sync.WaitGroup
}

// gate is one listener with its sockets.
type gate struct {
	listener config.Listener
	sockets  []net.Listener
	server   *milter.Server
	enforce.Gate

	configured *enforce.Snapshot // without an order of dmarcgate monitor
}

// server is an HTTP server with its socket.
type server struct {
	*http.Server
	socket net.Listener
}

// newDaemon opens everything that can fail: after it, only start is left. path
// is the configuration file that a reload reads. On an error nothing stays
// open.
func newDaemon(ctx context.Context, path string, in site.Site, log logger) (_ *daemon, err error) {
	d := &daemon{log: log, registry: prometheus.NewRegistry(), started: time.Now(), recorder: results.None{}, notify: newNotifier(log.Logger), suspensionChanged: make(chan struct{}, 1)}
	d.state = reloadState{path: path, first: in.Config, inputs: in, at: d.started}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	d.registerMetrics(in.Config)
	if err := d.openSockets(in.Config); err != nil {
		return nil, err
	}
	if err := d.settle(path, in.Config); err != nil {
		return nil, err
	}
	if d.dns, err = site.NewResolver(in.Config, d.metrics); err != nil {
		return nil, err
	}
	d.servers = &nameservers{dns: d.dns, path: site.ResolvConf, log: log.Logger, cfg: in.Config.DNS}
	d.prober = &prober{probe: d.dns.Probe, log: log.Logger, setting: in.Config.TempError.Ours.String(), servers: d.dns.Servers, metrics: d.metrics, err: errNotProbed}
	secret, err := site.SamplingSecret(in.Config.Sampling.SecretFile)
	if err != nil {
		return nil, err
	}
	d.sampler = policy.NewSampler(secret)
	if err := d.openStore(ctx, in.Config); err != nil {
		return nil, err
	}
	d.openSuspension(in.Config)
	d.fillGates(in)
	if err := d.openAdmin(in.Config.Admin); err != nil {
		return nil, err
	}
	d.metrics.ConfigRead(true, d.started)
	d.announceConfig(in.Config)
	d.announceRules(in)
	d.announceUse(ctx)
	return d, nil
}

func (d *daemon) registerMetrics(cfg *config.Config) {
	var names []string
	for _, l := range cfg.Listeners {
		names = append(names, l.Name)
	}
	d.metrics = metrics.New(d.registry, names)
	metrics.RegisterBuildInfo(d.registry, version, revision())
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// openStore opens the store, and begins to ship it when PostgreSQL is
// configured: whether that answers does not matter to mail.
func (d *daemon) openStore(ctx context.Context, cfg *config.Config) error {
	if cfg.Store.Durability == "off" {
		return nil
	}
	key, err := site.QueueIDKey(cfg.Privacy)
	if err != nil {
		return err
	}
	opt := site.StoreOptions(cfg, key, d.metrics, d.log.Logger)
	opt.Now = wallClock
	faultyUpkeep(&opt)
	if d.store, err = sqlite.Open(ctx, opt); err != nil {
		return err
	}
	d.recorder = d.store
	if opt.Ship {
		ship := pg.Options{
			Config: site.PostgresConfig(cfg), Place: pg.ThisPlace(opt.Path), Metrics: d.metrics, Log: d.log.Logger, Now: wallClock,
			ShortenIPAfter: opt.Privacy.ShortenIPAfter,
		}
		if d.shipping, err = startShipping(ctx, d.store, ship); err != nil {
			return err
		}
	}
	d.keeper = newStorekeeper(d.store, d.shipping, opt)
	return nil
}

// openSockets opens the sockets that may need the rights of root: those of
// milters, and that for metrics.
func (d *daemon) openSockets(cfg *config.Config) error {
	var err error
	if d.account, err = lookupAccount(cfg.User); err != nil {
		return err
	}
	if err := d.account.check(); err != nil {
		return err
	}
	fromSystemd, err := takePassed()
	if err != nil {
		return err
	}
	defer fromSystemd.close()
	for _, l := range cfg.Listeners {
		sockets, err := fromSystemd.open(l, d.account)
		if err != nil {
			return fmt.Errorf("listener %s: %w", l.Name, err)
		}
		d.gates = append(d.gates, &gate{listener: l, sockets: sockets})
	}
	if cfg.Admin.Listen != "" {
		ln, err := net.Listen("tcp", cfg.Admin.Listen)
		if err != nil {
			return fmt.Errorf("admin listener: %w", err)
		}
		d.web = &server{socket: ln}
	}
	return nil
}

// settle gives up the rights of root, and looks who else is in the daemon's
// group. Everything after it works with what the daemon has while it runs.
func (d *daemon) settle(path string, cfg *config.Config) error {
	if err := d.account.become(); err != nil {
		return err
	}
	if err := d.account.checkFiles(cfg); err != nil {
		return err
	}
	for _, file := range d.account.unreadable(path, cfg) {
		d.log.Warn("the daemon's user cannot read a file: a reload fails until it can, and a change needs a restart", "user", cfg.User, "file", file)
	}
	if os.Geteuid() == 0 {
		d.log.Warn("running as root, which nothing here needs: set user, or User= in the unit")
	}
	d.controlMode = controlMode
	for _, g := range d.gates {
		if socket := sharedGroup(g.sockets); socket != "" {
			d.log.Warn("the daemon's group can connect to the milter socket: control socket and results are for its user alone; to have them for its group, give the socket to another one with socket_owner",
				"listener", g.listener.Name, "socket", socket)
			d.controlMode = privateMode
		}
	}
	if d.controlMode == privateMode {
		return keepPrivate(cfg)
	}
	return nil
}

// fillGates makes the handlers behind the milter sockets.
func (d *daemon) fillGates(in site.Site) {
	d.openNames(in.Config)
	deferrals := &enforce.Deferrals{}
	memory := milter.NewHeaderMemory(int64(in.Config.Limits.HeaderMemory), d.metrics, d.log.Logger)
	for _, g := range d.gates {
		l := g.listener
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

// openAdmin makes the HTTP server and opens the control socket.
func (d *daemon) openAdmin(cfg config.Admin) error {
	if d.web != nil {
		d.web.Server = admin.NewServer(d.registry, d.checks())
	}
	ln, err := milter.Socket{Network: "unix", Addr: cfg.Control, Mode: d.controlMode, UID: -1, GID: -1}.Listen()
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	control := admin.Control{Status: d.status, Reload: d.reload, Tail: &d.tail, Cache: loggedCache{d.dns, d.log.Logger}, Monitor: d}
	if d.store != nil {
		control.Results = d.keeper
	}
	d.control = &server{admin.NewControl(control), ln}
	return nil
}

// checks are what readiness needs. PostgreSQL is not among them: the local store
// holds what it cannot take, and a host that leaves the service for it would
// lose mail for nothing.
func (d *daemon) checks() []admin.Check {
	checks := []admin.Check{{Name: "resolver", Run: d.prober.check}, {Name: "connections", Run: d.checkConnections}}
	if d.store != nil {
		checks = append(checks, admin.Check{Name: "store", Run: d.store.Check})
	}
	return checks
}

// checkConnections fails while a listener has no place for another MTA, whose
// sessions wait meanwhile: another host may have one.
func (d *daemon) checkConnections(context.Context) error {
	for _, g := range d.gates {
		if g.server.Full() {
			return fmt.Errorf("listener %s: all of its limits.connections, %d, are taken", g.Listener, g.server.Limits.Connections)
		}
	}
	return nil
}

// start serves until shutdown. Name servers that do not answer are reported,
// and mail goes on by the temperror settings.
func (d *daemon) start(ctx context.Context) {
	ctx, d.stop = context.WithCancel(ctx)
	d.servers.start(ctx)
	for _, g := range d.gates {
		for _, ln := range g.sockets {
			d.wg.Go(func() {
				if err := g.server.Serve(ln); err != nil {
					d.log.Error("listener ended", "listener", g.server.Name, "err", err)
				}
			})
		}
		d.log.Info("listening", "listener", g.server.Name, "address", g.listener.Address.String(), "profile", g.listener.Profile)
	}
	d.serve("admin", d.web)
	d.serve("control", d.control)
	if d.web != nil {
		d.log.Info("listening for metrics", "url", "http://"+d.web.socket.Addr().String()+"/metrics")
	}
	d.wg.Go(func() { d.prober.run(ctx, probeEvery) })
	d.wg.Go(func() { d.watchdog(ctx) })
	d.wg.Go(func() { returnMemory(ctx) })
	d.wg.Go(func() { d.watchMaps(ctx, mapsEvery) })
	d.wg.Go(func() { d.keepNames(ctx) })
	d.wg.Go(func() { d.endSuspensions(ctx) })
}

func (d *daemon) serve(name string, s *server) {
	if s == nil {
		return
	}
	d.wg.Go(func() {
		if err := s.Serve(s.socket); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error(name+" listener ended", "err", err)
		}
	})
}

// shutdown stops accepting, lets sessions go on for drain_timeout, commits
// what is queued and closes everything. Postfix keeps a session's milter for
// all its messages, and fails the next one when it is gone.
func (d *daemon) shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.inputs().Config.Limits.DrainTimeout.Std())
	defer cancel()
	var wg sync.WaitGroup
	for _, g := range d.gates {
		wg.Go(func() {
			if err := g.server.Shutdown(ctx); err != nil {
				d.log.Warn("sessions were cut by the shutdown", "listener", g.server.Name, "err", err)
			}
		})
	}
	wg.Wait()
	d.stop()
	for _, s := range []*server{d.web, d.control} {
		if s != nil {
			s.Close()
		}
	}
	d.wg.Wait()
	d.reloading.Lock() // one that began before the socket was closed
	d.servers.stop()
	d.reloading.Unlock()
	d.close()
}

// close closes what newDaemon opened, as far as it came.
func (d *daemon) close() {
	for _, g := range d.gates {
		for _, ln := range g.sockets {
			ln.Close()
		}
	}
	for _, s := range []*server{d.web, d.control} {
		if s != nil {
			s.socket.Close()
		}
	}
	d.shipping.stop()
	if d.store != nil {
		if err := d.store.Close(); err != nil {
			d.log.Error("closing the store", "err", err)
		}
	}
	if d.dns != nil {
		d.dns.Close()
	}
	d.notify.close()
}
