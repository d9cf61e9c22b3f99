package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"dmarcgate/config"
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
	Warnings []ruleRemark     `json:"warnings"`
	Rules    int              `json:"rules"`
	Tests    int              `json:"tests"`
	Maps     int              `json:"maps"`
}

func (c *checkConfigCmd) Run(e *env) error {
	in, err := readInputs(c.Config)
	if err == nil && c.Host {
		found := checkHost(in.cfg)
		in.host = found.warnings
		if len(found.problems) > 0 {
			err = &config.Errors{Problems: found.problems}
		}
	}
	if c.JSON {
		if encErr := json.NewEncoder(e.stdout).Encode(newChecked(in, err)); encErr != nil {
			return encErr
		}
	}
	if err != nil {
		return err
	}
	if !c.JSON {
		if err := c.print(e.stdout, in); err != nil {
			return err
		}
	}
	if n := len(in.warnings()); c.Strict && n > 0 { // errors have ended this before
		return fmt.Errorf("configuration and rules have %s", term.Count(n, "warning"))
	}
	return nil
}

func newChecked(in inputs, err error) checked {
	out := checked{OK: err == nil, Problems: []config.Problem{}, Warnings: append([]ruleRemark{}, in.warnings()...)}
	var broken *config.Errors
	if errors.As(err, &broken) {
		out.Problems = broken.Problems
	}
	if in.set != nil {
		out.Rules, out.Tests, out.Maps = in.rules.Len(), testsOf(in.rules.List()), len(in.set.Maps)
	}
	return out
}

func (c *checkConfigCmd) print(w io.Writer, in inputs) error {
	for _, l := range in.cfg.Listeners {
		fmt.Fprintf(w, "listener %s: %s, profile %s, quarantine %s\n", l.Name, l.Address, l.Profile, l.Quarantine)
	}
	for _, f := range in.warnings() {
		fmt.Fprintln(w, f)
	}
	if in.set != nil {
		fmt.Fprintf(w, "rules in %s: %d, hash %s; %s, %s, %s\n", in.cfg.RulesDir, in.rules.Len(), in.rules.Hash(),
			term.Count(testsOf(in.rules.List()), "test"), term.Count(len(in.set.Maps), "map"), term.Count(len(in.findings()), "warning"))
	}
	_, err := fmt.Fprintf(w, "%s is good\n", c.Config)
	return err
}
