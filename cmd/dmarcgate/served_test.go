package main

import (
	"context"
	"io"
	"strings"
	"testing"

	"dmarcgate/daemon"
	"dmarcgate/internal/daemontest"
	"dmarcgate/site"
)

// served is a daemon that runs in the test's process.
type served struct {
	*daemon.Daemon
	path string // of its configuration file
}

// startDaemon runs a daemon with one listener in a directory of its own.
func startDaemon(t *testing.T, dns string, c daemontest.Config) (*served, *daemontest.Buffer) {
	t.Helper()
	return startAt(t, c.Write(t, dns))
}

// startAt runs a daemon with a configuration file until the test ends.
func startAt(t *testing.T, path string) (*served, *daemontest.Buffer) {
	t.Helper()
	log := &daemontest.Buffer{}
	in, err := site.Load(path, daemon.StartParts)
	if err != nil {
		t.Fatal(err)
	}
	d, err := daemon.New(context.Background(), in, daemonOptions(path, io.MultiWriter(log, t.Output())))
	if err != nil {
		t.Fatal(err)
	}
	d.Start(context.Background())
	t.Cleanup(func() { d.Shutdown(context.Background()) })
	return &served{d, path}, log
}

// metricLine reports whether the metrics of a daemon have a line.
func metricLine(t *testing.T, d *served, line string) bool {
	t.Helper()
	_, body := daemontest.Get(t, "http://"+d.Web().String()+"/metrics")
	return strings.Contains(body, line+"\n")
}
