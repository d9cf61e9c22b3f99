package main

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"dmarcgate/store"
)

// topCmd asks the recorded results what stands out.
type topCmd struct {
	What string `arg:"" enum:"failing,overridden,new-senders,malformed" help:"Show this ranking: failing, overridden, new-senders or malformed."`
	backendFlags
	Since string `default:"24h" help:"Count messages from this time on: 24h, 7d, 2026-11-22 or 2026-11-22T09:30:00Z (default: ${default})."`
	Limit int    `short:"n" default:"20" help:"Print this many lines at most (default: ${default})."`
	JSON  bool   `help:"Print JSON."`
}

// maxTop is how many lines one question may have.
const maxTop = 10_000

// Validate is called by kong; what it finds is a usage error.
func (c *topCmd) Validate() error {
	if c.Limit < 1 || c.Limit > maxTop {
		return fmt.Errorf("--limit: %d is not 1 to %d", c.Limit, maxTop)
	}
	_, err := parseWhen("since", c.Since, time.Now())
	return err
}

func (c *topCmd) Run(e *env) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	since, err := parseWhen("since", c.Since, time.Now())
	if err != nil {
		return err
	}
	rows, err := c.open(ctx, e)
	if err != nil {
		return err
	}
	defer rows.Close()
	return store.Top(ctx, e.stdout, rows, store.TopOptions{What: c.What, Since: since, Limit: c.Limit, JSON: c.JSON})
}
