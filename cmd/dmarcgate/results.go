package main

import "dmarcgate/control"

// resultsCmd is about the recorded results.
type resultsCmd struct {
	Status resultsStatusCmd `cmd:"" help:"Show how the store and PostgreSQL do, and which hosts there are."`
	Export exportCmd        `cmd:"" help:"Print results, one a line, as JSON or CSV."`
	Purge  purgeCmd         `cmd:"" help:"Delete the results of a domain, of clients, or from before a time."`
	Adopt  adoptCmd         `cmd:"" help:"Let a store that is a copy of another, and that PostgreSQL refuses, go on under an id of its own."`
}

type resultsStatusCmd struct {
	controlFlags
	AllHosts bool `help:"Only of all hosts, from PostgreSQL."`
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
