package main

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"dmarcgate/rules"
	"dmarcgate/term"
)

// rulesCmd is about the override rules.
type rulesCmd struct {
	List    rulesListCmd    `cmd:"" help:"List all rules with their matches."`
	Show    rulesShowCmd    `cmd:"" help:"Show text, findings, tests and matches of a rule."`
	Explain rulesExplainCmd `cmd:"" help:"Explain what a rule does and who can use it, with the messages that it lets in as tests."`
	Lint    rulesLintCmd    `cmd:"" help:"Report errors and warnings in the rules with line number and suggested fix."`
	Test    rulesTestCmd    `cmd:"" help:"Run the tests of the rules and show their impact on stored messages."`
	Hits    rulesHitsCmd    `cmd:"" help:"Count matched messages of each rule."`
	Add     rulesAddCmd     `cmd:"" help:"Propose a rule for mail like a stored message and print the rule."`
}

// maxRuleDays is our limit for days, the longest that results can be kept.
const maxRuleDays = 3650

// rulesFlags choose the rules, and the store that tells of their use.
type rulesFlags struct {
	backendFlags
	Dir  string `help:"Use the rules in this directory (default: rules_dir)." type:"path"`
	JSON bool   `help:"Print JSON."`
}

func (f rulesFlags) options(e *env) rules.Options {
	return rules.Options{Config: f.Config, Dir: f.Dir, AllHosts: f.AllHosts, JSON: f.JSON, Warn: e.stderr, Progress: term.NewProgress(e.stderr, f.JSON)}
}

// context ends with an interrupt.
func (f rulesFlags) context() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
}

type rulesListCmd struct {
	rulesFlags
	IDs bool `name:"ids" help:"Print only the ids, one per line."`
}

func (c *rulesListCmd) Run(e *env) error {
	ctx, stop := c.context()
	defer stop()
	return rules.List(ctx, e.stdout, c.options(e), c.IDs)
}

type rulesShowCmd struct {
	rulesFlags
	ID string `arg:"" help:"Show the rule with this id."`
}

func (c *rulesShowCmd) Run(e *env) error {
	ctx, stop := c.context()
	defer stop()
	return rules.Show(ctx, e.stdout, c.options(e), c.ID)
}

type rulesExplainCmd struct {
	rulesFlags
	ID string `arg:"" help:"Explain the rule with this id."`
}

func (c *rulesExplainCmd) Run(e *env) error { return c.options(e).Explain(e.stdout, c.ID) }

type rulesLintCmd struct {
	rulesFlags
	Strict  bool `help:"Exit with an error for warnings, too."`
	Remarks bool `help:"Print remarks, too: rules that let in one named party, as they are meant to."`
	DNS     bool `name:"dns" help:"Look up the anchors of the rules and the trust lists of the configuration in the DNS too."`
}

func (c *rulesLintCmd) Run(e *env) error {
	ctx, stop := c.context()
	defer stop()
	return rules.Lint(ctx, e.stdout, c.options(e), rules.Linting{Strict: c.Strict, Remarks: c.Remarks, DNS: c.DNS})
}

func checkRuleDays(days int) error {
	if days < 1 || days > maxRuleDays {
		return fmt.Errorf("--days: %d is not 1 to %d", days, maxRuleDays)
	}
	return nil
}

type rulesTestCmd struct {
	rulesFlags
	IDs     []string `arg:"" optional:"" name:"id" help:"Rules to test (default: all)."`
	Days    int      `default:"7" help:"Try the stored messages of this many days (default: ${default})."`
	NoStore bool     `help:"Run only the tests, without stored messages."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *rulesTestCmd) Validate() error { return checkRuleDays(c.Days) }

func (c *rulesTestCmd) Run(e *env) error {
	ctx, stop := c.context()
	defer stop()
	trial := rules.Trial{IDs: c.IDs, Days: c.Days}
	if c.NoStore {
		trial.Days = 0
	}
	return rules.Test(ctx, e.stdout, c.options(e), trial)
}

type rulesHitsCmd struct {
	rulesFlags
	Since string `help:"Count matches from this time on: 24h, 7d, 2026-11-22 or 2026-11-22T09:30:00Z (default: 24h, 7d and 30d)."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *rulesHitsCmd) Validate() error {
	_, err := parseWhen("since", c.Since, time.Now())
	return err
}

func (c *rulesHitsCmd) Run(e *env) error {
	ctx, stop := c.context()
	defer stop()
	since, err := parseWhen("since", c.Since, time.Now())
	if err != nil {
		return err
	}
	return rules.Hits(ctx, e.stdout, c.options(e), c.Since, since)
}

type rulesAddCmd struct {
	rulesFlags
	FromQID string `name:"from-qid" required:"" help:"Queue id of a failed message that should have been accepted." placeholder:"ID"`
	ID      string `help:"Rule id (default: derived from the anchor)."`
	Owner   string `help:"Set the owner of the rule (default: the postmaster of authserv_id, or of the MTA)."`
	Days    int    `default:"90" help:"Let the rule expire after this many days (default: ${default})."`

	AnyAuthor bool `help:"Match all author domains of this source (default: only the author domain of the message)."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *rulesAddCmd) Validate() error { return checkRuleDays(c.Days) }

func (c *rulesAddCmd) Run(e *env) error {
	ctx, stop := c.context()
	defer stop()
	return rules.Add(ctx, e.stdout, c.options(e), rules.Wishes{
		QueueID: c.FromQID, ID: c.ID, Owner: c.Owner, Days: c.Days, AnyAuthor: c.AnyAuthor,
	})
}
