package tables

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dmarcgate/report/queue"
)

const deliveryColumns = "id, rcpt_key, uri, via, rcpt_host, state, why, attempts, next_try, first_try, code, enhanced, text, mx_reply_id, verp, suspected"

func scanDelivery(r Rows) (d queue.Delivery, err error) {
	err = r.Scan(&d.ID, &d.Key, &d.URI, &d.Via, &d.Host, &d.State, &d.Why, &d.Attempts, stamp{&d.NextTry}, stamp{&d.FirstTry},
		&d.Code, &d.Enhanced, &d.Text, &d.ReplyID, &d.VERP, &d.Suspected)
	return d, err
}

// checkDelivery checks what a delivery is found by.
func checkDelivery(d queue.Delivery) error {
	err := errors.Join(key("the address", d.Key), key("the host", d.Host))
	if d.VERP != "" {
		err = errors.Join(err, key("the token", d.VERP))
	}
	if len(d.URI) > maxURI {
		err = errors.Join(err, fmt.Errorf("%w: the URI has %d bytes", queue.ErrText, len(d.URI)))
	}
	return err
}

// deliveryRows returns the rows of deliveries that are due at their NextTry, or now.
func (s *step) deliveryRows(id string, to []queue.Delivery) (rows [][]any) {
	for _, d := range to {
		next := d.NextTry
		if next.IsZero() {
			next = s.now
		}
		rows = append(rows, []any{id, d.Key, d.Host, free(d.URI, maxURI), free(d.Via, maxText), queue.Due, "", 0, next, time.Time{}, 0, "", "", "", d.VERP, 0})
	}
	return rows
}

// addDeliveries adds deliveries, except those whose address their report has.
func (s *step) addDeliveries(rows [][]any) error {
	return s.insert("INSERT INTO delivery (report, rcpt_key, rcpt_host, uri, via, state, why, attempts, next_try, first_try, code, enhanced, text, mx_reply_id, verp, suspected)",
		" ON CONFLICT DO NOTHING", rows, func(Rows) error { return nil })
}

// withDeliveries reads the deliveries of reports.
func (s *step) withDeliveries(reports []queue.Report) error {
	for i := range reports {
		p := &reports[i]
		if err := s.each("SELECT "+deliveryColumns+" FROM delivery WHERE report = $1 ORDER BY id", []any{p.ID}, func(r Rows) error {
			d, err := scanDelivery(r)
			p.Deliveries = append(p.Deliveries, d)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// Address adds deliveries to a report.
func (q *Queue) Address(ctx context.Context, owner, id string, to []queue.Delivery) error {
	for _, d := range to {
		if err := checkDelivery(d); err != nil {
			return fmt.Errorf("adding deliveries: %w", err)
		}
	}
	return q.do(ctx, "adding deliveries", func(s *step) error {
		h, err := s.own(id, owner)
		if err != nil {
			return err
		}
		if err := s.addDeliveries(s.deliveryRows(id, to)); err != nil {
			return err
		}
		return s.settleReport(h)
	})
}

// lockDelivery locks the report of a delivery, and reads the delivery.
func (s *step) lockDelivery(id int64) (h held, d queue.Delivery, err error) {
	var report string
	if err := s.one("SELECT report FROM delivery WHERE id = $1", []any{id}, &report); err != nil {
		return h, d, err
	}
	if h, err = s.lock(report); err != nil {
		return h, d, err
	}
	err = s.each("SELECT "+deliveryColumns+" FROM delivery WHERE id = $1", []any{id}, func(r Rows) (err error) {
		d, err = scanDelivery(r)
		return err
	})
	return h, d, err
}

// Begin commits an attempt.
func (q *Queue) Begin(ctx context.Context, owner string, b queue.Begin) (a queue.Attempt, err error) {
	if err := errors.Join(key("the owner", owner), key("the sender", b.Sender)); err != nil {
		return a, err
	}
	err = q.do(ctx, "beginning an attempt", func(s *step) error {
		h, d, err := s.lockDelivery(b.Delivery)
		switch {
		case err != nil:
			return err
		case h.owner != owner || h.state != queue.Ready || !h.until.After(s.now) || d.State.Ended():
			return queue.ErrLost
		case d.State == queue.Due && d.NextTry.After(s.now):
			return &queue.LimitError{Why: "not_due"}
		}
		if err := s.reserve(d.Host, b); err != nil {
			return err
		}
		a, err = s.attempt(owner, h, d)
		if err == nil {
			a.Mark, err = s.raise(b.Sender, dayOf(h.begin))
		}
		return err
	})
	return a, err
}

// attempt writes the next attempt of a delivery, and begins the lease anew.
func (s *step) attempt(owner string, h held, d queue.Delivery) (a queue.Attempt, err error) {
	unknown, err := s.exec("UPDATE attempt SET outcome = $1 WHERE delivery = $2 AND n = $3 AND outcome = ''", outcomeUnknown, d.ID, d.Attempts)
	if err != nil {
		return a, err
	}
	a = queue.Attempt{Delivery: d.ID, N: d.Attempts + 1, At: s.now, Date: d.FirstTry, Again: unknown > 0}
	if a.Date.IsZero() {
		a.Date = s.now
	}
	if _, err := s.exec("INSERT INTO attempt (delivery, n, at, owner, host, outcome) VALUES ($1, $2, $3, $4, '', '')", a.Delivery, a.N, a.At, owner); err != nil {
		return a, err
	}
	if err := s.must("UPDATE delivery SET state = $1, attempts = $2, first_try = $3, next_try = $4, suspected = suspected + $5 WHERE id = $6",
		queue.Trying, a.N, a.Date, s.now, unknown, d.ID); err != nil {
		return a, err
	}
	return a, s.must("UPDATE report SET lease_until = $1 WHERE id = $2", s.now.Add(queue.Lease), h.id)
}

// The outcomes of attempts that have no state.
const outcomeUnknown = "unknown" // its host died, or did not say in time

// Settle writes how an attempt ended.
func (q *Queue) Settle(ctx context.Context, owner string, a queue.Attempt, o queue.Outcome) error {
	if o.State != queue.Due && o.State != queue.Sent && o.State != queue.Refused && o.State != queue.Expired {
		return fmt.Errorf("settling an attempt: no attempt ends as %q", o.State)
	}
	return q.do(ctx, "settling an attempt", func(s *step) error {
		h, d, err := s.lockDelivery(a.Delivery)
		if err != nil {
			return err
		}
		var by, outcome string
		if err := s.one("SELECT owner, outcome FROM attempt WHERE delivery = $1 AND n = $2", []any{a.Delivery, a.N}, &by, &outcome); err != nil {
			return err
		}
		switch {
		case by != owner:
			return queue.ErrLost
		case outcome == string(o.State):
			return nil // repeated: the answer to the first commit was lost
		case outcome != "" || d.Attempts != a.N:
			return queue.ErrLost
		}
		return s.settle(h, d, a, o)
	})
}

// settle writes the outcome of the last attempt of a delivery. A delivery that was
// ended while the attempt went on keeps its state, unless the mail was sent.
func (s *step) settle(h held, d queue.Delivery, a queue.Attempt, o queue.Outcome) error {
	if err := s.must("UPDATE attempt SET host = $1, outcome = $2 WHERE delivery = $3 AND n = $4", free(o.Host, maxText), o.State, a.Delivery, a.N); err != nil {
		return err
	}
	if o.State != queue.Sent {
		if err := s.failed(d.Host, dayOf(a.At)); err != nil {
			return err
		}
	}
	if queue.AfterAttempt(d.State, o.State) != o.State {
		return nil
	}
	if err := s.write(d, o); err != nil {
		return err
	}
	return s.settleReport(h)
}

// write writes an outcome into a delivery, and its strike.
func (s *step) write(d queue.Delivery, o queue.Outcome) error {
	next := o.NextTry
	if next.IsZero() {
		next = s.now
	}
	if err := s.must("UPDATE delivery SET state = $1, why = $2, next_try = $3, code = $4, enhanced = $5, text = $6, mx_reply_id = $7 WHERE id = $8",
		o.State, free(o.Why, maxText), next, o.Code, free(o.Enhanced, maxHex), free(o.Text, maxText), free(o.ReplyID, maxText), d.ID); err != nil {
		return err
	}
	if o.Strike == nil {
		return nil
	}
	return s.strike(*o.Strike)
}

// EndDelivery ends or defers a delivery.
func (q *Queue) EndDelivery(ctx context.Context, owner string, delivery int64, o queue.Outcome) error {
	if o.State == queue.Trying || o.State == queue.Sent {
		return fmt.Errorf("ending a delivery: it becomes %q by an attempt alone", o.State)
	}
	return q.do(ctx, "ending a delivery", func(s *step) error {
		h, d, err := s.lockDelivery(delivery)
		if err != nil {
			return err
		}
		if h.owner != owner || h.state.Ended() || d.State.Ended() {
			return queue.ErrLost
		}
		if err := s.write(d, o); err != nil {
			return err
		}
		return s.settleReport(h)
	})
}

// Bounce makes a sent delivery refused.
func (q *Queue) Bounce(ctx context.Context, verp string, o queue.Outcome) (first bool, err error) {
	if err := key("the token", verp); err != nil {
		return false, err
	}
	err = q.do(ctx, "noting a bounce", func(s *step) error {
		first = false
		var id int64
		if err := s.one("SELECT id FROM delivery WHERE verp = $1", []any{verp}, &id); err != nil {
			return err
		}
		_, d, err := s.lockDelivery(id)
		if err != nil || d.State != queue.Sent {
			return err
		}
		first = true
		o.State = queue.Refused
		if o.Strike != nil && o.Strike.Kind == queue.SuppressAddr && o.Strike.What == "" {
			strike := *o.Strike
			strike.What, o.Strike = d.Key, &strike
		}
		return s.write(d, o)
	})
	return first, err
}

// Attempts returns the attempts of a report.
func (q *Queue) Attempts(ctx context.Context, report string) (tried []queue.Tried, err error) {
	err = q.do(ctx, "reading attempts", func(s *step) error {
		tried = nil
		return s.each(`SELECT a.delivery, a.n, a.at, a.owner, a.host, a.outcome FROM attempt a JOIN delivery d ON d.id = a.delivery
			WHERE d.report = $1 ORDER BY a.at, a.delivery, a.n`, []any{free(report, maxHex)}, func(r Rows) error {
			var t queue.Tried
			err := r.Scan(&t.Delivery, &t.N, stamp{&t.At}, &t.Owner, &t.Host, &t.Outcome)
			tried = append(tried, t)
			return err
		})
	})
	return tried, err
}
