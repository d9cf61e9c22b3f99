package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/policy"
)

// candidate is the settings that what-if tries, by listener.
type candidate struct {
	listeners map[string]*judge
	words     string // what is tried
	readiness bool   // whether to report what has to be done before it is used
}

// judge decides the messages of one listener.
type judge struct {
	sum      string // of the settings; never ""
	again    func(policy.Facts) (policy.Decision, bool)
	evidence func(policy.Facts) policy.Evidence // what conformant would go by, rules aside
	suffixes dmarc.Suffixes
}

// newJudge makes a judge of settings. suffixes gives organizational domains of
// names that nobody has looked up; nil is the list built in.
func newJudge(s policy.Settings, suffixes dmarc.Suffixes) *judge {
	if suffixes == nil {
		suffixes = dmarc.PublicSuffix()
	}
	weigher := s
	weigher.Profile, weigher.Rules, weigher.Observed = policy.Conformant, policy.Rules{}, 0
	return &judge{
		sum: s.Sum(), again: s.Again, suffixes: suffixes,
		evidence: func(f policy.Facts) policy.Evidence { return weigher.Decide(f).Evidence },
	}
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
	in, err := withFiles(cfg)
	if err != nil {
		return nil, nil, err
	}
	tried := &candidate{
		listeners: make(map[string]*judge, len(cfg.Listeners)), words: c.words(cfg),
		readiness: c.Profile != "" && c.Profile != policy.Monitor.String(),
	}
	for _, l := range cfg.Listeners {
		if c.Profile != "" && (c.Listener == "" || c.Listener == l.Name) {
			l.Profile = c.Profile
		}
		tried.listeners[l.Name] = newJudge(in.policy(l), in.list)
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
	return words
}
