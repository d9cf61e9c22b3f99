package main

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"dmarcgate/rules"
)

// rulesCmd is about the override rules.
type rulesCmd struct {
	List rulesListCmd `cmd:"" help:"List the rules with their use."`
	Show rulesShowCmd `cmd:"" help:"Show a rule: its text, what is said of it, its tests and its use."`
	Lint rulesLintCmd `cmd:"" help:"Say what is wrong or doubtful in the rules, with line and mend."`
	Test rulesTestCmd `cmd:"" help:"Run the tests of the rules, and show which stored messages each would touch."`
	Hits rulesHitsCmd `cmd:"" help:"Show how many messages each rule matched."`
	Add  rulesAddCmd  `cmd:"" help:"Print a rule for mail like a stored message, to be put into a file."`
}

// maxRuleDays is our limit for days, the longest that results can be kept.
const maxRuleDays = 3650

// rulesFlags choose the rules, and the store that tells of their use.
type rulesFlags struct {
	backendFlags
	Dir  string `help:"Directory of the rules, instead of rules_dir." type:"path"`
	JSON bool   `help:"Print JSON."`
}

func (f rulesFlags) options(e *env) rules.Options {
	return rules.Options{Config: f.Config, Dir: f.Dir, AllHosts: f.AllHosts, JSON: f.JSON, Warn: e.stderr}
}

// context ends with an interrupt.
func (f rulesFlags) context() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
}

type rulesListCmd struct {
	rulesFlags
	IDs bool `name:"ids" help:"Print the ids alone, one a line."`
}

func (c *rulesListCmd) Run(e *env) error {
	ctx, stop := c.context()
	defer stop()
	return rules.List(ctx, e.stdout, c.options(e), c.IDs)
}

type rulesShowCmd struct {
	rulesFlags
	ID string `arg:"" help:"Id of the rule."`
}

func (c *rulesShowCmd) Run(e *env) error {
	ctx, stop := c.context()
	defer stop()
	return rules.Show(ctx, e.stdout, c.options(e), c.ID)
}

type rulesLintCmd struct {
	rulesFlags
	Strict bool `help:"Fail for warnings, too."`
}

func (c *rulesLintCmd) Run(e *env) error { return rules.Lint(e.stdout, c.options(e), c.Strict) }

type rulesTestCmd struct {
	rulesFlags
	IDs     []string `arg:"" optional:"" name:"id" help:"Of these rules; of all without."`
	Days    int      `default:"7" help:"Of how many days stored messages are tried."`
	NoStore bool     `help:"Run the tests alone."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *rulesTestCmd) Validate() error {
	if c.Days < 1 || c.Days > maxRuleDays {
		return fmt.Errorf("--days: %d is not 1 to %d", c.Days, maxRuleDays)
	}
	return nil
}

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
	Since string `help:"Only from then on: 24h, 7d, 2026-11-22 or 2026-11-22T09:30:00Z."`
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
	FromQID string `name:"from-qid" required:"" help:"Queue id of a stored message that failed and is wanted." placeholder:"ID"`
	ID      string `help:"Id of the rule; made from what anchors it without."`
	Owner   string `help:"Who is responsible for the rule (default: the postmaster of authserv_id, or of the MTA)."`
	Days    int    `default:"90" help:"After how many days it expires."`

	AnyAuthor bool `help:"Make it about mail of any author domain that this source brings, not only that of the message."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *rulesAddCmd) Validate() error {
	if c.Days < 1 || c.Days > maxRuleDays {
		return fmt.Errorf("--days: %d is not 1 to %d", c.Days, maxRuleDays)
	}
	return nil
}

func (c *rulesAddCmd) Run(e *env) error {
	ctx, stop := c.context()
	defer stop()
	return rules.Add(ctx, e.stdout, c.options(e), rules.Wishes{
		QueueID: c.FromQID, ID: c.ID, Owner: c.Owner, Days: c.Days, AnyAuthor: c.AnyAuthor,
	})
}
