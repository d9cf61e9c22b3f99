package sending

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"dmarcgate/report"
	"dmarcgate/report/due"
	"dmarcgate/report/gate"
	"dmarcgate/report/queue"
	"dmarcgate/report/verp"
)

// The words of queue.Run.LeftOut besides gates.
const (
	leftUnreported   = "unreported"   // kept out of reports by a rule
	leftUnreportable = "unreportable" // a fact is missing that a report needs
	leftNoRUA        = "no_rua"       // the domain wants no reports now
)

// planDays plans the days that are closed.
func (t *turn) planDays(ctx context.Context) error {
	for {
		run, err := t.store.TakeDay(ctx, t.Owner)
		if errors.Is(err, queue.ErrUnknown) {
			return nil
		}
		if err == nil {
			err = t.planDay(ctx, run)
		}
		if _, err := lost(err); err != nil {
			return err
		}
	}
}

// candidate is a report that may be due.
type candidate struct {
	gate gate.Report
	why  gate.Why // that is closed
	hash string
	rows int64
	all  int64 // messages
	want due.Wanted
}

// planDay puts the reports of a day into the queue, in one transaction.
func (t *turn) planDay(ctx context.Context, run queue.Run) error {
	day := report.DayOf(run.Day)
	key, err := Key(ctx, t.store)
	if err != nil {
		return err
	}
	plan := queue.Plan{LeftOut: map[string]int64{}}
	open, held, err := t.candidates(ctx, day, run.Upto, plan.LeftOut)
	if err != nil {
		return err
	}
	if err := t.lookUp(ctx, open); err != nil {
		return err
	}
	slices.SortStableFunc(open, func(a, b *candidate) int { return a.gate.Compare(b.gate) })
	if err := t.clock(ctx); err != nil {
		return err
	}
	for i, c := range open {
		next := t.now.Add(time.Duration(float64(spread) * float64(i) / float64(len(open))))
		plan.Reports = append(plan.Reports, t.reports(c, day, key, next, plan.LeftOut)...)
	}
	for _, c := range held {
		r := t.report(c, day, report.Form(t.set.Schema("")))
		r.State, r.Why = queue.Withheld, string(c.why)
		plan.Reports = append(plan.Reports, r)
	}
	result, err := t.store.Plan(ctx, t.Owner, run.Day, plan)
	if err != nil {
		return err
	}
	t.planned(day, plan, result)
	return nil
}

// planned says what was planned.
func (t *turn) planned(day report.Period, plan queue.Plan, result queue.PlanResult) {
	whys, seen := map[string]int64{}, map[policy]bool{}
	for _, r := range plan.Reports {
		whys[r.Why]++
		p := policy{r.PolicyDomain, r.PolicyHash}
		if !seen[p] { // the same messages may be in two forms
			seen[p] = true
			t.Metrics.ReportRows(cmp.Or(r.Why, "reported"), r.Messages)
		}
	}
	for why, n := range plan.LeftOut {
		t.Metrics.ReportRows(why, n)
	}
	for why, n := range whys {
		t.Metrics.ReportPlanned(why, n)
	}
	if n := len(result.Unusable); n > 0 {
		t.Log.Warn("reports: left out because their names cannot be stored", "reports", n)
	}
	t.Log.Info("reports of a day planned", "day", day.Begin.Format(time.DateOnly), "due", whys[""], "held_by_gates", int64(len(plan.Reports))-whys[""], "dry_run", t.gate.Dry(t.now))
}

// candidates reads the rows of a day, and asks the gates. held are reports that a gate
// keeps back, as far as they are kept; left counts the messages of the rest.
func (t *turn) candidates(ctx context.Context, day report.Period, upto map[string]int64, left map[string]int64) (open, held []*candidate, err error) {
	suppressed, err := t.suppressions(ctx)
	if err != nil {
		return nil, nil, err
	}
	facts := due.Facts{Gate: t.gate, Now: t.now, Suppressions: suppressed, KnownSince: t.Rows.KnownSince, RecordSince: t.store.RecordSince}
	counts, err := t.builder().Build(ctx, t.scan(upto), day, func(r *report.Report) error {
		if err := t.renew(ctx); err != nil {
			return err
		}
		c := &candidate{hash: r.PolicyHash, rows: r.Rows, all: r.Messages}
		var err error
		if c.gate, c.why, err = facts.Of(ctx, r); err != nil {
			return err
		}
		switch {
		case c.why == gate.Open || c.why.Waits():
			open = append(open, c)
		case len(held) < maxWithheld:
			held = append(held, c)
		default:
			left[string(c.why)] += c.all
		}
		return nil
	})
	add(left, leftUnreported, counts.Unreported)
	add(left, leftUnreportable, counts.Unreportable)
	return open, held, err
}

func add(left map[string]int64, why string, n int64) {
	if n > 0 {
		left[why] += n
	}
}

// suppressions returns those that are active.
func (t *turn) suppressions(ctx context.Context) ([]gate.Suppression, error) {
	all, err := t.store.Suppressing(ctx)
	return due.Active(all, t.now), err
}

// lookUp looks the records of reports up.
func (t *turn) lookUp(ctx context.Context, open []*candidate) error {
	domains := make([]string, len(open))
	for i, c := range open {
		domains[i] = c.gate.PolicyDomain
	}
	wanted, err := due.AskAll(ctx, t.Records, domains, func(int) error { return t.renew(ctx) })
	for i, want := range wanted {
		open[i].want = want
	}
	return err
}

// reports returns what is to be planned for a candidate: a report for each form that its
// destinations want. Without an answer of the DNS the destinations are found later.
func (t *turn) reports(c *candidate, day report.Period, key verp.Key, next time.Time, left map[string]int64) (list []queue.Report) {
	if c.want.Unknown && len(c.want.To) == 0 {
		return []queue.Report{t.report(c, day, report.Form(t.set.Schema("")))}
	}
	why := leftNoRUA
	for _, to := range c.want.To {
		if to.Key == "" {
			why = string(to.Why)
			continue
		}
		form := report.Form(t.set.Schema(to.Host))
		i := slices.IndexFunc(list, func(r queue.Report) bool { return r.Form == string(form) })
		if i < 0 {
			i = len(list)
			list = append(list, t.report(c, day, form))
		}
		list[i].Deliveries = append(list[i].Deliveries, t.delivery(list[i].ID, to, key, next))
	}
	if len(list) == 0 {
		left[why] += c.all
	}
	return list
}

// report is a candidate in a form, as the queue has it.
func (t *turn) report(c *candidate, day report.Period, form report.Form) queue.Report {
	return queue.Report{
		ID:   report.ID(t.gate.Identity.Submitter, c.gate.PolicyDomain, day, c.hash, form),
		Kind: queue.Aggregate, PolicyDomain: c.gate.PolicyDomain, Begin: day.Begin, End: day.End, PolicyHash: c.hash, Form: string(form),
		Rows: c.rows, Messages: c.all,
	}
}

// delivery is one destination of a report.
func (t *turn) delivery(id string, to gate.Destination, key verp.Key, next time.Time) queue.Delivery {
	return queue.Delivery{
		Key: to.Key, URI: to.URI, Via: string(to.Consent), Host: to.Counted, NextTry: next,
		VERP: key.Token(id+" "+to.Key, t.now),
	}
}
