package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"dmarcgate/daemon"
)

// version is set by the linker for a release.
var version = "devel"

type versionCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *versionCmd) Run(e *env) error {
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(map[string]string{"version": version, "go": runtime.Version(), "revision": revision()})
	}
	_, err := fmt.Fprintln(e.stdout, versionLine())
	return err
}

// versionLine is what "version" and "--version" print.
func versionLine() string {
	return fmt.Sprintf("dmarcgate %s (revision %s, %s)", version, revision(), runtime.Version())
}

func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}

// daemonOptions are those of a daemon of this version.
func daemonOptions(path string, log io.Writer) daemon.Options {
	return daemon.Options{Path: path, Log: log, Version: version, Revision: revision()}
}
