package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"dmarcgate/config"
	"dmarcgate/message"
	"dmarcgate/reports"
	"dmarcgate/results"
	"dmarcgate/store"
	"dmarcgate/term"
)

// meantFlags say which results are meant. All that are given must hold.
type meantFlags struct {
	Domain string `help:"Select results with this domain or a domain below it in any field."`
	Client string `help:"Select results of clients in this address or network." placeholder:"ADDR"`
}

// Validate is called by kong; what it finds is a usage error.
func (f *meantFlags) Validate() error {
	_, err := f.purge()
	return err
}

// purge returns the flags in the words of package results.
func (f *meantFlags) purge() (p results.Purge, err error) {
	if f.Domain != "" {
		if p.Domain, err = message.ParseDomain(f.Domain); err != nil {
			return p, fmt.Errorf("--domain: %q is not a name: %w", f.Domain, err)
		}
	}
	if f.Client != "" {
		p.Client, err = parseClient(f.Client)
	}
	return p, err
}

type purgeCmd struct {
	controlFlags
	meantFlags
	Before   string `help:"Select results older than this: 30d, 2026-11-22 or 2026-11-22T09:30:00Z."`
	Postgres bool   `help:"Purge PostgreSQL for all hosts. Purge each host first, since waiting rows would arrive later."`
	Yes      bool   `short:"y" help:"Skip the question for confirmation."`
	DryRun   bool   `help:"Count matching results, but delete nothing."`
	JSON     bool   `help:"Print JSON."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *purgeCmd) Validate() error {
	p, err := c.purge(time.Now())
	if err == nil && p.Empty() {
		err = errors.New("give --domain, --client or --before: everything is deleted by removing the file")
	}
	return err
}

func (c *purgeCmd) purge(now time.Time) (results.Purge, error) {
	p, err := c.meantFlags.purge()
	if err == nil {
		p.Before, err = parseWhen("before", c.Before, now)
	}
	return p, err
}

func (c *purgeCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	p, err := c.purge(time.Now())
	if err != nil {
		return err
	}
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	if err := store.Purge(ctx, e.stdout, e.stderr, cfg, store.PurgeOptions{
		Socket: c.Socket, Meant: p, Postgres: c.Postgres, DryRun: c.DryRun, Yes: c.Yes, JSON: c.JSON, Ask: e.ask, Progress: term.NewProgress(e.stderr, c.JSON),
	}); err != nil || c.DryRun {
		return err
	}
	return reports.Purge(ctx, e.stderr, cfg, c.Socket, p, c.Postgres)
}
