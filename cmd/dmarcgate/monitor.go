package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/term"
)

// monitorCmd is the way back to safety while mail is refused that must not be.
type monitorCmd struct {
	controlFlags
	For  config.Duration `help:"Enforce nothing for so long, as 30m or 2d: from 1m to 7d. It ends by itself." xor:"order" required:"" placeholder:"DURATION"`
	End  bool            `help:"Enforce the profiles of the configuration again." xor:"order" required:""`
	JSON bool            `help:"Print JSON."`
}

// Validate is called by kong; what it finds is a usage error.
func (c *monitorCmd) Validate() error {
	if c.End {
		return nil
	}
	if err := admin.CheckMonitor(c.For.Std()); err != nil {
		return fmt.Errorf("--for %s: %w", c.For, err)
	}
	return nil
}

func (c *monitorCmd) Run(e *env) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	if c.End {
		return c.end(ctx, e, client)
	}
	m, err := client.Watch(ctx, operator(), c.For.Std())
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(m)
	}
	fmt.Fprintf(e.stdout, "every listener only watches until %s; dmarcgate monitor --end ends it earlier\n", term.Stamp(m.Until))
	if m.Warning != "" {
		fmt.Fprintf(e.stdout, "warning: %s\n", term.Printable(m.Warning))
	}
	return nil
}

func (c *monitorCmd) end(ctx context.Context, e *env, client *admin.Client) error {
	m, err := client.Enforce(ctx, operator())
	switch {
	case err != nil:
		return err
	case c.JSON:
		return json.NewEncoder(e.stdout).Encode(m)
	case m == nil:
		fmt.Fprintln(e.stdout, "dmarcgate monitor was not active; the profiles are those of the configuration")
	default:
		fmt.Fprintln(e.stdout, "the profiles of the configuration are active again")
	}
	return nil
}

// operator is who gives an order, as far as the environment says: with sudo the
// kernel knows only root.
func operator() string {
	return cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("LOGNAME"), os.Getenv("USER"))
}
