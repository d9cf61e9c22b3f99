package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dmarcgate/policy"
	"dmarcgate/results"
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
		return enc.Encode(exported{r.Sequence, stateNames[r.State], r.Facts, r.Decision, r.Settings, r.Shape})
	}, func() error { return nil }
}

// stateNames are the words of exports.
var stateNames = map[results.State]string{
	results.Answered: "answered", results.Deferred: "deferred", results.Unanswered: "unanswered", results.Imported: "imported",
}

// csvColumns are the columns of CSV, in their order: docs/store.md explains
// them, and new ones come at the end.
var csvColumns = []struct {
	name  string
	value func(*results.Row, *policy.Author) string
}{
	{"time", func(r *results.Row, _ *policy.Author) string {
		return r.Facts.Time.UTC().Format("2006-01-02T15:04:05.000Z")
	}},
	{"state", func(r *results.Row, _ *policy.Author) string { return stateNames[r.State] }},
	{"qid", func(r *results.Row, _ *policy.Author) string { return r.Facts.QueueID }},
	{"listener", func(r *results.Row, _ *policy.Author) string { return r.Facts.Listener }},
	{"client", func(r *results.Row, _ *policy.Author) string { return addressText(r) }},
	{"client_name", func(r *results.Row, _ *policy.Author) string { return r.Facts.ClientName }},
	{"helo", func(r *results.Row, _ *policy.Author) string { return r.Facts.Helo }},
	{"mail_from", func(r *results.Row, _ *policy.Author) string { return r.Facts.MailFrom }},
	{"recipients", func(r *results.Row, _ *policy.Author) string { return strings.Join(r.Facts.Recipients, " ") }},
	{"skip", func(r *results.Row, _ *policy.Author) string { return string(r.Facts.Skip) }},
	{"from", func(r *results.Row, _ *policy.Author) string { return string(r.Facts.From) }},
	{"author", func(_ *results.Row, a *policy.Author) string { return a.Domain }},
	{"org", func(_ *results.Row, a *policy.Author) string { return a.Org }},
	{"policy_domain", func(_ *results.Row, a *policy.Author) string { return a.PolicyDomain }},
	{"result", func(_ *results.Row, a *policy.Author) string { return a.Verdict.Status.String() }},
	{"policy", func(_ *results.Row, a *policy.Author) string { return a.Published() }},
	{"pct", func(_ *results.Row, a *policy.Author) string { return strconv.Itoa(int(a.Verdict.Pct)) }},
	{"requested", func(r *results.Row, _ *policy.Author) string { return r.Decision.Requested.String() }},
	{"disposition", func(r *results.Row, _ *policy.Author) string { return r.Decision.Disposition.String() }},
	{"action", func(r *results.Row, _ *policy.Author) string { return r.Decision.Action.String() }},
	{"override", func(r *results.Row, _ *policy.Author) string { return string(r.Decision.Override) }},
	{"rule", func(r *results.Row, _ *policy.Author) string { return r.Decision.Rule }},
	{"reason", func(r *results.Row, _ *policy.Author) string { return r.Decision.Reason }},
	{"spf", func(r *results.Row, _ *policy.Author) string { return r.Facts.SPF.Result }},
	{"spf_domain", func(r *results.Row, _ *policy.Author) string { return r.Facts.SPF.Domain }},
	{"dkim", func(r *results.Row, _ *policy.Author) string { return dkimText(r) }},
	{"arc", func(r *results.Row, _ *policy.Author) string { return r.Facts.ARC.Result }},
	{"stale", func(r *results.Row, _ *policy.Author) string { return term.YesNo(r.Facts.Stale) }},
	{"also", func(r *results.Row, _ *policy.Author) string { return strings.Join(r.Decision.Also, " ") }},
	{"shadow", func(r *results.Row, _ *policy.Author) string { return shadowText(r) }},
	{"unreported", func(r *results.Row, _ *policy.Author) string { return r.Decision.Unreported }},
	{"unknown_client", func(r *results.Row, _ *policy.Author) string { return string(r.Facts.UnknownClient) }},
	{"trimmed", func(r *results.Row, _ *policy.Author) string { return strings.Join(r.Facts.Trimmed, " ") }},
	{"pass_by", func(_ *results.Row, a *policy.Author) string { return a.PassBy() }},
	{"earlier_spf_fail", func(r *results.Row, _ *policy.Author) string { return term.YesNo(r.Facts.EarlierSPFFail) }},
}

func addressText(r *results.Row) string {
	if !r.Facts.Client.IsValid() {
		return ""
	}
	return r.Facts.Client.String()
}

// dkimText is each signature as "result:domain:selector".
func dkimText(r *results.Row) string {
	texts := make([]string, len(r.Facts.DKIM))
	for i, s := range r.Facts.DKIM {
		texts[i] = s.Result + ":" + s.Domain + ":" + s.Selector
	}
	return strings.Join(texts, " ")
}

// shadowText is each rule in shadow as "rule:action".
func shadowText(r *results.Row) string {
	texts := make([]string, len(r.Decision.Shadow))
	for i, s := range r.Decision.Shadow {
		texts[i] = s.Rule + ":" + s.Action.String()
	}
	return strings.Join(texts, " ")
}

// csvLines writes RFC 4180, with the names of the columns first.
func csvLines(out *bufio.Writer) (add func(*results.Row) error, flush func() error) {
	w := csv.NewWriter(out)
	w.UseCRLF = true
	cells := make([]string, len(csvColumns))
	for i, c := range csvColumns {
		cells[i] = c.name
	}
	head := w.Write(cells)
	return func(r *results.Row) error {
			if head != nil {
				return head
			}
			author := decidingAuthor(r)
			for i, c := range csvColumns {
				cells[i] = cell(c.value(r, author))
			}
			return w.Write(cells)
		}, func() error {
			w.Flush()
			return w.Error()
		}
}

// decidingAuthor is the author domain that decided, or else the first.
func decidingAuthor(r *results.Row) *policy.Author {
	for i := range r.Facts.Authors {
		if r.Facts.Authors[i].Domain == r.Decision.Author {
			return &r.Facts.Authors[i]
		}
	}
	if len(r.Facts.Authors) > 0 {
		return &r.Facts.Authors[0]
	}
	return &policy.Author{}
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
