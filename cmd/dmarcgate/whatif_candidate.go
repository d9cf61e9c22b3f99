package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/site"
)

// candidate is the settings that what-if tries, by listener.
type candidate struct {
	listeners map[string]*judge
	words     string // what is tried
	readiness bool   // whether to report what has to be done before it is used
	book      *ruleBook
}

// candidate reads what is to be tried. The configuration comes back, too: it
// says where the store is.
func (c *whatIfCmd) candidate() (*candidate, *config.Config, error) {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return nil, nil, err
	}
	if c.Rules != "" {
		cfg.RulesDir = c.Rules
	}
	in, err := site.With(cfg, site.AllParts)
	if err != nil {
		return nil, nil, err
	}
	tried := &candidate{
		listeners: make(map[string]*judge, len(cfg.Listeners)), words: c.words(cfg),
		readiness: c.Profile != "" && c.Profile != policy.Monitor.String(),
		book:      &ruleBook{cfg: cfg, dir: cfg.RulesDir, opts: site.RuleOptions(cfg), set: in.RuleSet},
	}
	for _, l := range cfg.Listeners {
		if c.Profile != "" && (c.Listener == "" || c.Listener == l.Name) {
			if err := l.Profile.UnmarshalText([]byte(c.Profile)); err != nil {
				return nil, nil, err
			}
		}
		tried.listeners[l.Name] = newJudge(in.Policy(l), in.SuffixList).evaluating(cfg, l)
		tried.listeners[l.Name].noARC = c.WithoutARC
	}
	if c.Listener != "" && tried.listeners[c.Listener] == nil {
		return nil, nil, fmt.Errorf("the configuration has no listener %q: there is %s",
			c.Listener, strings.Join(slices.Sorted(maps.Keys(tried.listeners)), ", "))
	}
	return tried, cfg, nil
}

// words says what is tried.
func (c *whatIfCmd) words(cfg *config.Config) string {
	words := "the configuration " + c.Config
	if c.Rules != "" {
		words += ", rules of " + cfg.RulesDir
	}
	switch {
	case c.Profile == "":
	case c.Listener == "":
		words += ", profile " + c.Profile
	default:
		words += fmt.Sprintf(", profile %s for listener %s", c.Profile, c.Listener)
	}
	if c.WithoutARC {
		words += ", as if no message had an ARC chain"
	}
	return words
}
