package queuetest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/report/queue"
)

// marks is the place outside of the queue.
type marks struct {
	mu   sync.Mutex
	text string
}

func (m *marks) ReportMark(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text, nil
}

func (m *marks) SetReportMark(_ context.Context, text string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = text
	return nil
}

func (r *rig) fence(m *marks, want queue.Restored) *queue.Fence {
	r.t.Helper()
	f, found, err := queue.NewFence(r.t.Context(), r, m)
	r.ok(err)
	if found != want {
		r.t.Fatalf("NewFence found %+v; want %+v", found, want)
	}
	return f
}

// behind makes the queue one that is older than the mark, as a restore does: the
// mark goes ahead as if more had been sent since the backup.
func (r *rig) behind(m *marks, f *queue.Fence, day time.Time) {
	r.t.Helper()
	r.ready(r.report(90, "ahead.example"))
	_, err := f.Begin(r.t.Context(), "b", begin(r.take("b").Deliveries[0]))
	r.ok(err)
	known := strings.Fields(m.text)
	m.text = queue.Mark{Sender: known[0], Queue: known[3], Attempts: 5, Day: day}.String()
}

func restored(t *testing.T, s Subject) {
	r, m := newRig(t, s), &marks{}
	f := r.fence(m, queue.Restored{})
	r.fence(m, queue.Restored{})
	r.behind(m, f, r.yesterday())
	// The report of yesterday is in trying; the days before are not known.
	r.fence(m, queue.Restored{Condition: queue.WasOlder, Held: 1, Days: queue.CatchUp})
	r.states(id(90), queue.Held, queue.DeliveryHeld)
	r.day(queue.RunDone)
	s.Advance(queue.Day)
	for _, state := range []queue.State{queue.Planned, queue.Ready} {
		if taken, err := r.Take(t.Context(), "c", state, 10); err != nil || len(taken) > 0 {
			t.Errorf("Take = %v, %v; want nothing", taken, err)
		}
	}
	f = r.fence(m, queue.Restored{})
	r.ok(r.Retry(t.Context(), id(90)))
	a, err := f.Begin(t.Context(), "c", begin(r.take("c").Deliveries[0]))
	r.ok(err)
	if a.Mark.Attempts != 6 || !a.Again {
		t.Errorf("Begin = %+v; want the sixth attempt of the sender, which may be a copy", a)
	}
	r.ok(r.Settle(t.Context(), "c", a, sent))
	r.states(id(90), queue.Done, queue.Sent)
}

func lost(t *testing.T, s Subject) {
	r, m := newRig(t, s), &marks{text: queue.Mark{Sender: "me", Queue: "lost", Attempts: 3, Day: newRig(t, s).yesterday().AddDate(0, 0, -1)}.String()}
	r.fence(m, queue.Restored{Condition: queue.Another, Days: queue.CatchUp + 1})
	before := r.yesterday().AddDate(0, 0, -1)
	run, err := r.CloseDay(t.Context(), queue.Run{Day: before})
	r.ok(err)
	if run.State != queue.RunDone || run.Why != "restored" {
		t.Errorf("CloseDay = %+v; want a day that is done: its reports were sent", run)
	}
	_, err = r.TakeDay(t.Context(), "a")
	r.wants(err, queue.ErrUnknown)
	r.ready(r.report(1, "one.example")) // yesterday is after the mark
	r.ok(r.RetryDay(t.Context(), before))
	r.wants(r.RetryDay(t.Context(), before), queue.ErrLost)
	if run, err := r.CloseDay(t.Context(), queue.Run{Day: before}); err != nil || run.State != queue.Closed {
		t.Errorf("CloseDay = %+v, %v; want it closed", run, err)
	}
}

func restoredRunning(t *testing.T, s Subject) {
	r, m := newRig(t, s), &marks{}
	first := r.fence(m, queue.Restored{})
	r.ready(r.report(1, "one.example"), r.report(2, "two.example"))
	p := r.take("a")
	a, err := first.Begin(t.Context(), "a", begin(p.Deliveries[0]))
	r.ok(err)
	r.ok(r.Settle(t.Context(), "a", a, sent))
	// The queue goes back: what it knows of this sender is gone.
	r.exec("DELETE FROM report_sender")
	p = r.take("a")
	_, err = first.Begin(t.Context(), "a", begin(p.Deliveries[0]))
	r.wants(err, queue.ErrRestored)
	r.states(p.ID, queue.Ready, queue.Due)
	r.exec("DELETE FROM report_sender")
	r.fence(m, queue.Restored{Condition: queue.WasOlder, Held: 1, Days: queue.CatchUp})
	r.states(p.ID, queue.Held, queue.DeliveryHeld)
}

func joined(t *testing.T, s Subject) {
	r := newRig(t, s)
	r.ready(r.report(1, "one.example"))
	m := &marks{text: queue.Mark{Sender: "me", Queue: "alone", Attempts: 3, Day: r.yesterday()}.String()}
	f := r.fence(m, queue.Restored{Condition: queue.Another, Days: queue.CatchUp})
	r.states(id(1), queue.Ready, queue.Due)
	a, err := f.Begin(t.Context(), "a", begin(r.take("a").Deliveries[0]))
	r.ok(err)
	if a.Mark.Attempts != 4 {
		t.Errorf("Begin = %+v; want the fourth attempt of the sender", a)
	}
	r.fence(m, queue.Restored{})
}
