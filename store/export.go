package store

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/blob"
	"dmarcgate/site"
	"dmarcgate/term"
)

// ExportOptions are those of Export.
type ExportOptions struct {
	Span  results.Span
	Meant results.Purge // rows that it does not match are left out; empty is all
	CSV   bool          // RFC 4180, not JSON

	Progress *term.Progress // nil shows none
}

// Export prints rows as they are read, one a line.
func Export(ctx context.Context, out io.Writer, store site.Store, o ExportOptions) error {
	w := bufio.NewWriterSize(out, 1<<16)
	add, flush := jsonLines(w)
	if o.CSV {
		add, flush = csvLines(w)
	}
	read := 0
	defer o.Progress.Clear()
	err := store.Scan(ctx, o.Span, func(r results.Row) error {
		read++
		o.Progress.Count(read, 0, "result")
		if !o.Meant.Empty() && !results.Matches(&r, o.Meant) {
			return nil
		}
		return add(&r)
	})
	return errors.Join(err, flush(), w.Flush())
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
