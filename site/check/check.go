// Package check tells what is wrong with a configuration file, its rules and this
// host before the daemon starts. It reads files, and makes and changes nothing.
package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"dmarcgate/config"
	"dmarcgate/policy/sum"
	"dmarcgate/site"
	"dmarcgate/term"
)

// Options are those of Config.
type Options struct {
	Strict bool // fail for warnings, too
	JSON   bool // print JSON, not text
	// Host finds what of this host would stop the daemon, and what else is to be
	// said about it; nil where the daemon runs on another one.
	Host func(*config.Config) (stops, warnings []config.Problem)
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

// Found is what is wrong with a configuration file, its rules and this host.
type Found struct {
	site.Site
	Err      error         // of what cannot be used: a *config.Errors where the file or the host is wrong
	Warnings []site.Remark // of what can be used
}

// Find checks the configuration file at path with its rules, and the host when
// o.Host is set.
func Find(path string, o Options) Found {
	var host []config.Problem // warnings about it
	parts := site.AllParts
	if o.Host == nil {
		parts |= site.CopiedRules
	}
	in, err := site.Load(path, parts)
	if err == nil && o.Host != nil {
		var stops []config.Problem
		if stops, host = o.Host(in.Config); len(stops) > 0 {
			err = &config.Errors{Problems: stops}
		}
	}
	return Found{Site: in, Err: err, Warnings: warningsOf(in, host)}
}

// Config checks the configuration file at path with its rules, and prints what is
// wrong and what it has. Warnings are an error only with Strict. What is wrong is
// returned as an error, with JSON as well.
func Config(out io.Writer, path string, o Options) error {
	found := Find(path, o)
	if o.JSON {
		if encErr := json.NewEncoder(out).Encode(newChecked(found)); encErr != nil {
			return encErr
		}
	}
	if found.Err != nil {
		return found.Err
	}
	if !o.JSON {
		if err := tell(out, path, found); err != nil {
			return err
		}
	}
	if n := len(found.Warnings); o.Strict && n > 0 { // errors have ended this before
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
			all = append(all, site.Remark{Level: site.LevelWarning, Problem: p})
		}
	}
	return append(all, in.Findings()...)
}

func newChecked(in Found) checked {
	out := checked{OK: in.Err == nil, Problems: []config.Problem{}, Warnings: append([]site.Remark{}, in.Warnings...)}
	var broken *config.Errors
	if errors.As(in.Err, &broken) {
		out.Problems = broken.Problems
	}
	if in.RuleSet != nil {
		out.Rules, out.Tests, out.Maps = in.Rules.Len(), in.RuleSet.Tests, len(in.RuleSet.Maps)
	}
	return out
}

// tell prints a configuration that can be used.
func tell(w io.Writer, path string, in Found) error {
	for _, l := range in.Config.Listeners {
		fmt.Fprintf(w, "listener %s: %s, profile %s, quarantine %s\n", l.Name, l.Address, l.Profile, l.Quarantine)
	}
	for _, f := range in.Warnings {
		fmt.Fprintln(w, f)
	}
	if in.RuleSet != nil {
		fmt.Fprintf(w, "rules in %s: %d, hash %s; %s, %s, %s\n", in.Config.RulesDir, in.Rules.Len(), sum.Rules(in.Rules),
			term.Count(in.RuleSet.Tests, "test"), term.Count(len(in.RuleSet.Maps), "map"), term.Count(len(in.Findings()), "warning"))
	}
	_, err := fmt.Fprintf(w, "%s is good\n", path)
	return err
}
