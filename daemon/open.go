package daemon

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/prometheus/client_golang/prometheus/collectors"

	"dmarcgate/config"
	"dmarcgate/daemon/nameservers"
	"dmarcgate/daemon/reporter"
	"dmarcgate/daemon/storekeeper"
	"dmarcgate/daemon/system"
	"dmarcgate/metrics"
	"dmarcgate/policy/sampling"
	"dmarcgate/results/pg"
	"dmarcgate/results/sqlite"
	"dmarcgate/site"
)

// openAll opens the sockets first, for which it may need the rights of root, and
// everything else as the user that it has while it runs.
func (d *Daemon) openAll(ctx context.Context, in site.Site) error {
	cfg := in.Config
	if err := d.openSockets(cfg); err != nil {
		return err
	}
	if err := d.settle(d.state.path, cfg); err != nil {
		return err
	}
	if err := d.openDNS(cfg); err != nil {
		return err
	}
	secret, err := site.SamplingSecret(cfg.Sampling.SecretFile)
	if err != nil {
		return err
	}
	d.sampler = sampling.NewSampler(secret)
	if err := d.openStore(ctx, cfg); err != nil {
		return err
	}
	d.openSuspension(cfg)
	d.fillListeners(in)
	return d.openAdmin(cfg.Admin)
}

// openDNS makes the resolver, and what looks after its servers.
func (d *Daemon) openDNS(cfg *config.Config) (err error) {
	if d.dns, err = site.NewResolver(cfg, d.metrics); err != nil {
		return err
	}
	d.servers = nameservers.NewList(d.dns, cfg.DNS, site.ResolvConf, d.log.Logger)
	d.prober = nameservers.NewProber(d.dns, cfg.TempError.Ours.String(), d.log.Logger, d.metrics)
	return nil
}

func (d *Daemon) registerMetrics(cfg *config.Config, opt Options) {
	var names []string
	for _, l := range cfg.Listeners {
		names = append(names, l.Name)
	}
	d.metrics = metrics.New(d.registry, names)
	d.metrics.SetLimits(limitsOf(cfg))
	metrics.RegisterBuildInfo(d.registry, opt.Version, opt.Revision)
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// limitsOf are the limits that the metrics show. Without a store there are none of a
// store.
func limitsOf(cfg *config.Config) metrics.Limits {
	l := metrics.Limits{Sessions: cfg.Limits.Connections, HeaderMemory: int64(cfg.Limits.HeaderMemory), CacheBytes: int64(cfg.DNS.CacheSize)}
	if cfg.Store.Durability != "off" {
		l.StoreBytes, l.StoreRetention, l.StoreQueue = int64(cfg.Store.MaxSize), cfg.Store.Retention.Std(), cfg.Store.Queue
	}
	return l
}

// openStore opens the store, and begins to ship it when PostgreSQL is
// configured: whether that answers does not matter to mail.
func (d *Daemon) openStore(ctx context.Context, cfg *config.Config) error {
	if cfg.Store.Durability == "off" {
		return nil
	}
	key, err := site.QueueIDKey(cfg.Privacy)
	if err != nil {
		return err
	}
	opt := site.StoreOptions(cfg, key, d.metrics, d.log.Logger)
	opt.Now = wallClock
	faultyMaintenance(&opt)
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
	d.keeper = keeper{storekeeper.New(d.store, opt), d.shipping}
	d.reporter = reporter.New(reporter.Parts{Inputs: d.Inputs, Store: d.store, DNS: d.dns, Metrics: d.metrics, Log: d.log.Logger, Version: d.version})
	return nil
}

// openSockets opens the sockets that may need the rights of root: those of
// milters, and that for metrics.
func (d *Daemon) openSockets(cfg *config.Config) error {
	var err error
	if d.account, err = system.LookupAccount(cfg.User); err != nil {
		return err
	}
	if err := d.account.Check(); err != nil {
		return err
	}
	fromSystemd, err := system.TakePassed()
	if err != nil {
		return err
	}
	defer fromSystemd.Close()
	for _, l := range cfg.Listeners {
		sockets, err := fromSystemd.Open(l, d.account)
		if err != nil {
			return fmt.Errorf("listener %s: %w", l.Name, err)
		}
		d.listeners = append(d.listeners, &Listener{Config: l, sockets: sockets})
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
func (d *Daemon) settle(path string, cfg *config.Config) error {
	if err := d.account.Become(); err != nil {
		return err
	}
	if err := d.account.CheckFiles(cfg); err != nil {
		return err
	}
	for _, file := range d.account.Unreadable(path, cfg) {
		d.log.Warn("daemon user cannot read file; reloads will fail", "user", cfg.User, "file", file)
	}
	if os.Geteuid() == 0 {
		d.log.Warn("running as root without need; set user, or User= in the unit")
	}
	d.controlMode = controlMode
	for _, g := range d.listeners {
		if socket := system.SharedGroup(g.sockets); socket != "" {
			d.log.Warn("milter socket open to the daemon's group: control socket and results restricted to the daemon's user; set another group with socket_owner",
				"listener", g.Config.Name, "socket", socket)
			d.controlMode = privateMode
		}
	}
	if d.controlMode == privateMode {
		return system.KeepPrivate(cfg, site.NamesPath(cfg), suspensionPath(cfg), site.ReportQueue(cfg))
	}
	return nil
}
