package main

import (
	"context"
	"errors"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/control"
	"dmarcgate/daemon/system"
	"dmarcgate/doctor"
	"dmarcgate/doctor/gather"
	"dmarcgate/reports"
	"dmarcgate/site"
	"dmarcgate/term"
)

// doctorCmd exits with 1 when there is a fault, and with 2 when the configuration
// cannot be used.
type doctorCmd struct {
	controlFlags
	PostfixDir string `help:"Use this configuration directory of Postfix (default: the directory that postconf uses)." placeholder:"DIR" type:"path"`
	JSON       bool   `help:"Print JSON."`
}

func (c *doctorCmd) Run(e *env) error {
	h, err := gather.Facts(context.Background(), gather.Options{
		Config: c.Config, Version: version, PostfixDir: c.PostfixDir,
		Client: func(cfg *config.Config) *admin.Client {
			if c.Socket != "" {
				return admin.Dial(c.Socket)
			}
			return control.At(cfg.Admin.Control, cfg.User)
		},
		Host: func(cfg *config.Config) (stops, warnings []config.Problem) {
			found := system.Check(cfg)
			return found.Problems, found.Warnings
		},
		Reports: reports.CheckIdentity,
	})
	if err != nil {
		return err
	}
	found := doctor.Examine(h)
	show := doctor.Print
	if c.JSON {
		show = doctor.PrintJSON
	}
	if err := show(e.stdout, found, h.Unseen); err != nil {
		return err
	}
	return verdict(found)
}

// verdict is the error of findings: a usage error where the configuration must be
// changed first.
func verdict(found []doctor.Finding) error {
	faults := doctor.Faults(found)
	if faults == 0 {
		return nil
	}
	for _, f := range found {
		if f.ID == "config" && f.Level == site.LevelError {
			return term.Usagef("%s, and the configuration cannot be used", term.Count(faults, "fault"))
		}
	}
	return errors.New(term.Count(faults, "fault"))
}
