package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"dmarcgate/report/queue"
	"dmarcgate/report/queue/tables"
)

func (r *rig) exec(text string, args ...any) {
	r.t.Helper()
	r.ok(r.s.Do(r.t.Context(), func(tx tables.Tx) error {
		_, err := tx.Exec(r.t.Context(), text, args...)
		return err
	}))
}

// errKilled ends a host.
var errKilled = errors.New("killed")

// killer ends a host at a moment.
type killer struct {
	tables.Database
	at    int // the moment, counted from 1; 0 for never
	count int
}

// moment is a moment at which the host may die.
func (k *killer) moment() error {
	if k.count++; k.count == k.at {
		return errKilled
	}
	return nil
}

// Do has two moments: before the transaction, and when it is committed and the host
// has not heard of that.
func (k *killer) Do(ctx context.Context, f func(tables.Tx) error) error {
	if err := k.moment(); err != nil {
		return err
	}
	err := k.Database.Do(ctx, f)
	if dead := k.moment(); dead != nil {
		return dead
	}
	return err
}

// inbox counts the mails that a server has taken, by text.
type inbox map[string]int

// live is the whole life of a report, by one host that looks at what is left to do.
func live(ctx context.Context, q *tables.Queue, k *killer, owner string, run queue.Run, plan queue.Plan, to inbox) error {
	if _, err := q.CloseDay(ctx, run); err != nil {
		return err
	}
	if _, err := q.TakeDay(ctx, owner); err == nil {
		if _, err := q.Plan(ctx, owner, run.Day, plan); err != nil {
			return err
		}
	} else if !errors.Is(err, queue.ErrUnknown) {
		return err
	}
	planned, err := q.Take(ctx, owner, queue.Planned, 10)
	if err != nil {
		return err
	}
	for _, p := range planned {
		if err := q.StoreBody(ctx, owner, p.ID, body(p.ID)); err != nil {
			return err
		}
		if err := q.Release(ctx, owner, p.ID); err != nil {
			return err
		}
	}
	ready, err := q.Take(ctx, owner, queue.Ready, 10)
	if err != nil {
		return err
	}
	for _, p := range ready {
		if err := deliver(ctx, q, k, owner, p, to); err != nil {
			return err
		}
	}
	return nil
}

// deliver sends one report. The text of a mail is made from what the queue keeps.
func deliver(ctx context.Context, q *tables.Queue, k *killer, owner string, p queue.Report, to inbox) error {
	doc, err := q.ReadBody(ctx, p.ID)
	if err != nil {
		return err
	}
	for _, d := range p.Deliveries {
		if d.State.Ended() {
			continue
		}
		a, err := q.Begin(ctx, owner, begin(d))
		if err != nil {
			return err
		}
		if err := k.moment(); err != nil { // before MAIL FROM, RCPT TO, DATA
			return err
		}
		to[fmt.Sprintf("%s %s %s %d", p.ID, d.Key, doc.Gzip, a.Date.UnixMilli())]++
		if err := k.moment(); err != nil { // the other server has said 250
			return err
		}
		if err := q.Settle(ctx, owner, a, sent); err != nil {
			return err
		}
	}
	return nil
}

// hostsAtOnce do the same work at the same time.
const hostsAtOnce = 3

func threeHosts(t *testing.T, s Subject) {
	r := newRig(t, s)
	run, plan := queue.Run{Day: r.yesterday()}, queue.Plan{}
	for n := range 60 {
		plan.Reports = append(plan.Reports, r.report(n, "one.example", "two.example"))
	}
	var hosts sync.WaitGroup
	var boxes [hostsAtOnce]inbox
	for n := range hostsAtOnce {
		q := tables.New(s.Again())
		boxes[n] = inbox{}
		hosts.Go(func() {
			for range 2 * len(plan.Reports) / hostsAtOnce {
				if err := live(t.Context(), q, &killer{}, fmt.Sprint("host", n), run, plan, boxes[n]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	hosts.Wait()
	r.day(queue.RunDone)
	all, mails := inbox{}, 0
	for _, box := range boxes {
		for text, n := range box {
			all[text] += n
			mails += n
		}
	}
	if want := 2 * len(plan.Reports); len(all) != want || mails != want {
		t.Errorf("%d mails with %d texts; want %d of both", mails, len(all), want)
	}
}

// maxMoments is far above the number of moments in the life of a report.
const maxMoments = 60

// killEveryStep lets a host die at each moment of a report, and another one go on.
func killEveryStep(t *testing.T, open func(t *testing.T) Subject) {
	for at, on := 1, true; on; at++ {
		on = false
		t.Run(fmt.Sprintf("a host that dies at moment %d leaves one report", at), func(t *testing.T) { on = killAt(t, open(t), at) })
		if at == maxMoments {
			t.Fatal("the life of a report has no end")
		}
	}
}

// killAt returns false when the host came to the end of its work before the moment.
func killAt(t *testing.T, s Subject, at int) bool {
	r := newRig(t, s)
	to := inbox{}
	run, plan := queue.Run{Day: r.yesterday()}, queue.Plan{Reports: []queue.Report{r.report(1, "one.example")}}
	k := &killer{Database: s.Database, at: at}
	err := live(t.Context(), tables.New(k), k, "a", run, plan, to)
	killed := errors.Is(err, errKilled)
	if !killed {
		r.ok(err)
	}
	mails := len(to)
	for n := range 3 {
		s.Advance(queue.Lease)
		r.ok(live(t.Context(), r.Queue, &killer{}, fmt.Sprint("b", n), run, plan, to))
	}
	r.states(id(1), queue.Done, queue.Sent)
	r.day(queue.RunDone)
	p := r.get(id(1))
	if len(to) != 1 {
		t.Fatalf("mails = %v; want one text", to)
	}
	for text, n := range to {
		if n > 1+p.Deliveries[0].Suspected || n > 1 && mails == 0 {
			t.Errorf("mail %q was taken %d times, %d suspected; want copies only after the first mail, and counted", text, n, p.Deliveries[0].Suspected)
		}
	}
	return killed
}
