package tables

import (
	"context"
	"time"

	"dmarcgate/report/queue"
)

// Retry puts a report that has ended back to work. One that never had a document
// is rendered first; of the others, what was not sent is due now.
func (q *Queue) Retry(ctx context.Context, id string) error {
	return q.do(ctx, "trying a report again", func(s *step) error {
		h, err := s.lock(id)
		if err != nil {
			return err
		}
		state, err := queue.AfterRetry(h.state, h.sha != "", h.size > 0)
		if err != nil {
			return err
		}
		if _, err := s.exec("UPDATE delivery SET state = $1, why = '', next_try = $2, first_try = $3 WHERE report = $4 AND state <> $5",
			queue.Due, s.now, time.Time{}, id, queue.Sent); err != nil {
			return err
		}
		if err := s.must("UPDATE report SET state = $1, why = '', owner = '', lease_until = $2, next_try = $3 WHERE id = $4", state, time.Time{}, s.now, id); err != nil {
			return err
		}
		if h.kind == queue.Aggregate {
			if _, err := s.exec("UPDATE report_run SET state = $1 WHERE day = $2 AND state = $3 AND why = ''", queue.RunPlanned, dayOf(h.begin), queue.RunDone); err != nil {
				return err
			}
		}
		return s.settleReport(h)
	})
}

// Hasten makes what is due later due now.
func (q *Queue) Hasten(ctx context.Context, id string) error {
	return q.do(ctx, "sending a report now", func(s *step) error {
		h, err := s.lock(id)
		if err != nil {
			return err
		}
		if h.state.Ended() {
			return queue.ErrLost
		}
		if _, err := s.exec("UPDATE delivery SET next_try = $1 WHERE report = $2 AND state = $3", s.now, id, queue.Due); err != nil {
			return err
		}
		return s.settleReport(h)
	})
}
