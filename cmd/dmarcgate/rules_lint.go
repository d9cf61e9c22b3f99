package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"dmarcgate/config"
	"dmarcgate/policy"
	"dmarcgate/term"
)

type rulesLintCmd struct {
	rulesFlags
	Strict bool `help:"Fail for warnings, too."`
}

// ruleRemark is what is wrong or doubtful in a rule.
type ruleRemark struct {
	Level string `json:"level"` // error or warning
	Code  string `json:"code,omitempty"`
	Rule  string `json:"rule,omitempty"`
	config.Problem
}

func (r ruleRemark) String() string {
	text := r.Problem.String()
	if r.Code != "" {
		text += " [" + r.Code + "]"
	}
	return r.Level + ": " + text
}

// remarks puts findings into the words of a file.
func ruleRemarks(findings []policy.Finding) []ruleRemark {
	out := []ruleRemark{}
	for _, f := range findings {
		level := "warning"
		if f.Level == policy.Error {
			level = "error"
		}
		out = append(out, ruleRemark{level, f.Code, f.Rule, config.Problem{File: f.File, Line: f.Line, Key: f.Key, Text: f.Text, Mend: f.Mend}})
	}
	return out
}

// errRules means that something was found, which has been printed.
type errRules struct {
	errors, warnings, red int
}

func (e errRules) Error() string {
	return fmt.Sprintf("the rules have %s, %s and %s", term.Count(e.errors, "error"), term.Count(e.warnings, "warning"), term.Count(e.red, "red test"))
}

// lint returns everything that is to be said about the rules in the files,
// errors first. set is nil with an error among them.
func (b *ruleBook) lint() (found []ruleRemark, err error) {
	b.set, err = loadRules(b.cfg, b.dir, b.opts)
	var broken *config.Errors
	switch {
	case errors.As(err, &broken):
		for _, p := range broken.Problems {
			found = append(found, ruleRemark{"error", cmp.Or(p.Code, config.CodeUnreadable), p.Rule, p})
		}
		return found, nil
	case err != nil:
		return nil, err
	}
	return ruleRemarks(b.set.Findings), nil
}

func (c *rulesLintCmd) Run(e *env) error {
	b, err := c.locate()
	if err != nil {
		return err
	}
	found, err := b.lint()
	if err != nil {
		return err
	}
	if err := c.print(e.stdout, b, found); err != nil {
		return err
	}
	return worst(found, c.Strict)
}

// worst is the error for what was found; warnings are one when strict.
func worst(found []ruleRemark, strict bool) error {
	var n errRules
	for _, f := range found {
		if f.Level == "error" {
			n.errors++
		} else {
			n.warnings++
		}
	}
	if n.errors > 0 || strict && n.warnings > 0 {
		return n
	}
	return nil
}

func (c *rulesLintCmd) print(w io.Writer, b *ruleBook, found []ruleRemark) error {
	if c.JSON {
		return json.NewEncoder(w).Encode(append([]ruleRemark{}, found...))
	}
	for _, f := range found {
		fmt.Fprintln(w, f)
	}
	if b.set == nil {
		return nil
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s, %s, hash %s\n", b.dir, term.Count(b.set.Rules.Len(), "rule"),
		term.Count(len(found), "warning"), term.Count(testsOf(b.set.Rules.List()), "test"), b.set.Rules.Hash())
	return err
}

func testsOf(rules []policy.Rule) int {
	n := 0
	for _, r := range rules {
		n += len(r.Tests)
	}
	return n
}
