package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"dmarcgate/config"
	"dmarcgate/daemon/system"
	"dmarcgate/site"
	"dmarcgate/term"
)

type checkConfigCmd struct {
	Config string `short:"c" default:"${config}" help:"Configuration file." type:"path"`
	Strict bool   `help:"Fail for warnings, too."`
	Host   bool   `help:"Check the users and directories of this host, too; --no-host where the daemon runs on another one." default:"true" negatable:""`
	JSON   bool   `help:"Print JSON."`
}

// checked is what check-config prints.
type checked struct {
	OK       bool             `json:"ok"` // it can be used
	Problems []config.Problem `json:"problems"`
	Warnings []site.Remark    `json:"warnings"`
	Rules    int              `json:"rules"`
	Tests    int              `json:"tests"`
	Maps     int              `json:"maps"`
}

func (c *checkConfigCmd) Run(e *env) error {
	var aboutHost []config.Problem // warnings
	in, err := site.Load(c.Config, site.AllParts)
	if err == nil && c.Host {
		found := system.Check(in.Config)
		aboutHost = found.Warnings
		if len(found.Problems) > 0 {
			err = &config.Errors{Problems: found.Problems}
		}
	}
	warned := warningsOf(in, aboutHost)
	if c.JSON {
		if encErr := json.NewEncoder(e.stdout).Encode(newChecked(in, warned, err)); encErr != nil {
			return encErr
		}
	}
	if err != nil {
		return err
	}
	if !c.JSON {
		if err := c.print(e.stdout, in, warned); err != nil {
			return err
		}
	}
	if n := len(warned); c.Strict && n > 0 { // errors have ended this before
		return fmt.Errorf("configuration and rules have %s", term.Count(n, "warning"))
	}
	return nil
}

// warningsOf are those of the configuration file and the host, then those of the
// rules.
func warningsOf(in site.Site, host []config.Problem) []site.Remark {
	var all []site.Remark
	if in.Config != nil {
		for _, p := range slices.Concat(in.Config.Warnings(), host) {
			all = append(all, site.Remark{Level: "warning", Problem: p})
		}
	}
	return append(all, in.Findings()...)
}

func newChecked(in site.Site, warned []site.Remark, err error) checked {
	out := checked{OK: err == nil, Problems: []config.Problem{}, Warnings: append([]site.Remark{}, warned...)}
	var broken *config.Errors
	if errors.As(err, &broken) {
		out.Problems = broken.Problems
	}
	if in.RuleSet != nil {
		out.Rules, out.Tests, out.Maps = in.Rules.Len(), in.RuleSet.Tests, len(in.RuleSet.Maps)
	}
	return out
}

func (c *checkConfigCmd) print(w io.Writer, in site.Site, warned []site.Remark) error {
	for _, l := range in.Config.Listeners {
		fmt.Fprintf(w, "listener %s: %s, profile %s, quarantine %s\n", l.Name, l.Address, l.Profile, l.Quarantine)
	}
	for _, f := range warned {
		fmt.Fprintln(w, f)
	}
	if in.RuleSet != nil {
		fmt.Fprintf(w, "rules in %s: %d, hash %s; %s, %s, %s\n", in.Config.RulesDir, in.Rules.Len(), in.Rules.Hash(),
			term.Count(in.RuleSet.Tests, "test"), term.Count(len(in.RuleSet.Maps), "map"), term.Count(len(in.Findings()), "warning"))
	}
	_, err := fmt.Fprintf(w, "%s is good\n", c.Config)
	return err
}
