package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"dmarcgate/site"
)

type serveCmd struct {
	Config string `short:"c" default:"${config}" help:"Configuration file." type:"path"`
}

func (c *serveCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return serve(ctx, c.Config, e)
}

// serve runs the daemon until ctx is done. SIGHUP reloads.
func serve(ctx context.Context, path string, e *env) error {
	in, err := site.Load(path, site.AllParts)
	if err != nil {
		return err
	}
	log := newLogger(e.stderr, in.Config.Log.Format, in.Config.Log.Level)
	slog.SetDefault(log.Logger) // libraries that log lines of their own end up here too
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	limitMemory(log.Logger, in.Config)
	defer signal.Stop(hangup)
	d, err := newDaemon(ctx, path, in, log)
	if err != nil {
		return err
	}
	paceGarbage(ctx, d.dns.Bytes)
	d.start(ctx)
	d.notify.ready()
	for {
		select {
		case <-hangup:
			d.reload()
			continue
		case <-ctx.Done():
		}
		break
	}
	d.notify.stopping()
	log.Info("stopping: sessions are served until they end", "for", d.inputs().Config.Limits.DrainTimeout.String())
	d.shutdown(context.WithoutCancel(ctx))
	log.Info("stopped")
	return nil
}
