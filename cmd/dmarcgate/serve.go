package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

type serveCmd struct {
	Config string `short:"c" default:"${config}" help:"Configuration file." type:"path"`
}

func (c *serveCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return serve(ctx, c.Config, e)
}

// gcPercent lets the heap grow to five times what lives before it is collected,
// unless GOGC says otherwise. What lives is the DNS cache and some megabytes:
// the usual doubling would collect every few dozen messages, and cost a tenth
// of the processor.
const gcPercent = 400

// crowdedPercent is the same while headers take a part of limits.header_memory
// that counts. The default of the runtime.
const crowdedPercent = 100

// collectOften sets how far the heap may grow.
func collectOften(crowded bool) {
	switch {
	case os.Getenv("GOGC") != "": // the operator's choice
	case crowded:
		debug.SetGCPercent(crowdedPercent)
	default:
		debug.SetGCPercent(gcPercent)
	}
}

// serve runs the daemon until ctx is done. SIGHUP reloads.
func serve(ctx context.Context, path string, e *env) error {
	in, err := readInputs(path)
	if err != nil {
		return err
	}
	log := newLogger(e.stderr, in.cfg.Log.Format, in.cfg.Log.Level)
	slog.SetDefault(log.Logger) // libraries that log lines of their own end up here too
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	collectOften(false)
	limitMemory(log.Logger, in.cfg)
	defer signal.Stop(hangup)
	d, err := newDaemon(ctx, path, in, log)
	if err != nil {
		return err
	}
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
	log.Info("stopping: sessions are served until they end", "for", d.inputs().cfg.Limits.DrainTimeout.String())
	d.shutdown(context.WithoutCancel(ctx))
	log.Info("stopped")
	return nil
}
