package main

import (
	"context"
	"os/signal"
	"syscall"

	"dmarcgate/daemon"
)

type serveCmd struct {
	Config string `short:"c" default:"${config}" help:"Use this configuration file (default: ${default})." type:"path"`
}

func (c *serveCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return serve(ctx, c.Config, e)
}

// serve runs the daemon until ctx is done.
func serve(ctx context.Context, path string, e *env) error {
	return daemon.Run(ctx, daemonOptions(path, e.stderr))
}
