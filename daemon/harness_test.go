package daemon

import (
	"context"
	"io"
	"strings"
	"testing"

	"dmarcgate/internal/daemontest"
	"dmarcgate/site"
)

// startDaemon runs a daemon with one listener in a directory of its own.
func startDaemon(t *testing.T, dns string, c daemontest.Config) (*Daemon, *daemontest.Buffer) {
	t.Helper()
	return startAt(t, c.Write(t, dns))
}

// startAt runs a daemon with a configuration file until the test ends.
func startAt(t *testing.T, path string) (*Daemon, *daemontest.Buffer) {
	t.Helper()
	log := &daemontest.Buffer{}
	in, err := site.Load(path, StartParts)
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(context.Background(), in, Options{Path: path, Log: io.MultiWriter(log, t.Output()), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	d.Start(context.Background())
	t.Cleanup(func() { d.Shutdown(context.Background()) })
	return d, log
}

// metricLine reports whether the metrics of a daemon have a line.
func metricLine(t *testing.T, d *Daemon, line string) bool {
	t.Helper()
	_, body := daemontest.Get(t, "http://"+d.Web().String()+"/metrics")
	return strings.Contains(body, line+"\n")
}
