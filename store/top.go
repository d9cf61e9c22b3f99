package store

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"

	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/term"
)

// TopOptions are those of Top.
type TopOptions struct {
	What  string // failing, overridden, malformed or new-senders
	Since time.Time
	Limit int // how many
	JSON  bool
}

// Top shows what stands out: the domains that fail most, those whose policy was
// not applied, malformed records and From fields, or new senders.
func Top(ctx context.Context, out io.Writer, store site.Store, o TopOptions) error {
	switch o.What {
	case "failing":
		return show(out, o, topOf(ctx, store.TopFailing, o.Since, o.Limit), "AUTHOR\tMESSAGES\tQUARANTINED\tREJECTED\tCLIENTS\tLAST", func(f results.Failing) []any {
			return []any{f.Author, f.Messages, f.Quarantined, f.Rejected, f.Clients, f.Last}
		})
	case "overridden":
		return show(out, o, topOf(ctx, store.TopOverridden, o.Since, o.Limit), "AUTHOR\tREASON\tMESSAGES\tQUARANTINED\tREJECTED\tLAST", func(o results.Overridden) []any {
			return []any{o.Author, string(o.Reason), o.Messages, o.Quarantined, o.Rejected, o.Last}
		})
	case "malformed":
		return show(out, o, topOf(ctx, store.TopMalformed, o.Since, o.Limit), "DOMAIN\tMESSAGES\tLAST\tWHAT", func(m results.Malformed) []any {
			return []any{term.OrNone(m.Domain), m.Messages, m.Last, whatIsMalformed(m)}
		})
	default:
		return show(out, o, topOf(ctx, store.NewSenders, o.Since, o.Limit), "ORGANIZATION\tNETWORK\tFIRST\tPASSED\tQID\tAUTHOR", func(n results.NewSender) []any {
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
func show[T any](out io.Writer, o TopOptions, a answer[T], head string, line func(T) []any) error {
	if a.err != nil {
		return a.err
	}
	if o.JSON {
		return json.NewEncoder(out).Encode(append([]T{}, a.list...))
	}
	return term.Table(out, head, a.list, line)
}

// whatIsMalformed says it of the newest message: the defects of the record, or
// what From is.
func whatIsMalformed(m results.Malformed) string {
	if len(m.Defects) > 0 {
		return strings.Join(m.Defects, " ")
	}
	if m.FromField != "" {
		return "from_field: " + string(m.FromField)
	}
	return "-"
}
