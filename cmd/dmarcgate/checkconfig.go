package main

import (
	"dmarcgate/config"
	"dmarcgate/daemon/system"
	"dmarcgate/site/check"
)

type checkConfigCmd struct {
	Config string `short:"c" default:"${config}" help:"Use this configuration file (default: ${default})." type:"path"`
	Strict bool   `help:"Exit with an error for warnings, too."`
	Host   bool   `help:"Check users and directories of this host, too (default: yes; use --no-host if the daemon runs on another host)." default:"true" negatable:""`
	JSON   bool   `help:"Print JSON."`
}

func (c *checkConfigCmd) Run(e *env) error {
	o := check.Options{Strict: c.Strict, JSON: c.JSON}
	if c.Host {
		o.Host = func(cfg *config.Config) (stops, warnings []config.Problem) {
			found := system.Check(cfg)
			return found.Problems, found.Warnings
		}
	}
	return check.Config(e.stdout, c.Config, o)
}
