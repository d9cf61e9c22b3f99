package queuetest

import (
	"reflect"
	"testing"
	"time"

	"dmarcgate/report/queue"
)

func overview(t *testing.T, s Subject) {
	r := newRig(t, s)
	const days, lines = 3, 2
	o, err := r.Overview(t.Context(), days, lines)
	r.ok(err)
	if got, want := o, (queue.Overview{Now: o.Now}); o.Now.IsZero() || !reflect.DeepEqual(got, want) {
		t.Errorf("Overview of an empty queue = %+v; want the time alone", got)
	}
	held := r.report(9)
	held.State, held.Why = queue.Withheld, "too_new"
	r.plan(r.report(1, "one.example"), r.report(2, "two.example"), r.report(3, "three.example"), r.report(4, "four.example", "five.example"), held)
	for n := 1; n < 6; n++ {
		_, err := r.CloseDay(t.Context(), queue.Run{Day: r.yesterday().AddDate(0, 0, -n)})
		r.ok(err)
	}
	for range 4 {
		r.settleOne(t)
	}
	for what, until := range map[string]time.Time{"x.example": r.now.Add(time.Hour), "y.example": {}} {
		r.ok(r.Suppress(t.Context(), queue.Suppression{Kind: queue.SuppressHost, What: what, Source: queue.FromPerson, Until: until}))
	}
	s.Advance(time.Hour)
	r.ok(r.Suppress(t.Context(), queue.Suppression{Kind: queue.SuppressDomain, What: "z.example", Source: queue.FromPerson}))
	_, err = queue.Enable(t.Context(), r, queue.Notes{}, r.now)
	r.ok(err)
	r.ok(queue.Pause(t.Context(), r, "because"))
	if o, err = r.Overview(t.Context(), days, lines); err != nil {
		t.Fatal(err)
	}
	r.seen(o)
}

// settleOne makes one attempt for the next report: the first is refused, the second
// bounces, the third is sent, and the fourth has another attempt later.
func (r *rig) settleOne(t *testing.T) {
	t.Helper()
	taken, err := r.Take(t.Context(), "a", queue.Planned, 1)
	r.ok(err)
	p := taken[0]
	r.ok(r.StoreBody(t.Context(), "a", p.ID, body(p.ID)))
	d := r.get(p.ID).Deliveries[0]
	a := r.begin("a", d)
	r.s.Advance(time.Second)
	switch p.ID {
	case id(1):
		r.ok(r.Settle(t.Context(), "a", a, queue.Outcome{State: queue.Refused, Why: "5xx", Host: "mx.one.example", Code: 550, Enhanced: "5.1.1", Text: "no such user"}))
	case id(2):
		r.ok(r.Settle(t.Context(), "a", a, sent))
		_, err := r.Bounce(t.Context(), d.VERP, queue.Outcome{Why: "bounce", Text: "full"})
		r.ok(err)
	case id(3):
		r.ok(r.Settle(t.Context(), "a", a, sent))
	default:
		r.ok(r.Settle(t.Context(), "a", a, queue.Outcome{State: queue.Due, Why: "4xx", Code: 450, NextTry: r.now.Add(9 * time.Hour)}))
	}
}

// seen checks the overview of what the test has done.
func (r *rig) seen(o queue.Overview) {
	t := r.t
	t.Helper()
	if len(o.Days) != 3 || !o.Days[0].Day.Equal(r.yesterday()) || o.Days[0].State != queue.RunPlanned || !o.Days[2].Day.Equal(r.yesterday().AddDate(0, 0, -2)) {
		t.Errorf("the days are %+v; want yesterday, and the two that are closed before", o.Days)
	}
	if want := []queue.Tally{{State: "done", N: 3}, {State: "ready", N: 1}}; !reflect.DeepEqual(o.Reports, want) {
		t.Errorf("the reports are %+v; want the two most frequent, %+v", o.Reports, want)
	}
	if len(o.Mails) != 2 {
		t.Errorf("the mails are %+v; want two lines", o.Mails)
	}
	if len(o.Next) != 2 || o.Next[0].Key != "dmarc4@five.example" || o.Next[1].Why != "4xx" || o.Next[1].Code != 450 || o.Next[1].PolicyDomain != "d4.example" || !o.Next[1].Begin.Equal(r.yesterday()) {
		t.Errorf("the next attempts are %+v; want the one that is due first", o.Next)
	}
	if len(o.Failed) != 2 || o.Failed[0].Why != "bounce" || o.Failed[1].Text != "no such user" || o.Failed[1].Report != id(1) || !o.Failed[0].NextTry.After(o.Failed[1].NextTry) {
		t.Errorf("the failures are %+v; want the bounce, and the refusal before it", o.Failed)
	}
	if o.SentToday != 2 || o.NewToday != 4 {
		t.Errorf("today %d mails, %d new hosts; want 2 and 4", o.SentToday, o.NewToday)
	}
	if len(o.Suppressed) != 2 || o.Suppressed[0].What != "z.example" || o.Suppressing != 2 {
		t.Errorf("%d are suppressed, the newest are %+v; want the two that are active", o.Suppressing, o.Suppressed)
	}
	if !o.Notes.Enabled.Equal(r.now.Truncate(time.Second)) || o.Notes.Paused != "because" {
		t.Errorf("the notes are %+v; want those of the test", o.Notes)
	}
}
