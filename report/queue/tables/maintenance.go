package tables

import (
	"context"
	"time"

	"dmarcgate/report/queue"
)

// Note returns what was noted.
func (q *Queue) Note(ctx context.Context, name string) (text string, err error) {
	err = q.do(ctx, "reading a note", func(s *step) error {
		text = ""
		return unknownIsNone(s.one("SELECT text FROM report_note WHERE name = $1", []any{free(name, maxText)}, &text))
	})
	return text, err
}

// SetNote notes a text.
func (q *Queue) SetNote(ctx context.Context, name, text string) error {
	if err := key("the name", name); err != nil {
		return err
	}
	return q.do(ctx, "writing a note", func(s *step) error {
		if text == "" {
			_, err := s.exec("DELETE FROM report_note WHERE name = $1", name)
			return err
		}
		_, err := s.exec("INSERT INTO report_note (name, text) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET text = excluded.text", name, free(text, maxURI))
		return err
	})
}

// whyRestored is the why of what was held because the queue is older than the mark.
const whyRestored = "restored"

// Reconcile holds what may have been sent when the queue is older than a mark.
func (q *Queue) Reconcile(ctx context.Context, m queue.Mark) (found queue.Restored, err error) {
	if err := key("the sender", m.Sender); err != nil {
		return found, err
	}
	err = q.do(ctx, "comparing the queue with the mark of sent reports", func(s *step) error {
		found = queue.Restored{}
		if found.Condition, err = s.compare(m); err != nil || found.Condition == queue.AsLeft {
			return err
		}
		if found.Condition == queue.WasOlder {
			if found.Held, err = s.hold(m.Day); err != nil {
				return err
			}
		}
		if found.Days, err = s.endDays(m.Day); err != nil {
			return err
		}
		_, err = s.exec("INSERT INTO report_sender (sender, attempts, day) VALUES ($1, $2, $3) ON CONFLICT (sender) DO UPDATE SET attempts = excluded.attempts, day = excluded.day",
			m.Sender, m.Attempts, m.Day)
		return err
	})
	return found, err
}

// compare compares the queue with a mark.
func (s *step) compare(m queue.Mark) (queue.Condition, error) {
	ours, err := s.mark(m.Sender, "") // the sender comes last in the order of locks
	if err != nil {
		return queue.AsLeft, err
	}
	ours.Queue, err = s.queueID()
	return m.Compare(ours), err
}

// hold ends the reports up to a day that have not ended.
func (s *step) hold(last time.Time) (int, error) {
	var open []held
	err := s.each("SELECT id, kind, begin_at FROM report WHERE state IN ($1, $2) AND begin_at < $3 ORDER BY id FOR UPDATE",
		[]any{queue.Planned, queue.Ready, last.Add(queue.Day)}, func(r Rows) error {
			var h held
			err := r.Scan(&h.id, &h.kind, stamp{&h.begin})
			open = append(open, h)
			return err
		})
	if err != nil {
		return 0, err
	}
	for _, h := range open {
		if err := s.end(h, queue.Held, queue.DeliveryHeld, whyRestored); err != nil {
			return 0, err
		}
	}
	return len(open), nil
}

// endDays ends the days up to one that are not planned, as far back as reports are
// made at all.
func (s *step) endDays(last time.Time) (int, error) {
	ended := 0
	for day := last.AddDate(0, 0, -queue.CatchUp); !day.After(last); day = day.AddDate(0, 0, 1) {
		if err := s.addRun(day); err != nil {
			return 0, err
		}
		n, err := s.exec("UPDATE report_run SET state = $1, why = $2, owner = '', lease_until = $3 WHERE day = $4 AND state IN ($5, $6)",
			queue.RunDone, whyRestored, time.Time{}, day, queue.Open, queue.Closed)
		if err != nil {
			return 0, err
		}
		ended += int(n)
	}
	return ended, nil
}

// Counts counts.
func (q *Queue) Counts(ctx context.Context) (c queue.Counts, err error) {
	err = q.do(ctx, "counting", func(s *step) error {
		c = queue.Counts{Reports: map[queue.State]int64{}, Deliveries: map[queue.DeliveryState]int64{}, Suppressed: map[string]int64{}}
		if err := tally(s, c.Reports, "SELECT state, count(*) FROM report GROUP BY state"); err != nil {
			return err
		}
		if err := tally(s, c.Deliveries, "SELECT state, count(*) FROM delivery GROUP BY state"); err != nil {
			return err
		}
		if err := tally(s, c.Suppressed, "SELECT source, count(*) FROM suppression WHERE until IS NULL OR until > $1 GROUP BY source", s.now); err != nil {
			return err
		}
		if err := s.one("SELECT min(next_try) FROM delivery WHERE state IN ($1, $2)", []any{queue.Due, queue.Trying}, stamp{&c.OldestDue}); err != nil {
			return err
		}
		if err := s.one("SELECT CAST(coalesce(sum(suspected), 0) AS bigint) FROM delivery WHERE suspected > 0", nil, &c.Again); err != nil {
			return err
		}
		return s.each("SELECT "+runColumns+" FROM report_run WHERE state <> $1 ORDER BY day DESC LIMIT 1", []any{queue.Open}, func(r Rows) error {
			run, err := scanRun(r)
			c.LastClosed, c.WaitedFor = run.Day, run.WaitedFor
			return err
		})
	})
	return c, err
}

// tally reads numbers by a word.
func tally[K ~string](s *step, into map[K]int64, text string, args ...any) error {
	return s.each(text, args, func(r Rows) error {
		var word K
		var n int64
		err := r.Scan(&word, &n)
		into[word] = n
		return err
	})
}
