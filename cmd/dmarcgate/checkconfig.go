package main

import (
	"dmarcgate/config"
	"dmarcgate/daemon/system"
	"dmarcgate/site/check"
)

type checkConfigCmd struct {
	Config string `short:"c" default:"${config}" help:"Configuration file." type:"path"`
	Strict bool   `help:"Fail for warnings, too."`
	Host   bool   `help:"Check the users and directories of this host, too; --no-host where the daemon runs on another one." default:"true" negatable:""`
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
