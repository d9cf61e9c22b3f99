package sending

import (
	"context"
	"time"

	"dmarcgate/report"
	"dmarcgate/report/queue"
)

// lateEvery is the time between two counts of late rows.
const lateEvery = time.Hour

// first returns the first day that is reported: none from before sending was switched
// on, and none whose rows may be incomplete by now.
func (t *turn) first() time.Time {
	begin := t.now.Add(-t.set.CatchUp - queue.Day)
	oldest := report.DayOf(begin)
	if oldest.Begin.Before(begin) {
		oldest = report.DayOf(oldest.End) // it ended longer ago than CatchUp
	}
	first := report.DayOf(t.enabled).Begin
	if oldest.Begin.After(first) {
		first = oldest.Begin
	}
	return first
}

// closeDays closes the days that are over, oldest first. A day that may not be closed
// keeps later ones open.
func (t *turn) closeDays(ctx context.Context) error {
	first := t.first()
	runs, err := t.store.Runs(ctx, first, t.now)
	if err != nil {
		return err
	}
	known := make(map[time.Time]queue.Run, len(runs))
	for _, r := range runs {
		known[r.Day] = r
	}
	day := report.DayOf(first)
	for ; !t.now.Before(day.End.Add(queue.CloseAfter)); day = report.DayOf(day.End) {
		run, found := known[day.Begin]
		if found && run.State != queue.Open {
			continue
		}
		closed, err := t.closeDay(ctx, day)
		if err != nil {
			return err
		}
		if !closed {
			break
		}
	}
	if err := t.hold(ctx, day.Begin); err != nil {
		return err
	}
	return t.countLate(ctx, runs)
}

// hold tells the store from which day on rows are not reported yet.
func (t *turn) hold(ctx context.Context, first time.Time) error {
	if first.Equal(t.held) {
		return nil
	}
	err := t.Rows.Hold(ctx, first)
	if err == nil {
		t.held = first
	}
	return err
}

// closeDay closes a day if that may be done.
func (t *turn) closeDay(ctx context.Context, day report.Period) (bool, error) {
	sources, err := t.Rows.Sources(ctx)
	if err != nil {
		return false, err
	}
	c := queue.MayClose(day.End, t.now, true, sources)
	if !c.May {
		t.Log.Debug("reports: day is not closed yet", "day", day.Begin.Format(time.DateOnly), "why", c.Why)
		return false, nil
	}
	lost, err := t.Rows.Lost(ctx, day.Begin)
	if err != nil {
		return false, err
	}
	run, err := t.store.CloseDay(ctx, queue.Run{Day: day.Begin, WaitedFor: c.Silent, Upto: queue.Upto(sources), Lost: lost})
	if err != nil {
		return false, err
	}
	if len(run.WaitedFor) > 0 {
		t.Log.Warn("reports: day closed without the rows of silent hosts", "day", day.Begin.Format(time.DateOnly), "hosts", run.WaitedFor)
	}
	if lost > 0 {
		t.Log.Warn("reports: rows of the day were deleted for store.max_size before the day was closed", "day", day.Begin.Format(time.DateOnly), "rows", lost)
		t.Metrics.ReportRows("lost", lost)
	}
	return true, nil
}

// countLate counts from time to time the rows that come after their day was closed.
func (t *turn) countLate(ctx context.Context, runs []queue.Run) error {
	if age := t.now.Sub(t.late); age >= 0 && age < lateEvery {
		return nil
	}
	t.late = t.now
	for _, r := range runs {
		if r.State == queue.Open || r.Why != "" {
			continue
		}
		late, err := t.Rows.Late(ctx, report.DayOf(r.Day), r.Upto)
		if err != nil {
			return err
		}
		if late <= r.Late {
			continue
		}
		t.Metrics.ReportRows("late", late-r.Late)
		if err := t.store.CountRows(ctx, r.Day, late, 0); err != nil {
			return err
		}
	}
	return nil
}
