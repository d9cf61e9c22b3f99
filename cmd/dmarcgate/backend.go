package main

import (
	"context"
	"fmt"
	"time"

	"dmarcgate/config"
	"dmarcgate/site"
)

// backendFlags choose what to read.
type backendFlags struct {
	Config   string `short:"c" default:"${config}" help:"Use this configuration file (default: ${default})." type:"path"`
	AllHosts bool   `help:"Read the results of all hosts from PostgreSQL (default: this host only)."`
}

func (f backendFlags) open(ctx context.Context, e *env) (site.Store, error) {
	cfg, err := site.LoadPartly(e.stderr, f.Config)
	if err != nil {
		return nil, err
	}
	return site.OpenStore(ctx, e.stderr, cfg, f.AllHosts)
}

// parseWhen reads a point in time: how long ago ("24h", "7d"), a day in UTC
// ("2026-11-22"), or RFC 3339. "" is the zero time.
func parseWhen(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	var ago config.Duration
	if ago.UnmarshalText([]byte(text)) == nil && ago >= 0 {
		return now.Add(-ago.Std()), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s: %q is neither a time ago, as 24h or 7d, nor a day, as 2026-11-22, nor as 2026-11-22T09:30:00Z", flag, text)
}
