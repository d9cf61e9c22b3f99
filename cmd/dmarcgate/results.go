package main

import "dmarcgate/control"

// resultsCmd is about the recorded results.
type resultsCmd struct {
	Status resultsStatusCmd `cmd:"" help:"Show status of store, PostgreSQL and hosts."`
	Export exportCmd        `cmd:"" help:"Export results as JSON or CSV, one per line."`
	Purge  purgeCmd         `cmd:"" help:"Delete results by domain, client or age."`
	Adopt  adoptCmd         `cmd:"" help:"Give a copied store, refused by PostgreSQL, a new store id."`
}

type resultsStatusCmd struct {
	controlFlags
	AllHosts bool `help:"Show only the hosts in PostgreSQL (default: this host and all hosts)."`
	JSON     bool `help:"Print JSON."`
}

func (c *resultsStatusCmd) Run(e *env) error {
	return control.Results(e.stdout, e.stderr, control.ResultsOptions{Place: c.place(), AllHosts: c.AllHosts, JSON: c.JSON})
}

type adoptCmd struct {
	controlFlags
}

func (c *adoptCmd) Run(e *env) error {
	s, err := c.session(e, false)
	if err != nil {
		return err
	}
	return s.Adopt()
}
