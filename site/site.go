package site

import (
	"fmt"
	"log/slog"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/config"
	"dmarcgate/config/rulefile"
	"dmarcgate/policy"
)

// Site is a configuration, with those of its parts that a command has asked for,
// checked and ready to use. It does not change: a reload makes another one.
type Site struct {
	Config     *config.Config
	Rules      policy.Rules   // none unless loaded
	RuleSet    *rulefile.Set  // of Rules, with what is to be said about them; nil without rules_dir
	Suffixes   dmarc.Suffixes // nil with discovery by tree walk
	SuffixList dmarc.Suffixes // the same, also when it only serves to compare
	Started    *config.Config // of the start of the daemon, whose values need a restart to change; nil is Config
}

// Parts are what a command needs besides the configuration file. What it does not
// need is not read, so that a fault there does not disable it.
type Parts uint8

// The parts.
const (
	SuffixPart   Parts = 1 << iota // the public suffix list, where the configuration uses one
	RulePart                       // the rules, their maps and their tests
	PostgresPart                   // the settings of PostgreSQL are checked; nothing is asked

	AllParts = SuffixPart | RulePart | PostgresPart
)

// How the rules are read, beside the parts.
const (
	DemoteRules Parts = 1 << (iota + 4) // as rulefile.Options.Demote says: for the start of the daemon, and for what shows its decisions
	CopiedRules                         // as rulefile.Options.Copied says: for rules of another host, or that are tried
)

// Load reads the configuration file at path and these parts. A file that is
// broken is an error: see LoadPartly.
func Load(path string, parts Parts) (Site, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return Site{}, err
	}
	return With(cfg, parts)
}

// With adds these parts to a configuration.
func With(cfg *config.Config, parts Parts) (Site, error) {
	s, err := Site{Config: cfg}, error(nil)
	if parts&PostgresPart != 0 && cfg.Store.Postgres.URL != "" {
		if err := PostgresConfig(cfg).Check(); err != nil {
			return Site{}, fmt.Errorf("store.postgres.url: %w", err)
		}
	}
	if parts&RulePart != 0 && cfg.RulesDir != "" {
		o := RuleOptions(cfg)
		o.Demote, o.Copied = parts&DemoteRules != 0, parts&CopiedRules != 0
		if s.RuleSet, err = LoadRules(cfg, cfg.RulesDir, o); err != nil {
			return Site{}, err
		}
		s.Rules = s.RuleSet.Rules
	}
	if d := cfg.Discovery; parts&SuffixPart != 0 && (d.Method == "psl" || d.Compare) {
		if s.SuffixList, err = suffixList(d.PSLFile); err != nil {
			return Site{}, err
		}
		if d.Method == "psl" {
			s.Suffixes = s.SuffixList
		}
	}
	return s, nil
}

// suffixList is the list in a file, which is read again when it changes, or the
// one built in.
func suffixList(path string) (dmarc.Suffixes, error) {
	if path == "" {
		return dmarc.PublicSuffix(), nil
	}
	return dmarc.OpenSuffixes(path, time.Now, func(err error) {
		if err != nil {
			slog.Warn("invalid public suffix list; previous list stays active", "file", path, "err", err)
			return
		}
		slog.Info("public suffix list reloaded", "file", path)
	})
}
