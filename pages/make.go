package pages

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"dmarcgate/explain"
	"dmarcgate/pages/view"
	"dmarcgate/results"
	"dmarcgate/term"
	"dmarcgate/whatif"
)

// How much of the store a page looks at: our limits.
const (
	maxLooked = 10_000 // rows that a filter without an index is tried on
	looked    = 1000   // rows that are read at once for it
	maxShown  = 100    // decisions of a page
	maxTop    = 25     // lines of a list of senders, or about reports
	maxDays   = 8      // days of reports: as many as can be caught up, and one
	// maxCounted is how many of the newest messages that failed, and of those that were
	// overridden, are counted by author.
	maxCounted = 100_000
)

// errNoStore means that nothing is recorded.
var errNoStore = errors.New(`nothing is recorded: [store] durability is "off"`)

func (s *server) status(ctx context.Context, _ *http.Request) (any, error) {
	now := s.Now()
	v := view.StatusOf(s.Status(ctx), now)
	if s.Store == nil {
		v.Recorded = errNoStore.Error()
		return v, nil
	}
	sums, complete, err := s.Store.DaySums(ctx, view.FirstDay(now))
	if err != nil {
		v.Recorded = note(err)
		return v, nil
	}
	v.Charts, v.Matrix = view.Charts(sums, complete, now), view.MatrixOf(sums)
	return v, nil
}

func (s *server) decisions(ctx context.Context, r *http.Request) (any, error) {
	f, err := view.ParseFilter(r.URL.Query())
	if err == nil && s.Store == nil {
		err = errNoStore
	}
	var found looking
	if err == nil {
		found, err = s.find(ctx, f)
	}
	v := view.DecisionsOf(f, found.rows, found.older)
	v.Note, v.Problem = found.note, note(err)
	return v, nil
}

// looking is what a filter found.
type looking struct {
	rows  []results.Row
	older int64 // sequence from which to go on; 0 at the end
	note  string
}

// find looks for the rows of a filter: those of a queue id by its index, others
// among the newest ones.
func (s *server) find(ctx context.Context, f view.Filter) (out looking, err error) {
	if f.QID != "" {
		rows, err := s.Store.ByQueueID(ctx, f.QID)
		for i := len(rows) - 1; i >= 0; i-- {
			if f.Matches(&rows[i]) {
				out.rows = append(out.rows, rows[i])
			}
		}
		return out, err
	}
	at, most := f.Before, 1
	if at == 0 {
		at = 1<<63 - 1
	}
	if !f.Empty() {
		most = maxLooked / looked
		out.note = "A filter looks at " + view.Number(maxLooked) + " messages at once."
	}
	for range most {
		n := looked
		if f.Empty() {
			n = maxShown
		}
		rows, err := s.Store.Older(ctx, at, n)
		if err != nil {
			return out, err
		}
		for i := range rows {
			at = rows[i].Sequence
			if f.Matches(&rows[i]) {
				out.rows = append(out.rows, rows[i])
			}
			if len(out.rows) == maxShown {
				out.older = at
				return out, nil
			}
		}
		if len(rows) < n {
			return out, nil
		}
	}
	out.older = at
	return out, nil
}

// decision is one message.
type decision struct {
	Line view.Decision
	Tree *term.Node
	More string // a command that tells more
}

func (s *server) decision(ctx context.Context, r *http.Request) (any, error) {
	if s.Store == nil {
		return nil, errNoStore
	}
	seq, err := strconv.ParseInt(r.PathValue("sequence"), 10, 64)
	if err != nil || seq < 1 || seq == 1<<63-1 {
		return nil, errNotFound
	}
	rows, err := s.Store.Older(ctx, seq+1, 1)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || rows[0].Sequence != seq {
		return nil, errNotFound
	}
	v := decision{Line: view.DecisionsOf(view.Filter{}, rows, 0).Lines[0], Tree: explain.Row(s.Site(), rows[0]).Tree()}
	if id := rows[0].Facts.QueueID; id != "" && term.ASCII(id) == id {
		v.More = "dmarcgate explain --qid " + term.ShellWord(id)
	}
	return v, nil
}

func (s *server) senders(ctx context.Context, _ *http.Request) (any, error) {
	v := view.Senders{Days: view.SenderDays}
	if s.Store == nil {
		return nil, errNoStore
	}
	since := s.Now().AddDate(0, 0, -view.SenderDays)
	fresh, err := s.Store.NewSenders(ctx, since, maxTop)
	v.New, v.NewNote = view.NewOf(fresh), note(err)
	failing, said, err := counted(ctx, s.Store.NewestFailing, s.Store.TopFailing, since)
	v.FailingNote = cmp.Or(note(err), said)
	var first []time.Time
	for _, f := range failing {
		first = append(first, s.firstSeen(ctx, f.Author))
	}
	v.Failing = view.FailingOf(failing, first)
	over, said, err := counted(ctx, s.Store.NewestOverridden, s.Store.TopOverridden, since)
	v.Overridden, v.OverriddenNote = view.OverriddenOf(over), cmp.Or(note(err), said)
	return v, nil
}

// counted returns the top of the newest messages, and says from when on they are
// counted if that is not the time that was asked for.
func counted[T any](ctx context.Context, newest func(context.Context, time.Time, int) (time.Time, bool, error),
	top func(context.Context, time.Time, int) ([]T, error), since time.Time) (list []T, said string, err error) {
	since, most, err := newest(ctx, since, maxCounted)
	if err != nil {
		return nil, "", err
	}
	if most {
		said = "The newest " + view.Number(maxCounted) + " messages are counted, since " + view.Moment(since) + "."
	}
	list, err = top(ctx, since, maxTop)
	return list, said, err
}

// firstSeen is when the organization of a domain was first seen: the nearest name
// above it that senders are known of, or the domain itself.
func (s *server) firstSeen(ctx context.Context, domain string) time.Time {
	for range maxParents {
		if first, err := s.Store.FirstSeen(ctx, domain); err != nil || !first.IsZero() {
			return first
		}
		_, parent, ok := strings.Cut(domain, ".")
		if !ok {
			break
		}
		domain = parent
	}
	return time.Time{}
}

// maxParents is how many names are looked for: as many as a tree walk has.
const maxParents = 8

func (s *server) rules(ctx context.Context, _ *http.Request) (any, error) {
	in, now := s.Site(), s.Now()
	var day, month []results.RuleHit
	var use []results.RuleUse
	var err error
	if s.Store != nil {
		if use, err = s.Store.RuleUse(ctx); err == nil {
			day, month, err = s.hits(ctx, now)
		}
	}
	v := view.RulesOf(in.Rules.List(), day, month, use, now)
	v.Problem = note(err)
	v.Note = "Matches are counted among the newest " + view.Number(maxLooked) + " messages that name a rule."
	for _, f := range append(in.Demoted(), in.Findings()...) {
		if len(v.Findings) == maxTop {
			break
		}
		v.Findings = append(v.Findings, view.Finding(f.Rule, f.File, f.Line, f.Text, f.Fix))
	}
	return v, nil
}

// hits are the matches of rules in a day and in 30 days.
func (s *server) hits(ctx context.Context, now time.Time) (day, month []results.RuleHit, err error) {
	rows, err := s.Store.NewestRuled(ctx, maxLooked)
	if err != nil {
		return nil, nil, err
	}
	if day, err = results.CountRuleHits(ctx, newest(rows), now.AddDate(0, 0, -1)); err != nil {
		return nil, nil, err
	}
	month, err = results.CountRuleHits(ctx, newest(rows), now.AddDate(0, 0, -view.Days))
	return day, month, err
}

// newest are rows that have been read.
type newest []results.Row

// Scan calls f with the rows of a span.
func (n newest) Scan(_ context.Context, span results.Span, f func(results.Row) error) error {
	for i := range n {
		if n[i].Facts.Time.Before(span.From) {
			continue
		}
		if err := f(n[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) whatIf(context.Context, *http.Request) (any, error) {
	last, err := whatif.ReadLast(s.Site().Config.StateDir)
	if err != nil {
		return view.WhatIf{Problem: note(err)}, nil
	}
	if last == nil {
		return view.WhatIf{None: true}, nil
	}
	v, err := view.WhatIfOf(last.Report, last.Made, s.Now())
	v.Problem = note(err)
	return v, nil
}

func (s *server) reports(ctx context.Context, _ *http.Request) (any, error) {
	if s.Reports == nil {
		return nil, errNoStore
	}
	f := view.ReportFacts{Settings: s.Site().Config.Reports, Unusable: note(s.Reports.Problem())}
	var err error
	f.Queue, err = s.Reports.Overview(ctx, maxDays, maxTop)
	f.Problem = note(err)
	return view.ReportsOf(f), nil
}

func (s *server) dns(ctx context.Context, _ *http.Request) (any, error) {
	return view.DNSOf(s.Status(ctx).DNS, s.Counts()), nil
}
