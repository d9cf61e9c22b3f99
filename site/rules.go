package site

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"dmarcgate/config"
	"dmarcgate/config/rulefile"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/dbread"
	"dmarcgate/term"
)

// LoadRules reads the rules of a directory. That there is no such directory is an
// error of the line of cfg that names it, or else a term.UsageError about --dir.
// cfg may be nil.
func LoadRules(cfg *config.Config, dir string, opts rulefile.Options) (*rulefile.Set, error) {
	set, err := rulefile.Load(dir, opts)
	if !errors.Is(err, fs.ErrNotExist) {
		return set, err
	}
	if _, statErr := os.Stat(dir); statErr == nil { // a file that a rule names
		return nil, err
	}
	if cfg == nil || dir != cfg.RulesDir {
		return nil, term.Usagef("--dir: there is no directory %s", dir)
	}
	return nil, cfg.Problem("rules_dir", "there is no directory "+dir, "create the directory, or remove the line")
}

// RuleOptions are what rules are checked by, besides their files: the settings
// of cfg, the time, and when each rule matched last, as far as the store of this
// host can be read.
func RuleOptions(cfg *config.Config) rulefile.Options {
	o := rulefile.OptionsOf(cfg, time.Now())
	if use, err := ruleUse(cfg); err == nil {
		o.LastMatch = make(map[string]time.Time, len(use))
		for _, u := range use {
			o.LastMatch[u.Rule] = u.Last
		}
	}
	return o
}

// ruleUseTimeout is how long the store may take to tell of the use of rules. It
// reads one small table.
const ruleUseTimeout = 10 * time.Second

// ruleUse asks the store of this host, which the daemon may have open, when
// rules matched. Where there is none yet, or none that can be read, nothing is
// known of their use.
func ruleUse(cfg *config.Config) ([]results.RuleUse, error) {
	if cfg.Store.Durability == "off" {
		return nil, ErrNoResults
	}
	ctx, cancel := context.WithTimeout(context.Background(), ruleUseTimeout)
	defer cancel()
	r, err := dbread.Open(ctx, cfg.Store.Path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.RuleUse(ctx)
}

// Findings are the warnings of the active rules: remarks, which say what a rule is
// for, are those of rules lint alone.
func (in Site) Findings() []Remark {
	if in.RuleSet == nil {
		return nil
	}
	return slices.DeleteFunc(Remarks(in.RuleSet.Findings), func(r Remark) bool { return r.Level == LevelRemark })
}

// Demoted are the errors of rules that are not enforced because of them.
func (in Site) Demoted() []Remark {
	if in.RuleSet == nil {
		return nil
	}
	return Remarks(in.RuleSet.Demoted)
}

// Levels of remarks.
const (
	LevelError   = "error"
	LevelWarning = "warning"
	LevelRemark  = "remark"
)

var levels = map[policy.Level]string{policy.Error: LevelError, policy.Warning: LevelWarning, policy.Remark: LevelRemark}

// Remark is an error, a warning or a remark about a rule, or in the configuration.
type Remark struct {
	Level string `json:"level"` // see LevelError and the others
	Code  string `json:"code,omitempty"`
	Rule  string `json:"rule,omitempty"`
	Spoof string `json:"spoof,omitempty"` // a [[rule.test]] with a message that shows it, where rules lint and explain have one
	config.Problem
}

// Remarks puts findings into the words of a file.
func Remarks(findings []policy.Finding) []Remark {
	out := []Remark{}
	for _, f := range findings {
		out = append(out, Remark{Level: levels[f.Level], Code: f.Code, Rule: f.Rule, Problem: config.Problem{File: f.File, Line: f.Line, Key: f.Key, Text: f.Text, Fix: f.Fix}})
	}
	return out
}

// String is a remark on one line, which begins with its level.
func (r Remark) String() string {
	text := r.Problem.String()
	if r.Code != "" {
		text += " [" + r.Code + "]"
	}
	return r.Level + ": " + text
}
