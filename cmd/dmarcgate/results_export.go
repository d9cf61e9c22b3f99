package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/blob"
	"dmarcgate/term"
)

// exportCmd prints results as they are read: it needs no more memory for a
// year than for a day.
type exportCmd struct {
	backendFlags
	meantFlags
	Since  string `help:"From when: 24h, 7d, 2026-11-22 or 2026-11-22T09:30:00Z."`
	Until  string `help:"Up to when, in the same forms."`
	Format string `enum:"jsonl,csv" default:"jsonl" help:"jsonl, with everything that is kept, or csv."`
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
	store, err := c.open(ctx, e)
	if err != nil {
		return err
	}
	defer store.Close()
	out := bufio.NewWriterSize(e.stdout, 1<<16)
	add, flush := jsonLines(out)
	if c.Format == "csv" {
		add, flush = csvLines(out)
	}
	err = store.Scan(ctx, span, func(r results.Row) error {
		if !meant.Empty() && !results.Matches(&r, meant) {
			return nil
		}
		return add(&r)
	})
	return errors.Join(err, flush(), out.Flush())
}

// exported is a row as JSON has it.
type exported struct {
	Sequence int64           `json:"seq"`
	State    string          `json:"state"`
	Facts    policy.Facts    `json:"facts"`
	Decision policy.Decision `json:"decision"`
	Settings string          `json:"settings,omitempty"`
	Shape    string          `json:"shape,omitempty"`
}

func jsonLines(out *bufio.Writer) (add func(*results.Row) error, flush func() error) {
	enc := json.NewEncoder(out)
	return func(r *results.Row) error {
		return enc.Encode(exported{r.Sequence, r.State.String(), r.Facts, r.Decision, r.Settings, r.Shape})
	}, func() error { return nil }
}

// csvLines writes RFC 4180, with the names of the columns first.
func csvLines(out *bufio.Writer) (add func(*results.Row) error, flush func() error) {
	w := csv.NewWriter(out)
	w.UseCRLF = true
	columns := blob.CSV()
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.Name
	}
	head := w.Write(cells)
	return func(r *results.Row) error {
			if head != nil {
				return head
			}
			for i, c := range columns {
				cells[i] = cell(c.Cell(r))
			}
			return w.Write(cells)
		}, func() error {
			w.Flush()
			return w.Error()
		}
}

// formulas begin what a spreadsheet computes instead of showing it.
const formulas = "=+-@"

// cell makes text from a message safe for a spreadsheet: it is printable, and
// never a formula.
func cell(s string) string {
	s = term.Bounded(s, len(s))
	if s != "" && strings.ContainsAny(s[:1], formulas) {
		return "'" + s
	}
	return s
}
