package whatif

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/site"
)

// Candidate is the settings that are tried, by listener.
type Candidate struct {
	listeners map[string]*evaluator
	words     string // what is tried
	readiness bool   // whether to report what has to be done before it is used
	site      site.Site
}

// Load reads what is to be tried. The error is that of the configuration or the
// rules, or says that there is no such listener.
func Load(o Options) (*Candidate, error) {
	cfg, err := config.Load(o.Config)
	if err != nil {
		return nil, err
	}
	parts := site.AllParts | site.CopiedRules | site.DemoteRules
	if o.Rules != "" { // which a reload would refuse
		cfg.RulesDir, parts = o.Rules, parts&^site.DemoteRules
	}
	in, err := site.With(cfg, parts)
	if err != nil {
		return nil, err
	}
	tried := &Candidate{
		listeners: make(map[string]*evaluator, len(cfg.Listeners)), words: o.words(cfg),
		readiness: o.Profile != "" && o.Profile != policy.Monitor.String(), site: in,
	}
	for _, l := range cfg.Listeners {
		if o.Profile != "" && (o.Listener == "" || o.Listener == l.Name) {
			if err := l.Profile.UnmarshalText([]byte(o.Profile)); err != nil {
				return nil, err
			}
		}
		tried.listeners[l.Name] = newEvaluator(in.Policy(l), in.SuffixList).evaluating(cfg, l)
		tried.listeners[l.Name].noARC = o.WithoutARC
	}
	if o.Listener != "" && tried.listeners[o.Listener] == nil {
		return nil, fmt.Errorf("the configuration has no listener %q: there is %s",
			o.Listener, strings.Join(slices.Sorted(maps.Keys(tried.listeners)), ", "))
	}
	return tried, nil
}

// Decide decides a stored message again. doubt is why the decision could be
// another one; "" is sure.
func (c *Candidate) Decide(row *results.Row) (d policy.Decision, doubt string) {
	j := c.listeners[row.Facts.Listener]
	if j == nil {
		return policy.Decision{}, noListener(row.Facts.Listener)
	}
	r := j.rule(row)
	return r.Decision, r.doubt
}

// noListener is the doubt about a message of a listener that is gone.
func noListener(name string) string { return "no listener " + name }

// words says what is tried.
func (o Options) words(cfg *config.Config) string {
	words := "the configuration " + o.Config
	if o.Rules != "" {
		words += ", rules of " + cfg.RulesDir
	}
	switch {
	case o.Profile == "":
	case o.Listener == "":
		words += ", profile " + o.Profile
	default:
		words += fmt.Sprintf(", profile %s for listener %s", o.Profile, o.Listener)
	}
	if o.WithoutARC {
		words += ", as if no message had an ARC chain"
	}
	return words
}
