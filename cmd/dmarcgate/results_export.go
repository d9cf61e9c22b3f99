package main

import (
	"context"
	"errors"
	"os/signal"
	"syscall"
	"time"

	"dmarcgate/results"
	"dmarcgate/store"
)

// exportCmd prints results as they are read: it needs no more memory for a
// year than for a day.
type exportCmd struct {
	backendFlags
	meantFlags
	Since  string `help:"Export results from this time on: 24h, 7d, 2026-11-22 or 2026-11-22T09:30:00Z (default: the oldest)."`
	Until  string `help:"Export results before this time, in the same forms (default: now)."`
	Format string `enum:"jsonl,csv" default:"jsonl" help:"Set the format: jsonl, with all fields, or csv (default: ${default})."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *exportCmd) Validate() error {
	_, err := c.span(time.Now())
	return errors.Join(err, c.meantFlags.Validate())
}

func (c *exportCmd) span(now time.Time) (s results.Span, err error) {
	if s.From, err = parseWhen("since", c.Since, now); err == nil {
		s.To, err = parseWhen("until", c.Until, now)
	}
	return s, err
}

func (c *exportCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	span, err := c.span(time.Now())
	if err != nil {
		return err
	}
	meant, err := c.purge()
	if err != nil {
		return err
	}
	rows, err := c.open(ctx, e)
	if err != nil {
		return err
	}
	defer rows.Close()
	return store.Export(ctx, e.stdout, rows, store.ExportOptions{Span: span, Meant: meant, CSV: c.Format == "csv", Progress: e.progress(false)})
}
