package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"dmarcgate/results"
	"dmarcgate/term"
)

// topCmd asks the recorded results what stands out.
type topCmd struct {
	What string `arg:"" enum:"failing,overridden,new-senders,malformed" help:"failing, overridden, new-senders or malformed."`
	backendFlags
	Since string `default:"24h" help:"From when: 24h, 7d, 2026-11-22 or 2026-11-22T09:30:00Z."`
	Limit int    `short:"n" default:"20" help:"How many."`
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
	store, err := c.open(ctx, e)
	if err != nil {
		return err
	}
	defer store.Close()
	switch c.What {
	case "failing":
		return show(c, e, topOf(ctx, store.TopFailing, since, c.Limit), "AUTHOR\tMESSAGES\tQUARANTINED\tREJECTED\tCLIENTS\tLAST", func(f results.Failing) []any {
			return []any{f.Author, f.Messages, f.Quarantined, f.Rejected, f.Clients, f.Last}
		})
	case "overridden":
		return show(c, e, topOf(ctx, store.TopOverridden, since, c.Limit), "AUTHOR\tREASON\tMESSAGES\tQUARANTINED\tREJECTED\tLAST", func(o results.Overridden) []any {
			return []any{o.Author, string(o.Override), o.Messages, o.Quarantined, o.Rejected, o.Last}
		})
	case "malformed":
		return show(c, e, topOf(ctx, store.TopMalformed, since, c.Limit), "DOMAIN\tMESSAGES\tLAST\tWHAT", func(m results.Malformed) []any {
			return []any{term.OrNone(m.Domain), m.Messages, m.Last, whatIsMalformed(m)}
		})
	default:
		return show(c, e, topOf(ctx, store.NewSenders, since, c.Limit), "ORGANIZATION\tNETWORK\tFIRST\tPASSED\tQID\tAUTHOR", func(n results.NewSender) []any {
			return []any{n.Org, n.Net.String(), n.First, term.YesNo(n.Passed), term.OrNone(n.QueueID), term.OrNone(n.Author)}
		})
	}
}

// answer is what a question gave.
type answer[T any] struct {
	list []T
	err  error
}

func topOf[T any](ctx context.Context, ask func(context.Context, time.Time, int) ([]T, error), since time.Time, limit int) answer[T] {
	list, err := ask(ctx, since, limit)
	return answer[T]{list, err}
}

// show prints an answer: JSON, or a table.
func show[T any](c *topCmd, e *env, a answer[T], head string, line func(T) []any) error {
	if a.err != nil {
		return a.err
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(append([]T{}, a.list...))
	}
	return term.Table(e.stdout, head, a.list, line)
}

// whatIsMalformed says it of the newest message: the defects of the record, or
// what From is.
func whatIsMalformed(m results.Malformed) string {
	if len(m.Defects) > 0 {
		return strings.Join(m.Defects, " ")
	}
	if m.From != "" {
		return "from: " + string(m.From)
	}
	return "-"
}
