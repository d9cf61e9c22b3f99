package main

import (
	"fmt"

	"dmarcgate/admin"
	"dmarcgate/config"
)

// monitorCmd is the way back to safety while mail is refused that must not be.
type monitorCmd struct {
	controlFlags
	For  config.Duration `help:"Suspend enforcement for this time, from 1m to 7d, for example 30m or 2d." xor:"order" required:"" placeholder:"DURATION"`
	End  bool            `help:"Resume enforcement of the configured profiles." xor:"order" required:""`
	JSON bool            `help:"Print JSON."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *monitorCmd) Validate() error {
	if c.End {
		return nil
	}
	if err := admin.CheckMonitor(c.For.Std()); err != nil {
		return fmt.Errorf("--for %s: %w", c.For, err)
	}
	return nil
}

func (c *monitorCmd) Run(e *env) error {
	s, err := c.session(e, c.JSON)
	if err != nil {
		return err
	}
	if c.End {
		return s.Enforce()
	}
	return s.Watch(c.For.Std())
}
