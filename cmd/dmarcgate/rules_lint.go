package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"dmarcgate/config"
	"dmarcgate/config/rulefile"
	"dmarcgate/policy"
	"dmarcgate/site"
	"dmarcgate/term"
)

type rulesLintCmd struct {
	rulesFlags
	Strict bool `help:"Fail for warnings, too."`
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
func (b *ruleBook) lint() (found []site.Remark, err error) {
	b.set, err = site.LoadRules(b.cfg, b.dir, b.opts)
	var broken *config.Errors
	switch {
	case errors.As(err, &broken):
		for _, p := range broken.Problems {
			found = append(found, site.Remark{Level: "error", Code: cmp.Or(p.Code, rulefile.CodeUnreadable), Rule: p.Rule, Problem: p})
		}
		return found, nil
	case err != nil:
		return nil, err
	}
	return site.Remarks(b.set.Findings), nil
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
func worst(found []site.Remark, strict bool) error {
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

func (c *rulesLintCmd) print(w io.Writer, b *ruleBook, found []site.Remark) error {
	if c.JSON {
		return json.NewEncoder(w).Encode(append([]site.Remark{}, found...))
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
