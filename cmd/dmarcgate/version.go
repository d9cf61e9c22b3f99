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
	v := map[string]string{"version": version, "go": runtime.Version(), "revision": revision()}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(v)
	}
	_, err := fmt.Fprintf(e.stdout, "dmarcgate %s (revision %s, %s)\n", v["version"], v["revision"], v["go"])
	return err
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
