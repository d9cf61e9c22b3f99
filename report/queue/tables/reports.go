package tables

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dmarcgate/report/queue"
)

const reportColumns = "id, kind, policy_domain, begin_at, end_at, policy_hash, form, state, why, rows, messages, records, size, sha256, created"

func scanReport(r Rows) (p queue.Report, err error) {
	err = r.Scan(&p.ID, &p.Kind, &p.PolicyDomain, stamp{&p.Begin}, stamp{&p.End}, &p.PolicyHash, &p.Form, &p.State, &p.Why,
		&p.Rows, &p.Messages, &p.Records, &p.Size, &p.SHA256, stamp{&p.Created})
	return p, err
}

// usable returns the reports whose keys can be stored, in the order of their ids:
// two hosts that add the same ones never wait for each other in a circle.
func usable(reports []queue.Report) (good []queue.Report, unusable []string) {
	for _, p := range reports {
		err := errors.Join(key("the id", p.ID), key("the policy domain", p.PolicyDomain), key("the hash", p.PolicyHash), key("the form", p.Form))
		for _, d := range p.Deliveries {
			err = errors.Join(err, checkDelivery(d))
		}
		known := p.Kind == queue.Aggregate || p.Kind == queue.Failure
		if err != nil || !known || len(p.ID) > maxHex || !p.End.After(p.Begin) {
			unusable = append(unusable, free(p.ID, maxHex))
			continue
		}
		good = append(good, p)
	}
	slices.SortFunc(good, func(a, b queue.Report) int { return strings.Compare(a.ID, b.ID) })
	return good, unusable
}

// addReports adds planned reports with their deliveries, except those whose key is
// there, and returns how many it has added.
func (s *step) addReports(reports []queue.Report) (added int, err error) {
	fresh := make(map[string]bool, len(reports))
	rows := make([][]any, len(reports))
	for i := range reports {
		p := &reports[i]
		state, why := queue.Planned, ""
		if p.State == queue.Withheld {
			state, why = p.State, free(p.Why, maxText)
		}
		rows[i] = []any{p.ID, p.Kind, p.PolicyDomain, p.Begin, p.End, p.PolicyHash, p.Form, state, why, p.Rows, p.Messages, p.Records, 0, "", s.now, "", time.Time{}, s.now}
	}
	if err := s.insert("INSERT INTO report ("+reportColumns+", owner, lease_until, next_try)", " ON CONFLICT DO NOTHING RETURNING id", rows, func(r Rows) error {
		var id string
		err := r.Scan(&id)
		fresh[id] = true
		return err
	}); err != nil {
		return 0, err
	}
	var deliveries [][]any
	for i := range reports {
		if p := &reports[i]; fresh[p.ID] {
			deliveries = append(deliveries, s.deliveryRows(p.ID, p.Deliveries)...)
			fresh[p.ID] = false // a second one with this id was not added
			added++
		}
	}
	return added, s.addDeliveries(deliveries)
}

// RecordSince returns the begin of the first report about a policy domain. It reads one
// row of the index report_key.
func (q *Queue) RecordSince(ctx context.Context, policyDomain string) (first time.Time, err error) {
	err = q.do(ctx, "reading since when a record is known", func(s *step) error {
		return s.one("SELECT min(begin_at) FROM report WHERE policy_domain = $1 AND kind = 'a'", []any{free(policyDomain, maxKey)}, stamp{&first})
	})
	return first, err
}

// insertPart is how many rows one statement inserts: a database of another host would
// take too long for one at a time.
const insertPart = 100

// insert inserts rows, and calls f for what the statement returns.
func (s *step) insert(head, tail string, rows [][]any, f func(Rows) error) error {
	for part := range slices.Chunk(rows, insertPart) {
		var text strings.Builder
		var args []any
		text.WriteString(head + " VALUES ")
		for i, row := range part {
			for j, value := range row {
				separator := ", "
				switch {
				case j == 0 && i == 0:
					separator = "("
				case j == 0:
					separator = "), ("
				}
				args = append(args, value)
				text.WriteString(separator + "$" + strconv.Itoa(len(args)))
			}
		}
		if err := s.each(text.String()+")"+tail, args, f); err != nil {
			return err
		}
	}
	return nil
}

// held is what a step needs to know of a report before it changes the report.
type held struct {
	id    string
	kind  queue.Kind
	state queue.State
	begin time.Time
	owner string
	until time.Time // of the lease
	sha   string
	size  int64
}

// lock reads a report and locks it.
func (s *step) lock(id string) (h held, err error) {
	h.id = id
	err = s.one("SELECT kind, state, begin_at, owner, lease_until, sha256, size FROM report WHERE id = $1 FOR UPDATE", []any{id},
		&h.kind, &h.state, stamp{&h.begin}, &h.owner, stamp{&h.until}, &h.sha, &h.size)
	return h, err
}

// own locks a report that has not ended and belongs to an owner.
func (s *step) own(id, owner string) (held, error) {
	h, err := s.lock(id)
	if err == nil && (owner == "" || h.owner != owner || h.state.Ended()) {
		err = queue.ErrLost
	}
	return h, err
}

// Take takes reports.
func (q *Queue) Take(ctx context.Context, owner string, want queue.State, limit int) (reports []queue.Report, err error) {
	if err := key("the owner", owner); err != nil {
		return nil, err
	}
	if want.Ended() {
		return nil, fmt.Errorf("taking reports: no work is left for state %q", want)
	}
	err = q.do(ctx, "taking reports", func(s *step) error {
		// Not materialized, the rows could be chosen more than once, and others each time.
		reports, err = s.list(`WITH work AS MATERIALIZED (
			SELECT id FROM report WHERE state = $3 AND next_try <= $4 AND (lease_until IS NULL OR lease_until <= $4)
			ORDER BY next_try, id LIMIT $5 FOR UPDATE SKIP LOCKED)
			UPDATE report SET owner = $1, lease_until = $2 WHERE id IN (SELECT id FROM work) RETURNING `+reportColumns,
			owner, s.now.Add(queue.Lease), want, s.now, limit)
		if err != nil || want == queue.Planned {
			return err
		}
		return s.withDeliveries(reports)
	})
	return reports, err
}

// list reads reports.
func (s *step) list(text string, args ...any) (reports []queue.Report, err error) {
	err = s.each(text, args, func(r Rows) error {
		p, err := scanReport(r)
		reports = append(reports, p)
		return err
	})
	return reports, err
}

// Renew begins leases anew.
func (q *Queue) Renew(ctx context.Context, owner string) (n int, err error) {
	if err := key("the owner", owner); err != nil {
		return 0, err
	}
	err = q.do(ctx, "renewing leases", func(s *step) error {
		until := s.now.Add(queue.Lease)
		reports, err := s.exec("UPDATE report SET lease_until = $1 WHERE owner = $2 AND state IN ($3, $4)", until, owner, queue.Planned, queue.Ready)
		if err != nil {
			return err
		}
		n = int(reports)
		_, err = s.exec("UPDATE report_run SET lease_until = $1 WHERE owner = $2 AND state = $3", until, owner, queue.Closed)
		return err
	})
	return n, err
}

// Release gives a report back.
func (q *Queue) Release(ctx context.Context, owner, id string) error {
	return q.do(ctx, "giving a report back", func(s *step) error {
		if _, err := s.own(id, owner); err != nil {
			return err
		}
		return s.free(id)
	})
}

// free ends the lease of a report.
func (s *step) free(id string) error {
	_, err := s.exec("UPDATE report SET owner = '', lease_until = $1 WHERE id = $2", time.Time{}, id)
	return err
}

// StoreBody keeps the document of a planned report.
func (q *Queue) StoreBody(ctx context.Context, owner, id string, b queue.Body) error {
	if len(b.Gzip) == 0 || len(b.Gzip) > maxBody {
		return fmt.Errorf("storing the document of a report: %d bytes", len(b.Gzip))
	}
	sum := sha256.Sum256(b.Gzip)
	text := hex.EncodeToString(sum[:])
	return q.do(ctx, "storing the document of a report", func(s *step) error {
		h, err := s.own(id, owner)
		switch {
		case err != nil:
			return err
		case h.state == queue.Ready && h.sha == text:
			return nil // repeated: the answer to the first commit was lost
		case h.state != queue.Planned:
			return queue.ErrLost
		}
		if _, err := s.exec("INSERT INTO report_body VALUES ($1, $2)", id, b.Gzip); err != nil {
			return err
		}
		if err := s.must("UPDATE report SET state = $1, size = $2, sha256 = $3, records = $4, next_try = $5 WHERE id = $6",
			queue.Ready, len(b.Gzip), text, b.Records, s.now, id); err != nil {
			return err
		}
		return s.settleReport(h)
	})
}

// ReadBody returns the document of a report.
func (q *Queue) ReadBody(ctx context.Context, id string) (b queue.Body, err error) {
	err = q.do(ctx, "reading the document of a report", func(s *step) error {
		var sha string
		if err := s.one("SELECT records, sha256 FROM report WHERE id = $1", []any{id}, &b.Records, &sha); err != nil {
			return err
		}
		err := s.one("SELECT body FROM report_body WHERE report = $1", []any{id}, &b.Gzip)
		if errors.Is(err, queue.ErrUnknown) && sha != "" {
			return queue.ErrGone
		}
		return err
	})
	return b, err
}

// End ends a report and its open deliveries.
func (q *Queue) End(ctx context.Context, owner, id string, state queue.State, why string) error {
	to, known := queue.DeliveriesOf(state)
	if !known {
		return fmt.Errorf("ending a report: no owner ends it as %q", state)
	}
	return q.do(ctx, "ending a report", func(s *step) error {
		h, err := s.own(id, owner)
		if err != nil {
			return err
		}
		return s.end(h, state, to, why)
	})
}

// end ends a report that is locked.
func (s *step) end(h held, state queue.State, to queue.DeliveryState, why string) error {
	why = free(why, maxText)
	if _, err := s.exec("UPDATE delivery SET state = $1, why = $2 WHERE report = $3 AND state IN ($4, $5)", to, why, h.id, queue.Due, queue.Trying); err != nil {
		return err
	}
	return s.over(h, state, why)
}

// over makes a report one that has ended.
func (s *step) over(h held, state queue.State, why string) error {
	if err := s.must("UPDATE report SET state = $1, why = $2, owner = '', lease_until = $3 WHERE id = $4", state, why, time.Time{}, h.id); err != nil {
		return err
	}
	if h.kind != queue.Aggregate {
		return nil
	}
	return s.finishDay(dayOf(h.begin))
}

// Split replaces a report by others.
func (q *Queue) Split(ctx context.Context, owner, id string, parts []queue.Report) error {
	good, unusable := usable(parts)
	if len(unusable) > 0 || len(good) < 2 {
		return fmt.Errorf("splitting a report: %w: %d parts, %d of them unusable", queue.ErrText, len(parts), len(unusable))
	}
	return q.do(ctx, "splitting a report", func(s *step) error {
		h, err := s.own(id, owner)
		if err != nil {
			return err
		}
		if err := sameDay(good, dayOf(h.begin)); err != nil {
			return err
		}
		if _, err := s.addReports(good); err != nil {
			return err
		}
		return s.end(h, queue.Split, queue.DeliveryGone, "split")
	})
}

// sameDay checks that reports are of a day.
func sameDay(reports []queue.Report, day time.Time) error {
	for i := range reports {
		if !dayOf(reports[i].Begin).Equal(day) || reports[i].End.After(day.Add(queue.Day)) {
			return fmt.Errorf("the report %s is of another day", reports[i].ID)
		}
	}
	return nil
}

// settleReport brings a report up to date after its deliveries have changed: its
// next_try is the earliest of theirs, and a ready report whose deliveries have all
// ended is done.
func (s *step) settleReport(h held) error {
	var all, open int64
	var next time.Time
	if err := s.one("SELECT count(*), coalesce(sum(CASE WHEN state IN ($1, $2) THEN 1 ELSE 0 END), 0), min(CASE WHEN state IN ($1, $2) THEN next_try END) FROM delivery WHERE report = $3",
		[]any{queue.Due, queue.Trying, h.id}, &all, &open, stamp{&next}); err != nil {
		return err
	}
	var state queue.State
	if err := s.one("SELECT state FROM report WHERE id = $1", []any{h.id}, &state); err != nil || state != queue.Ready {
		return err
	}
	if after := queue.AfterDelivery(state, all, open); after != state {
		return s.over(h, after, "")
	}
	if next.IsZero() {
		next = s.now
	}
	return s.must("UPDATE report SET next_try = $1 WHERE id = $2", next, h.id)
}

// Find returns reports.
func (q *Queue) Find(ctx context.Context, f queue.Filter) (reports []queue.Report, err error) {
	text, args := "SELECT "+reportColumns+" FROM report WHERE TRUE", []any(nil)
	add := func(condition string, value any) { // %d is the number of the value
		args = append(args, value)
		text += fmt.Sprintf(" AND "+condition, len(args))
	}
	for _, c := range []struct {
		condition, value string
		most             int
	}{
		{"id = $%d", f.ID, maxHex}, {"policy_domain = $%d", f.PolicyDomain, maxKey}, {"state = $%d", string(f.State), maxText}, {"why = $%d", f.Why, maxText},
		{"id IN (SELECT d.report FROM delivery AS d WHERE d.state = $%d)", string(f.MailState), maxText},
		{"id IN (SELECT d.report FROM delivery AS d WHERE d.why = $%d)", f.MailWhy, maxText},
	} {
		if c.value != "" {
			add(c.condition, free(c.value, c.most))
		}
	}
	if !f.First.IsZero() {
		add("begin_at >= $%d", f.First)
	}
	if !f.Last.IsZero() {
		add("begin_at <= $%d", f.Last)
	}
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	args = append(args, f.Limit)
	text += fmt.Sprintf(" ORDER BY begin_at DESC, policy_domain, id LIMIT $%d", len(args))
	err = q.do(ctx, "searching for reports", func(s *step) error {
		if reports, err = s.list(text, args...); err != nil {
			return err
		}
		return s.withDeliveries(reports)
	})
	return reports, err
}
