package daemon

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"dmarcgate/config"
	"dmarcgate/daemon/logging"
	"dmarcgate/daemon/memory"
	"dmarcgate/site"
)

// StartParts are what the daemon reads when it starts, where a rule that only newer
// data refuses must not keep it from serving. A reload reads site.AllParts, because
// there are settings to keep.
const StartParts = site.AllParts | site.DemoteRules

// Run reads the configuration file and serves until ctx is done; SIGHUP reloads.
// An error is of the start: nothing stays open after it.
func Run(ctx context.Context, opt Options) error {
	in, err := site.Load(opt.Path, StartParts)
	if err != nil {
		return err
	}
	log := logging.Open(opt.Log, in.Config.Log)
	defer log.Close()
	slog.SetDefault(log.Logger) // libraries that log lines of their own end up here too
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	memory.Limit(log.Logger, mostMemory(in.Config))
	d, err := open(ctx, in, opt, log)
	if err != nil {
		if in.Config.Log.To == "syslog" { // standard error has it from the caller
			log.Error("cannot start", "err", err)
		}
		return err
	}
	memory.Pace(ctx, d.dns.Bytes)
	d.Start(ctx)
	d.notify.ready()
	d.reloadUntil(ctx, hangup)
	d.notify.stopping()
	log.Info("stopping; waiting for open sessions", "for", d.Inputs().Config.Limits.DrainTimeout.String())
	d.Shutdown(context.WithoutCancel(ctx))
	log.Info("stopped")
	return nil
}

// reloadUntil reloads at each hangup until ctx is done.
func (d *Daemon) reloadUntil(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-hangup:
			d.Reload()
		case <-ctx.Done():
			return
		}
	}
}

// mostMemory is what headers and the DNS cache may hold at once, in bytes. DKIM
// can need as much for the signed form of a header as the header itself.
func mostMemory(cfg *config.Config) int64 {
	return 2*int64(cfg.Limits.HeaderMemory) + int64(cfg.DNS.CacheSize)
}
