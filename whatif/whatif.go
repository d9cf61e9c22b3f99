package whatif

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"dmarcgate/results"
	"dmarcgate/site"
	"dmarcgate/survey"
	"dmarcgate/term"
)

// Options say what is tried, on which messages, and how it is reported.
type Options struct {
	Config     string // path of the configuration to try; it names the store
	Rules      string // directory of the rules to try; "" is that of the configuration
	Profile    string // monitor, conformant or strict; "" is that of the configuration
	Listener   string // that Profile is for; "" is all
	WithoutARC bool   // decide as if no message had an ARC chain

	Span     results.Span // the messages
	AllHosts bool         // of all hosts, from PostgreSQL

	Conditions []Condition // each that holds makes Run fail
	Limit      int         // lines of each table of the text
	JSON       bool        // JSON instead of text
	Quiet      bool        // no progress

	Propose Propose // nil is no proposals
}

// Propose makes a rule for each source that has one, from its message. The span
// is the one that is tried.
type Propose func(context.Context, site.Site, site.Store, results.Span, []survey.Example) (map[survey.Source]*survey.Proposal, error)

// Run decides the messages of the store again and prints the report to out. Where the
// configuration has status pages, the report is kept in state_dir for them.
// Warnings go to warn, and progress, if it is a terminal. The error is that of
// the configuration, the rules or the store; or the report is complete, and a
// condition holds or a stored decision did not come out again.
func Run(ctx context.Context, out, warn io.Writer, o Options) error {
	tried, err := Load(o)
	if err != nil {
		return err
	}
	tried.site.TellDemoted(warn)
	store, err := site.OpenStore(ctx, warn, tried.site.Config, o.AllHosts)
	if err != nil {
		return err
	}
	defer store.Close()
	var from survey.Scanner = store
	if !o.Quiet && !o.JSON && term.IsTerminal(warn) {
		from = &bar{Scanner: store, shown: term.Line{Out: warn}, now: time.Now}
	}
	t, err := whatIf(ctx, from, tried, o.Span)
	if err != nil {
		return err
	}
	if examples := t.examples(o.Limit); len(examples) > 0 && o.Propose != nil {
		if t.readiness.proposals, err = o.Propose(ctx, tried.site, store, o.Span, examples); err != nil {
			return err
		}
	}
	r := report{tally: t, tried: tried, span: o.Span, conditions: o.Conditions, limit: o.Limit}
	if cfg := tried.site.Config; cfg.Pages.Listen.Network != "" {
		if err := r.keep(cfg.StateDir, time.Now()); err != nil {
			fmt.Fprintf(warn, "cannot keep the report for the status pages: %s\n", term.Printable(err.Error()))
		}
	}
	write := r.text
	if o.JSON {
		write = r.json
	}
	return errors.Join(write(out), r.failure())
}

// examples are the sources that look like forwarders and are shown, each with a
// message.
func (t *tally) examples(limit int) (list []survey.Example) {
	if t.readiness == nil {
		return nil
	}
	forwarders, _ := t.readiness.sorted(t.readiness.forwards)
	for _, k := range forwarders[:min(limit, len(forwarders))] {
		if ids := k.entry.value.Samples; len(ids) > 0 {
			list = append(list, survey.Example{Source: k.key, QueueID: ids[0]})
		}
	}
	return list
}

// report is what is printed.
type report struct {
	*tally
	tried      *Candidate
	span       results.Span
	conditions []Condition
	limit      int
}

// failure is why the command is to exit with 1.
func (r *report) failure() error {
	var errs []error
	if r.Different > 0 {
		errs = append(errs, fmt.Errorf("%d stored decisions came out differently under the settings that made them: a fault of this program, please report it; queue ids: %s",
			r.Different, r.differentIDs()))
	}
	for _, c := range r.conditions {
		if c.holds(r.tally) {
			errs = append(errs, fmt.Errorf("--fail-if %q holds: %s", term.Printable(c.text), r.measured(c)))
		}
	}
	return errors.Join(errs...)
}

func (r *report) differentIDs() string {
	ids := make([]string, len(r.differences))
	for i, d := range r.differences {
		ids[i] = term.OrNone(term.Printable(d.QueueID))
	}
	return strings.Join(ids, " ")
}

// measured is what a condition was compared with.
func (r *report) measured(c Condition) string {
	n := c.count(r.tally)
	return fmt.Sprintf("%d of %d messages, %s", n, r.Messages, share(n, r.Messages))
}

// share is a part in percent. What is not nothing is not shown as nothing.
func share(n, of int64) string {
	switch percent := 100 * float64(n) / float64(max(1, of)); {
	case n > 0 && percent < 0.01:
		return "<0.01%"
	default:
		return fmt.Sprintf("%.2f%%", percent)
	}
}
