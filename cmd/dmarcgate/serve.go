package main

import (
	"context"
	"log/slog"
	"os/signal"
	"syscall"

	"dmarcgate/config"
)

type serveCmd struct {
	Config string `short:"c" default:"${config}" help:"Configuration file." type:"path"`
}

func (c *serveCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return serve(ctx, c.Config, e)
}

// serve runs the daemon until ctx is done.
func serve(ctx context.Context, path string, e *env) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	log := newLogger(e.stderr, cfg.Log.Format, cfg.Log.Level)
	slog.SetDefault(log) // libraries that log lines of their own end up here too
	d, err := newDaemon(ctx, cfg, log)
	if err != nil {
		return err
	}
	d.start(ctx)
	<-ctx.Done()
	log.Info("stopping: sessions are served until they end", "for", drainTimeout)
	d.shutdown(context.WithoutCancel(ctx))
	log.Info("stopped")
	return nil
}
