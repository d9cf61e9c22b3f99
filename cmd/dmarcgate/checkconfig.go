package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"dmarcgate/config"
)

type checkConfigCmd struct {
	Config string `short:"c" default:"${config}" help:"Configuration file." type:"path"`
	JSON   bool   `help:"Print JSON."`
}

func (c *checkConfigCmd) Run(e *env) error {
	in, err := readInputs(c.Config)
	if c.JSON {
		return c.json(e, err)
	}
	if err != nil {
		return err
	}
	for _, l := range in.cfg.Listeners {
		fmt.Fprintf(e.stdout, "listener %s: %s, profile %s, quarantine %s\n", l.Name, l.Address, l.Profile, l.Quarantine)
	}
	if in.cfg.RulesDir != "" {
		fmt.Fprintf(e.stdout, "rules in %s: %d, hash %s\n", in.cfg.RulesDir, in.rules.Len(), in.rules.Hash())
	}
	_, err = fmt.Fprintf(e.stdout, "%s is good\n", c.Config)
	return err
}

func (c *checkConfigCmd) json(e *env, err error) error {
	out := struct {
		OK       bool             `json:"ok"`
		Problems []config.Problem `json:"problems"`
	}{OK: err == nil, Problems: []config.Problem{}}
	var broken *config.Errors
	if errors.As(err, &broken) {
		out.Problems = broken.Problems
	}
	if encErr := json.NewEncoder(e.stdout).Encode(out); encErr != nil {
		return encErr
	}
	return err
}
