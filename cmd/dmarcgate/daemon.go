package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"dmarcgate/admin"
	"dmarcgate/auth"
	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/enforce"
	"dmarcgate/metrics"
	"dmarcgate/milter"
	"dmarcgate/policy"
	"dmarcgate/results"
)

// drainTimeout is how long sessions may go on after SIGTERM. Postfix keeps a
// session's milter for all its messages, and fails the next one when it is
// gone.
const drainTimeout = 10 * time.Second

// resolvConf is where the servers are when the configuration names none.
const resolvConf = "/etc/resolv.conf"

// daemon is everything that serve runs.
type daemon struct {
	cfg      *config.Config
	log      *slog.Logger
	registry *prometheus.Registry
	metrics  *metrics.Metrics
	dns      *dnscache.Resolver
	store    *results.Store
	sampler  policy.Sampler
	prober   *prober

	servers   []*milter.Server
	listeners []net.Listener // beside servers
	web       *http.Server   // nil when off
	webAddr   net.Listener

	stopProbing context.CancelFunc
	wg          sync.WaitGroup
}

// newDaemon opens everything that can fail: after it, only start is left. On
// an error nothing stays open.
func newDaemon(ctx context.Context, cfg *config.Config, log *slog.Logger) (_ *daemon, err error) {
	d := &daemon{cfg: cfg, log: log, registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	d.registerMetrics()
	if d.dns, err = newResolver(cfg, d.metrics); err != nil {
		return nil, err
	}
	d.prober = &prober{probe: d.dns.Probe, log: log, setting: cfg.TempError.Ours, err: errNotProbed}
	secret, err := loadSecret(cfg.Sampling.SecretFile)
	if err != nil {
		return nil, err
	}
	d.sampler = policy.NewSampler(secret)
	if d.store, err = results.Open(ctx, results.Options{
		Path: cfg.Store.Path, Durability: results.Durability(cfg.Store.Durability), Wait: cfg.Store.Wait.Std(),
		Queue: cfg.Store.Queue, Metrics: d.metrics, Log: log,
	}); err != nil {
		return nil, err
	}
	if err := d.listen(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *daemon) registerMetrics() {
	var names []string
	for _, l := range d.cfg.Listeners {
		names = append(names, l.Name)
	}
	d.metrics = metrics.New(d.registry, names)
	metrics.RegisterBuildInfo(d.registry, version, revision())
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

func newResolver(cfg *config.Config, m *metrics.Metrics) (*dnscache.Resolver, error) {
	servers := cfg.DNS.Servers
	if len(servers) == 0 {
		var err error
		if servers, err = dnscache.ResolvConf(resolvConf); err != nil {
			return nil, fmt.Errorf("finding a DNS server: %w; set servers in [dns]", err)
		}
	}
	return dnscache.New(dnscache.Config{
		Servers: servers, QueryTimeout: cfg.DNS.QueryTimeout.Std(), Timeout: cfg.DNS.Timeout.Std(),
		MaxBytes: uint64(cfg.DNS.CacheSize), MaxTTL: cfg.DNS.MaxTTL.Std(), MaxNegativeTTL: cfg.DNS.MaxNegativeTTL.Std(),
		MaxInFlight: cfg.DNS.MaxInFlight,
	}, m)
}

// newChecker makes the checks; view chooses how a purpose sees the resolver.
func newChecker(cfg *config.Config, view func(dnscache.Purpose) dnscache.View) *auth.Checker {
	finder := &dmarc.Finder{Resolver: view(dnscache.DMARC), Method: dmarc.TreeWalk}
	if cfg.Discovery.Method == "psl" {
		finder.Method, finder.Suffixes = dmarc.PSL, dmarc.PublicSuffix()
	}
	return &auth.Checker{
		SPF: view(dnscache.SPF), DKIM: view(dnscache.DKIM), Finder: finder, Budget: cfg.Limits.MessageBudget.Std(),
	}
}

// newSettings puts the configuration of one listener into the words of the
// rooms.
func newSettings(cfg *config.Config, l config.Listener, sampler policy.Sampler) enforce.Settings {
	return enforce.Settings{
		Listener: l.Name, Policy: newPolicy(cfg, l), Sampler: sampler, Trusted: l.TrustedNetworks,
		AuthservID: cfg.AuthservID, AuthservIDs: append([]string{cfg.AuthservID}, cfg.AuthservIDsAlso...),
		TagField: cfg.Header.Tag, RejectText: cfg.Reply.Reject, TempfailText: cfg.Reply.TempFail,
	}
}

func newPolicy(cfg *config.Config, l config.Listener) policy.Settings {
	s := policy.Settings{
		Profile:    profiles[l.Profile],
		Quarantine: quarantines[l.Quarantine],
		IgnorePct:  cfg.Discovery.Pct == "ignore",
		TempOurs:   temporaries[cfg.TempError.Ours],
		TempDomain: temporaries[cfg.TempError.Domain],
		MaxDefer:   cfg.TempError.MaxDefer.Std(),
	}
	if cfg.TempError.Domain == "quarantine" {
		s.MaxDefer = 0 // as after the time of waiting
	}
	return s
}

// The words of the configuration file, which config has checked.
var (
	profiles    = map[string]policy.Profile{"monitor": policy.Monitor, "conformant": policy.Conformant, "strict": policy.Strict}
	quarantines = map[string]policy.Action{"tag": policy.Tag, "hold": policy.Hold, "reject": policy.Refuse}
	temporaries = map[string]policy.Action{"accept": policy.Tag, "tempfail": policy.Tempfail, "quarantine": policy.Tempfail}
)

// listen opens the sockets.
func (d *daemon) listen() error {
	checker := newChecker(d.cfg, d.dns.View)
	deferrals := &enforce.Deferrals{MaxAge: d.cfg.TempError.MaxDefer.Std()}
	for _, l := range d.cfg.Listeners {
		ln, err := milter.Listen(l.Address.Network, l.Address.Addr, l.SocketMode)
		if err != nil {
			return fmt.Errorf("listener %s: %w", l.Name, err)
		}
		d.listeners = append(d.listeners, ln)
		d.servers = append(d.servers, &milter.Server{
			Name: l.Name, Limits: newLimits(d.cfg), Metrics: d.metrics, Log: d.log, Now: time.Now,
			Handler: &enforce.Gate{
				Settings: newSettings(d.cfg, l, d.sampler), Checker: checker, Store: d.store, Deferrals: deferrals,
				Metrics: d.metrics, Log: d.log, Now: time.Now,
			},
		})
	}
	if d.cfg.Admin.Listen == "" {
		return nil
	}
	var err error
	if d.webAddr, err = net.Listen("tcp", d.cfg.Admin.Listen); err != nil {
		return fmt.Errorf("admin listener: %w", err)
	}
	d.web = admin.NewServer(d.registry, []admin.Check{
		{Name: "resolver", Run: d.prober.check},
		{Name: "store", Run: d.store.Check},
	})
	return nil
}

func newLimits(cfg *config.Config) milter.Limits {
	l := milter.DefaultLimits()
	l.Connections, l.IdleTimeout = cfg.Limits.Connections, cfg.Limits.IdleTimeout.Std()
	l.HeaderFields, l.HeaderBytes = cfg.Limits.HeaderFields, int(cfg.Limits.HeaderBytes)
	l.Recipients = cfg.Limits.Recipients
	return l
}

// start serves until shutdown. Name servers that do not answer are reported,
// and mail goes on by the temperror settings.
func (d *daemon) start(ctx context.Context) {
	for i, s := range d.servers {
		d.wg.Go(func() {
			if err := s.Serve(d.listeners[i]); err != nil {
				d.log.Error("listener ended", "listener", s.Name, "err", err)
			}
		})
		d.log.Info("listening", "listener", s.Name, "address", d.cfg.Listeners[i].Address.String(), "profile", d.cfg.Listeners[i].Profile)
	}
	if d.web != nil {
		d.wg.Go(func() {
			if err := d.web.Serve(d.webAddr); !errors.Is(err, http.ErrServerClosed) {
				d.log.Error("admin listener ended", "err", err)
			}
		})
		d.log.Info("listening for metrics", "url", "http://"+d.webAddr.Addr().String()+"/metrics")
	}
	ctx, d.stopProbing = context.WithCancel(ctx)
	d.wg.Go(func() { d.prober.run(ctx, probeEvery) })
}

// shutdown stops accepting, lets sessions go on for drainTimeout, commits what
// is queued and closes everything.
func (d *daemon) shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range d.servers {
		wg.Go(func() {
			if err := s.Shutdown(ctx); err != nil {
				d.log.Warn("sessions were cut by the shutdown", "listener", s.Name, "err", err)
			}
		})
	}
	wg.Wait()
	if d.web != nil {
		d.web.Close()
	}
	d.stopProbing()
	d.wg.Wait()
	d.close()
}

// close closes what newDaemon opened, as far as it came.
func (d *daemon) close() {
	for _, ln := range d.listeners {
		ln.Close()
	}
	if d.webAddr != nil {
		d.webAddr.Close()
	}
	if d.store != nil {
		if err := d.store.Close(); err != nil {
			d.log.Error("closing the store", "err", err)
		}
	}
	if d.dns != nil {
		d.dns.Close()
	}
}
