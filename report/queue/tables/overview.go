package tables

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dmarcgate/report/queue"
)

// Overview reads what an operator looks at first.
func (q *Queue) Overview(ctx context.Context, days, lines int) (o queue.Overview, err error) {
	err = q.do(ctx, "reading an overview", func(s *step) (err error) {
		o = queue.Overview{Now: s.now}
		if o.Days, err = s.newestDays(days); err != nil {
			return err
		}
		since := dayOf(s.now)
		if len(o.Days) > 0 {
			since = o.Days[len(o.Days)-1].Day
		}
		return errors.Join(s.lookTallies(&o, since, lines), s.lookMails(&o, lines), s.lookToday(&o), s.lookSuppressed(&o, lines))
	})
	if err == nil {
		o.Notes, err = queue.ReadNotes(ctx, q)
	}
	return o, err
}

// newestDays reads the newest days, newest first.
func (s *step) newestDays(most int) (days []queue.Run, err error) {
	err = s.each("SELECT "+runColumns+" FROM report_run ORDER BY day DESC LIMIT $1", []any{most}, func(r Rows) error {
		run, err := scanRun(r)
		days = append(days, run)
		return err
	})
	return days, err
}

// openStates and endedStates are those of deliveries.
var (
	openStates  = []any{queue.Due, queue.Trying}
	endedStates = []any{queue.Sent, queue.Refused, queue.Expired, queue.Suppressed, queue.Unauthorized, queue.DeliveryGone, queue.DeliveryHeld}
)

// places are the places of so many values of a statement, of which the first has the
// number from.
func places(from, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("$%d", from+i)
	}
	return strings.Join(list, ", ")
}

// lookTallies counts reports of days, and mails, by state and reason.
func (s *step) lookTallies(o *queue.Overview, since time.Time, lines int) (err error) {
	const by = " GROUP BY state, why"
	// Grouped in the order of the index report_begin: SQLite would read all reports by
	// another one.
	if o.Reports, err = s.counted("SELECT state, why, count(*) FROM report WHERE begin_at >= $1 GROUP BY begin_at, state, why", lines, since); err != nil {
		return err
	}
	open := "SELECT state, why, count(*) FROM delivery WHERE state IN (" + places(1, len(openStates)) + ")" + by
	if o.Mails, err = s.counted(open, lines, openStates...); err != nil {
		return err
	}
	ended := fmt.Sprintf("SELECT state, why, count(*) FROM delivery WHERE state IN (%s) AND next_try >= $%d", places(1, len(endedStates)), len(endedStates)+1) + by
	more, err := s.counted(ended, lines, append(slices.Clip(endedStates), since)...)
	o.Mails = mostFrequent(append(o.Mails, more...), lines)
	return err
}

// counted reads numbers by state and reason, the most frequent first.
func (s *step) counted(text string, most int, args ...any) (list []queue.Tally, err error) {
	sums := map[[2]string]int64{}
	err = s.each(text, args, func(r Rows) error {
		var word [2]string
		var n int64
		err := r.Scan(&word[0], &word[1], &n)
		sums[word] += n
		return err
	})
	for word, n := range sums {
		list = append(list, queue.Tally{State: word[0], Why: word[1], N: n})
	}
	return mostFrequent(list, most), err
}

// mostFrequent returns the most frequent, so many of them.
func mostFrequent(list []queue.Tally, most int) []queue.Tally {
	slices.SortFunc(list, func(a, b queue.Tally) int {
		return cmp.Or(cmp.Compare(b.N, a.N), strings.Compare(a.State, b.State), strings.Compare(a.Why, b.Why))
	})
	return list[:min(len(list), most)]
}

// lookMails reads the next attempts and the last failures.
func (s *step) lookMails(o *queue.Overview, lines int) (err error) {
	byTime := func(a, b queue.Mail) int { return a.NextTry.Compare(b.NextTry) }
	if o.Next, err = s.mails(openStates, "ASC", lines); err != nil {
		return err
	}
	slices.SortStableFunc(o.Next, byTime)
	o.Next = o.Next[:min(len(o.Next), lines)]
	o.Failed, err = s.mails([]any{queue.Refused, queue.Expired}, "DESC", lines)
	slices.SortStableFunc(o.Failed, func(a, b queue.Mail) int { return byTime(b, a) })
	o.Failed = o.Failed[:min(len(o.Failed), lines)]
	return err
}

// mails reads deliveries of states by the time of their next attempt, so many of each.
func (s *step) mails(states []any, order string, most int) (list []queue.Mail, err error) {
	for _, state := range states {
		err = errors.Join(err, s.each("SELECT r.id, r.policy_domain, r.begin_at, r.end_at, d.rcpt_key, d.rcpt_host, d.state, d.why, d.attempts, d.next_try, d.code, d.enhanced, d.text"+
			" FROM delivery AS d JOIN report AS r ON r.id = d.report WHERE d.state = $1 ORDER BY d.next_try "+order+" LIMIT $2", []any{state, most}, func(r Rows) error {
			var m queue.Mail
			err := r.Scan(&m.Report, &m.PolicyDomain, stamp{&m.Begin}, stamp{&m.End}, &m.Key, &m.Host, &m.State, &m.Why, &m.Attempts, stamp{&m.NextTry}, &m.Code, &m.Enhanced, &m.Text)
			list = append(list, m)
			return err
		}))
	}
	return list, err
}

// lookToday reads what counts for the caps of the day.
func (s *step) lookToday(o *queue.Overview) error {
	return unknownIsNone(s.one("SELECT sent - failed, new_hosts FROM destination_day WHERE rcpt_host = $1 AND day = $2", []any{all, dayOf(s.now)}, &o.SentToday, &o.NewToday))
}

// lookSuppressed reads the newest suppressions that are active.
func (s *step) lookSuppressed(o *queue.Overview, lines int) (err error) {
	if o.Suppressed, err = s.suppressions(" WHERE until IS NULL OR until > $1 ORDER BY since DESC, kind, what LIMIT $2", s.now, lines); err != nil {
		return err
	}
	return s.one("SELECT count(*) FROM suppression WHERE until IS NULL OR until > $1", []any{s.now}, &o.Suppressing)
}
