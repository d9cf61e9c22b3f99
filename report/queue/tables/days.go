package tables

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"dmarcgate/report/queue"
)

const runColumns = "day, state, why, closed_at, waited_for, upto, late_rows, lost_rows, left_out"

func scanRun(r Rows) (run queue.Run, err error) {
	var waited, upto, left string
	if err = r.Scan(stamp{&run.Day}, &run.State, &run.Why, stamp{&run.ClosedAt}, &waited, &upto, &run.Late, &run.Lost, &left); err != nil {
		return run, err
	}
	err = errors.Join(json.Unmarshal([]byte(waited), &run.WaitedFor), json.Unmarshal([]byte(upto), &run.Upto), json.Unmarshal([]byte(left), &run.LeftOut))
	return run, err
}

// asJSON returns a list or a map as text. Neither can fail to become one.
func asJSON(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// dayOf returns the begin of the UTC day of a time.
func dayOf(t time.Time) time.Time { return t.UTC().Truncate(queue.Day) }

// run reads a day and locks it.
func (s *step) run(day time.Time) (run queue.Run, err error) {
	err = s.each("SELECT "+runColumns+" FROM report_run WHERE day = $1 FOR UPDATE", []any{day}, func(r Rows) (err error) {
		run, err = scanRun(r)
		return err
	})
	if err == nil && run.Day.IsZero() {
		err = queue.ErrUnknown
	}
	return run, err
}

// CloseDay closes a day, unless that has happened.
func (q *Queue) CloseDay(ctx context.Context, run queue.Run) (now queue.Run, err error) {
	run.Day = dayOf(run.Day)
	waited := make([]string, len(run.WaitedFor))
	for i, host := range run.WaitedFor {
		waited[i] = free(host, maxText)
	}
	err = q.do(ctx, "closing a day", func(s *step) error {
		if err := s.addRun(run.Day); err != nil {
			return err
		}
		if _, err := s.exec(`UPDATE report_run SET state = $1, closed_at = $2, waited_for = $3, upto = $4, lost_rows = $5 WHERE day = $6 AND state = $7`,
			queue.Closed, s.now, asJSON(waited), asJSON(run.Upto), run.Lost, run.Day, queue.Open); err != nil {
			return err
		}
		now, err = s.run(run.Day)
		return err
	})
	return now, err
}

// addRun adds an open day, unless it is there.
func (s *step) addRun(day time.Time) error {
	_, err := s.exec(`INSERT INTO report_run (day, state, why, closed_at, waited_for, upto, late_rows, lost_rows, left_out, owner, lease_until)
		VALUES ($1, $2, '', $3, '[]', '{}', 0, 0, '{}', '', $3) ON CONFLICT DO NOTHING`, day, queue.Open, time.Time{})
	return err
}

// TakeDay takes the oldest closed day.
func (q *Queue) TakeDay(ctx context.Context, owner string) (run queue.Run, err error) {
	if err := key("the owner", owner); err != nil {
		return run, err
	}
	err = q.do(ctx, "taking a day", func(s *step) error {
		var day time.Time
		err := s.one(`SELECT day FROM report_run WHERE state = $1 AND (lease_until IS NULL OR lease_until <= $2) ORDER BY day LIMIT 1 FOR UPDATE SKIP LOCKED`,
			[]any{queue.Closed, s.now}, stamp{&day})
		if err != nil {
			return err
		}
		if err := s.must("UPDATE report_run SET owner = $1, lease_until = $2 WHERE day = $3", owner, s.now.Add(queue.Lease), day); err != nil {
			return err
		}
		run, err = s.run(day)
		return err
	})
	return run, err
}

// Plan adds the reports of a day.
func (q *Queue) Plan(ctx context.Context, owner string, day time.Time, p queue.Plan) (result queue.PlanResult, err error) {
	day = dayOf(day)
	usable, unusable := usable(p.Reports)
	err = q.do(ctx, "planning a day", func(s *step) error {
		result = queue.PlanResult{Unusable: unusable}
		if err := s.must(`UPDATE report_run SET state = $1, left_out = $2, owner = '', lease_until = $3 WHERE day = $4 AND state = $5 AND owner = $6`,
			queue.RunPlanned, asJSON(p.LeftOut), time.Time{}, day, queue.Closed, owner); err != nil {
			return err
		}
		if err := sameDay(usable, day); err != nil {
			return err
		}
		if result.Added, err = s.addReports(usable); err != nil {
			return err
		}
		result.Known = len(usable) - result.Added
		return s.finishDay(day)
	})
	return result, err
}

// finishDay makes a planned day done when all its reports have ended. It locks the
// day first, so that of two steps that end the last two reports the second sees
// what the first has done.
func (s *step) finishDay(day time.Time) error {
	run, err := s.run(day)
	if err != nil || run.State != queue.RunPlanned {
		return unknownIsNone(err)
	}
	var open int64
	err = s.one(`SELECT count(*) FROM (SELECT 1 AS one FROM report WHERE kind = $1 AND begin_at >= $2 AND begin_at < $3 AND state IN ($4, $5) LIMIT 1) AS r`,
		[]any{queue.Aggregate, day, day.Add(queue.Day), queue.Planned, queue.Ready}, &open)
	if err != nil || open > 0 {
		return err
	}
	_, err = s.exec("UPDATE report_run SET state = $1 WHERE day = $2", queue.RunDone, day)
	return err
}

// Runs returns days.
func (q *Queue) Runs(ctx context.Context, first, last time.Time) (runs []queue.Run, err error) {
	err = q.do(ctx, "reading days", func(s *step) error {
		runs = nil
		return s.each("SELECT "+runColumns+" FROM report_run WHERE day >= $1 AND day <= $2 ORDER BY day", []any{dayOf(first), dayOf(last)}, func(r Rows) error {
			run, err := scanRun(r)
			runs = append(runs, run)
			return err
		})
	})
	return runs, err
}

// CountRows writes how many rows came late, and how many were lost.
func (q *Queue) CountRows(ctx context.Context, day time.Time, late, lost int64) error {
	return q.do(ctx, "counting late rows", func(s *step) error {
		run, err := s.run(dayOf(day))
		if err != nil {
			return err
		}
		_, err = s.exec("UPDATE report_run SET late_rows = $1, lost_rows = $2 WHERE day = $3", max(run.Late, late), max(run.Lost, lost), dayOf(day))
		return err
	})
}

// RetryDay opens a day that was ended because the queue was restored.
func (q *Queue) RetryDay(ctx context.Context, day time.Time) error {
	return q.do(ctx, "opening a day again", func(s *step) error {
		return s.must("DELETE FROM report_run WHERE day = $1 AND state = $2 AND why = $3", dayOf(day), queue.RunDone, whyRestored)
	})
}
