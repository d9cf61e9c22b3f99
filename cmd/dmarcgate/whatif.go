package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"dmarcgate/results"
	"dmarcgate/rules"
	"dmarcgate/whatif"
)

// whatIfCmd decides stored messages again, under settings that are not active.
type whatIfCmd struct {
	Config   string `short:"c" default:"${config}" type:"path" help:"Try this configuration on its own store (default: ${default})."`
	Rules    string `type:"path" placeholder:"DIR" help:"Try the rules in this directory (default: rules_dir of the configuration)."`
	Profile  string `enum:",monitor,conformant,strict" default:"" placeholder:"PROFILE" help:"Try this profile: monitor, conformant or strict (default: the configured profiles)."`
	Listener string `help:"Apply --profile to this listener (default: all)."`

	WithoutARC bool `name:"without-arc" help:"Decide as if no message had an ARC chain."`

	Days     *int   `xor:"begin" placeholder:"7" help:"Decide the stored messages of this many days (default: 7)."`
	Since    string `xor:"begin" help:"Decide messages from this time on, instead of --days: 24h, 7d, 2026-11-22 or 2026-11-22T09:30:00Z."`
	Until    string `help:"Decide messages before this time, in the same forms (default: now)."`
	AllHosts bool   `help:"Read the messages of all hosts from PostgreSQL (default: this host only)."`

	FailIf []string `sep:"none" placeholder:"COND" help:"Exit with 1 if this condition holds, for example relaxed>0.1% or tightened>=100. Quantities: changed, relaxed, tightened, rejected, quarantined, deferred, cannot_tell. Repeatable."`
	Limit  int      `short:"n" default:"10" help:"Print this many lines of each table at most (default: ${default})."`
	JSON   bool     `help:"Print JSON with all lines."`
	Quiet  bool     `short:"q" help:"Hide the progress."`
}

const (
	defaultDays = 7
	maxDays     = 36_500 // a century: longer than any store
)

// Validate is called by kong; what it finds is a usage error.
func (c *whatIfCmd) Validate() error {
	var errs []error
	if c.Limit < 1 || c.Limit > maxTop {
		errs = append(errs, fmt.Errorf("--limit: %d is not 1 to %d", c.Limit, maxTop))
	}
	if c.Days != nil && (*c.Days < 1 || *c.Days > maxDays) {
		errs = append(errs, fmt.Errorf("--days: %d is not 1 to %d", *c.Days, maxDays))
	}
	if c.Listener != "" && c.Profile == "" {
		errs = append(errs, errors.New("--listener needs --profile"))
	}
	_, err := c.span(time.Now())
	_, bad := c.conditions()
	return errors.Join(append(errs, err, bad)...)
}

// span is the messages that are meant. It ends now, so that a daemon which goes
// on recording is not chased.
func (c *whatIfCmd) span(now time.Time) (s results.Span, err error) {
	days := defaultDays
	if c.Days != nil {
		days = *c.Days
	}
	s = results.Span{From: now.AddDate(0, 0, -days), To: now}
	if c.Since != "" {
		if s.From, err = parseWhen("since", c.Since, now); err != nil {
			return s, err
		}
	}
	if c.Until != "" {
		s.To, err = parseWhen("until", c.Until, now)
	}
	if err == nil && !s.From.Before(s.To) {
		err = errors.New("--until: nothing lies between it and the beginning")
	}
	return s, err
}

func (c *whatIfCmd) conditions() ([]whatif.Condition, error) {
	var list []whatif.Condition
	var errs []error
	for _, text := range c.FailIf {
		cond, err := whatif.ParseCondition(text)
		list, errs = append(list, cond), append(errs, err)
	}
	return list, errors.Join(errs...)
}

func (c *whatIfCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	span, err := c.span(time.Now())
	if err != nil {
		return err
	}
	conditions, err := c.conditions()
	if err != nil {
		return err
	}
	return whatif.Run(ctx, e.stdout, e.stderr, whatif.Options{
		Config: c.Config, Rules: c.Rules, Profile: c.Profile, Listener: c.Listener, WithoutARC: c.WithoutARC,
		Span: span, AllHosts: c.AllHosts, Conditions: conditions, Limit: c.Limit, JSON: c.JSON, Quiet: c.Quiet,
		Propose: rules.ProposeForForwarders,
	})
}
