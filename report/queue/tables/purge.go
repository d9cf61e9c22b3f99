package tables

import (
	"context"
	"errors"
	"strconv"
	"time"

	"dmarcgate/report/queue"
)

// purgeStep is how many reports one transaction deletes: others wait so long.
const purgeStep = 100

var errEmptyPurge = errors.New("a purge of reports needs a time or a domain")

// Purge deletes what is meant, in short transactions. What it has deleted stays
// deleted when it ends early. Suppressions stay until they are lifted: they keep mail
// from being sent.
func (q *Queue) Purge(ctx context.Context, p queue.Purge) (gone queue.Purged, err error) {
	if p == (queue.Purge{}) {
		return gone, errEmptyPurge
	}
	if !p.Bodies.IsZero() {
		if err := q.slices(ctx, &gone.Bodies, (*step).forgetBodies, "created < $1 AND size > 0 AND state NOT IN ($2, $3)", p.Bodies, queue.Planned, queue.Ready); err != nil {
			return gone, err
		}
	}
	if !p.All.IsZero() {
		if err := q.slices(ctx, &gone.Reports, (*step).forgetReports, "end_at <= $1", p.All); err != nil {
			return gone, err
		}
		if gone.Days, err = q.forgetDays(ctx, p.All); err != nil {
			return gone, err
		}
	}
	if p.Domain != "" || !p.Before.IsZero() || p.Documents {
		err = q.forgetMeant(ctx, p, &gone)
	}
	if w, ok := q.db.(wiper); ok && err == nil {
		err = w.Wipe(ctx)
	}
	return gone, err
}

// never is later than every period.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// forgetMeant deletes what a person means.
func (q *Queue) forgetMeant(ctx context.Context, p queue.Purge, gone *queue.Purged) (err error) {
	if p.Domain == "" && !p.Documents {
		return q.slices(ctx, &gone.Reports, (*step).forgetReports, "begin_at < $1", p.Before)
	}
	if p.Before.IsZero() {
		p.Before = never
	}
	if p.Domain != "" {
		if err := key("the domain", p.Domain); err != nil {
			return err
		}
		if err := q.slices(ctx, &gone.Reports, (*step).forgetReports, atOrBelow("policy_domain")+" AND begin_at < $2", p.Domain, p.Before); err != nil {
			return err
		}
		if gone.Addresses, err = q.forgetAddresses(ctx, p.Domain, p.Before); err != nil {
			return err
		}
	}
	if !p.Documents {
		return nil
	}
	return q.slices(ctx, &gone.Bodies, (*step).forgetBodies, "begin_at < $1 AND size > 0 AND state NOT IN ($2, $3)", p.Before, queue.Planned, queue.Ready)
}

// wiper is a database that keeps what was deleted in a log until Wipe.
type wiper interface {
	Wipe(ctx context.Context) error
}

// atOrBelow is the condition that a column is the domain $1, or below it.
func atOrBelow(column string) string {
	return "(" + column + " = $1 OR length(" + column + ") > length($1) AND substr(" + column + ", length(" + column + ") - length($1)) = '.' || $1)"
}

// slices calls do for reports that a condition means, until there is none left.
func (q *Queue) slices(ctx context.Context, total *int64, do func(*step, []held) error, condition string, args ...any) error {
	for {
		var part []held
		err := q.do(ctx, "purging reports", func(s *step) error {
			part = nil
			limit := append(args[:len(args):len(args)], purgeStep)
			err := s.each("SELECT id, kind, begin_at FROM report WHERE "+condition+" ORDER BY id LIMIT $"+strconv.Itoa(len(limit))+" FOR UPDATE", limit, func(r Rows) error {
				var h held
				err := r.Scan(&h.id, &h.kind, stamp{&h.begin})
				part = append(part, h)
				return err
			})
			if err != nil {
				return err
			}
			return do(s, part)
		})
		if err != nil {
			return err
		}
		*total += int64(len(part))
		if len(part) < purgeStep {
			return nil
		}
	}
}

// forgetBodies deletes documents.
func (s *step) forgetBodies(reports []held) error {
	for _, h := range reports {
		if _, err := s.exec("DELETE FROM report_body WHERE report = $1", h.id); err != nil {
			return err
		}
		if _, err := s.exec("UPDATE report SET size = 0 WHERE id = $1", h.id); err != nil {
			return err
		}
	}
	return nil
}

// forgetReports deletes reports and everything about them.
func (s *step) forgetReports(reports []held) error {
	for _, h := range reports {
		for _, text := range [...]string{
			"DELETE FROM attempt WHERE delivery IN (SELECT id FROM delivery WHERE report = $1)",
			"DELETE FROM delivery WHERE report = $1",
			"DELETE FROM report_body WHERE report = $1",
			"DELETE FROM report WHERE id = $1",
		} {
			if _, err := s.exec(text, h.id); err != nil {
				return err
			}
		}
	}
	for _, h := range reports {
		if h.kind == queue.Aggregate {
			if err := s.finishDay(dayOf(h.begin)); err != nil {
				return err
			}
		}
	}
	return nil
}

// forgetDays deletes days, the numbers of their destinations, and suppressions that
// were over before. The last day stays: it says up to where days were closed.
func (q *Queue) forgetDays(ctx context.Context, before time.Time) (days int64, err error) {
	err = q.do(ctx, "purging days", func(s *step) error {
		if days, err = s.exec("DELETE FROM report_run WHERE day < $1 AND day < (SELECT max(day) FROM report_run)", dayOf(before)); err != nil {
			return err
		}
		if _, err := s.exec("DELETE FROM destination_day WHERE day < $1", dayOf(before)); err != nil {
			return err
		}
		_, err := s.exec("DELETE FROM suppression WHERE until < $1", before)
		return err
	})
	return days, err
}

// forgetAddresses takes the addresses of a domain out of deliveries about other
// domains, of periods that began before a time. Deliveries that are at work end.
func (q *Queue) forgetAddresses(ctx context.Context, domain string, before time.Time) (total int64, err error) {
	for {
		var found []int64
		err = q.do(ctx, "purging addresses", func(s *step) error {
			found = nil
			err := s.each("SELECT id FROM delivery WHERE "+atOrBelow("rcpt_host")+" AND report IN (SELECT id FROM report WHERE begin_at < $2) ORDER BY id LIMIT $3", []any{domain, before, purgeStep}, func(r Rows) error {
				var id int64
				err := r.Scan(&id)
				found = append(found, id)
				return err
			})
			for _, id := range found {
				if err == nil {
					err = s.forgetAddress(id)
				}
			}
			return err
		})
		total += int64(len(found))
		if err != nil || len(found) < purgeStep {
			return total, err
		}
	}
}

func (s *step) forgetAddress(id int64) error {
	h, d, err := s.lockDelivery(id)
	if err != nil {
		return unknownIsNone(err)
	}
	if !d.State.Ended() {
		d.State, d.Why = queue.DeliveryGone, "purged"
	}
	if err := s.must("UPDATE delivery SET rcpt_key = $1, rcpt_host = 'purged', uri = '', text = '', verp = '', state = $2, why = $3 WHERE id = $4",
		"purged-"+strconv.FormatInt(id, 10), d.State, d.Why, id); err != nil {
		return err
	}
	return s.settleReport(h)
}
