package queuetest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"dmarcgate/report/queue"
)

func way(t *testing.T, s Subject) {
	r := newRig(t, s)
	run, err := r.CloseDay(t.Context(), queue.Run{Day: r.yesterday().Add(5 * time.Hour), WaitedFor: []string{"mx2"}, Upto: map[string]int64{"store": 7}, Lost: 3})
	r.ok(err)
	want := queue.Run{Day: r.yesterday(), State: queue.Closed, ClosedAt: run.ClosedAt, WaitedFor: []string{"mx2"}, Upto: map[string]int64{"store": 7}, Lost: 3, LeftOut: map[string]int64{}}
	if !reflect.DeepEqual(run, want) || run.ClosedAt.Before(r.now) {
		t.Errorf("CloseDay = %+v; want %+v", run, want)
	}
	taken, err := r.TakeDay(t.Context(), "a")
	r.ok(err)
	if !reflect.DeepEqual(taken, want) {
		t.Errorf("TakeDay = %+v; want %+v", taken, want)
	}
	p := r.report(1, "one.example")
	result, err := r.Plan(t.Context(), "a", r.yesterday(), queue.Plan{Reports: []queue.Report{p}, LeftOut: map[string]int64{"no_rua": 4}})
	r.ok(err)
	if want := (queue.PlanResult{Added: 1}); !reflect.DeepEqual(result, want) {
		t.Errorf("Plan = %+v; want %+v", result, want)
	}
	r.ok(r.CountRows(t.Context(), r.yesterday(), 2, 1))
	if run := r.day(queue.RunPlanned); run.Late != 2 || run.Lost != 3 || run.LeftOut["no_rua"] != 4 {
		t.Errorf("run = %+v; want 2 late rows, 3 lost ones and 4 messages without rua", run)
	}
	planned, err := r.Take(t.Context(), "a", queue.Planned, 10)
	r.ok(err)
	p.State, p.Deliveries = queue.Planned, nil
	if len(planned) != 1 || planned[0].Created.IsZero() {
		t.Fatalf("Take = %+v; want the report", planned)
	}
	if p.Created = planned[0].Created; !reflect.DeepEqual(planned[0], p) {
		t.Errorf("Take = %+v; want %+v", planned[0], p)
	}
	r.ok(r.StoreBody(t.Context(), "a", p.ID, body(p.ID)))
	got, err := r.ReadBody(t.Context(), p.ID)
	if r.ok(err); !reflect.DeepEqual(got, body(p.ID)) {
		t.Errorf("ReadBody = %+v; want %+v", got, body(p.ID))
	}
	r.ok(r.Release(t.Context(), "a", p.ID))
	delivered(r, r.take("b"))
}

// delivered delivers a report with one delivery.
func delivered(r *rig, p queue.Report) {
	r.t.Helper()
	sum := sha256.Sum256(body(p.ID).Gzip)
	if p.SHA256 != hex.EncodeToString(sum[:]) || p.Size != int64(len(body(p.ID).Gzip)) || p.Records != 1 {
		r.t.Errorf("report = %+v; want size and sum of the document", p)
	}
	d := p.Deliveries[0]
	want := r.report(1, "one.example").Deliveries[0]
	want.ID, want.State, want.NextTry = d.ID, queue.Due, d.NextTry
	if !reflect.DeepEqual(d, want) {
		r.t.Errorf("delivery = %+v; want %+v", d, want)
	}
	a := r.begin("b", d)
	if a.N != 1 || a.Again || !a.Date.Equal(a.At) || a.Mark.Queue == "" || a.Mark != (queue.Mark{Sender: "sender", Queue: a.Mark.Queue, Attempts: 1, Day: r.yesterday()}) {
		r.t.Errorf("Begin = %+v; want the first attempt", a)
	}
	r.states(p.ID, queue.Ready, queue.Trying)
	r.ok(r.Settle(r.t.Context(), "b", a, sent))
	r.states(p.ID, queue.Done, queue.Sent)
	r.day(queue.RunDone)
	got := r.get(p.ID).Deliveries[0]
	want.State, want.Attempts, want.FirstTry, want.NextTry = queue.Sent, 1, a.Date, got.NextTry
	want.Code, want.Enhanced, want.Text, want.ReplyID = 250, "2.0.0", "queued as 123", "123"
	if !reflect.DeepEqual(got, want) {
		r.t.Errorf("delivery = %+v; want %+v", got, want)
	}
	tried, err := r.Attempts(r.t.Context(), p.ID)
	r.ok(err)
	if want := []queue.Tried{{Delivery: d.ID, N: 1, At: a.At, Owner: "b", Host: "mx.example", Outcome: "sent"}}; !reflect.DeepEqual(tried, want) {
		r.t.Errorf("Attempts = %+v; want %+v", tried, want)
	}
}

func closing(t *testing.T, s Subject) {
	r := newRig(t, s)
	first, err := r.CloseDay(t.Context(), queue.Run{Day: r.yesterday(), Upto: map[string]int64{"store": 7}})
	r.ok(err)
	s.Advance(time.Minute)
	second, err := r.CloseDay(t.Context(), queue.Run{Day: r.yesterday(), Upto: map[string]int64{"store": 9}, WaitedFor: []string{"mx2"}})
	r.ok(err)
	if !reflect.DeepEqual(first, second) {
		t.Errorf("second CloseDay = %+v; want what the first one wrote: %+v", second, first)
	}
	_, err = r.CloseDay(t.Context(), queue.Run{Day: r.yesterday().AddDate(0, 0, -1)})
	r.ok(err)
	if run, err := r.TakeDay(t.Context(), "a"); err != nil || !run.Day.Equal(r.yesterday().AddDate(0, 0, -1)) {
		t.Errorf("TakeDay = %+v, %v; want the older day", run, err)
	}
	if run, err := r.TakeDay(t.Context(), "b"); err != nil || !run.Day.Equal(r.yesterday()) {
		t.Errorf("TakeDay = %+v, %v; want the day that is left", run, err)
	}
	_, err = r.TakeDay(t.Context(), "c")
	r.wants(err, queue.ErrUnknown)
	r.wants(r.CountRows(t.Context(), r.yesterday().AddDate(0, 0, -9), 1, 1), queue.ErrUnknown)
}

func planning(t *testing.T, s Subject) {
	r := newRig(t, s)
	_, err := r.CloseDay(t.Context(), queue.Run{Day: r.yesterday()})
	r.ok(err)
	plan := queue.Plan{Reports: []queue.Report{r.report(1, "one.example"), r.report(2, "two.example")}}
	_, err = r.Plan(t.Context(), "a", r.yesterday(), plan)
	r.wants(err, queue.ErrLost)
	_, err = r.TakeDay(t.Context(), "a")
	r.ok(err)
	s.Advance(queue.Lease)
	_, err = r.TakeDay(t.Context(), "b")
	r.ok(err)
	_, err = r.Plan(t.Context(), "a", r.yesterday(), plan)
	r.wants(err, queue.ErrLost)
	if found, err := r.Find(t.Context(), queue.Filter{}); err != nil || len(found) != 0 {
		t.Fatalf("Find = %v, %v; want no report of an owner who lost the day", found, err)
	}
	other := r.report(3, "three.example")
	other.Begin = other.Begin.AddDate(0, 0, -1)
	if _, err = r.Plan(t.Context(), "b", r.yesterday(), queue.Plan{Reports: append(plan.Reports, other)}); err == nil {
		t.Error("Plan took a report of another day")
	}
	same := r.report(1, "one.example")
	same.ID = id(99) // the same key under another submitter
	result, err := r.Plan(t.Context(), "b", r.yesterday(), queue.Plan{Reports: append(plan.Reports, same, plan.Reports[0])})
	r.ok(err)
	if want := (queue.PlanResult{Added: 2, Known: 2}); !reflect.DeepEqual(result, want) {
		t.Errorf("Plan = %+v; want %+v", result, want)
	}
	_, err = r.Plan(t.Context(), "b", r.yesterday(), plan)
	r.wants(err, queue.ErrLost)
	r.states(id(1), queue.Planned, queue.Due)
	r.states(id(2), queue.Planned, queue.Due)
}

func unusable(t *testing.T, s Subject) {
	r := newRig(t, s)
	reports := []queue.Report{r.report(1, "one.example")}
	for n, spoil := range []func(p *queue.Report){
		func(p *queue.Report) { p.PolicyDomain = "bank.example\x00" },
		func(p *queue.Report) { p.PolicyDomain = "" },
		func(p *queue.Report) { p.PolicyDomain = "a\u202eb.example" },
		func(p *queue.Report) { p.PolicyDomain = strings.Repeat("a", 1025) },
		func(p *queue.Report) { p.PolicyDomain = "\xff.example" },
		func(p *queue.Report) { p.PolicyHash = "a\nb" },
		func(p *queue.Report) { p.Form = "" },
		func(p *queue.Report) { p.Kind = "x" },
		func(p *queue.Report) { p.End = p.Begin },
		func(p *queue.Report) { p.Deliveries[0].Key = "a b@one.example" },
		func(p *queue.Report) { p.Deliveries[0].Host = "" },
		func(p *queue.Report) { p.Deliveries[0].VERP = "a\x1b[2J" },
		func(p *queue.Report) { p.Deliveries[0].URI = strings.Repeat("a", 3000) },
	} {
		p := r.report(n+2, "one.example")
		spoil(&p)
		reports = append(reports, p)
	}
	_, err := r.CloseDay(t.Context(), queue.Run{Day: r.yesterday()})
	r.ok(err)
	_, err = r.TakeDay(t.Context(), "a")
	r.ok(err)
	result, err := r.Plan(t.Context(), "a", r.yesterday(), queue.Plan{Reports: reports})
	r.ok(err)
	if result.Added != 1 || len(result.Unusable) != len(reports)-1 {
		t.Errorf("Plan = %+v; want one added, and %d unusable", result, len(reports)-1)
	}
	_, err = r.Take(t.Context(), "", queue.Planned, 1)
	r.wants(err, queue.ErrText)
	_, err = r.Take(t.Context(), "a", queue.Planned, 1)
	r.ok(err)
	r.wants(r.Address(t.Context(), "a", id(1), []queue.Delivery{{Key: "\x00", Host: "one.example"}}), queue.ErrText)
}

func hostile(t *testing.T, s Subject) {
	r := newRig(t, s)
	_, err := r.CloseDay(t.Context(), queue.Run{Day: r.yesterday(), WaitedFor: []string{evil}, Upto: map[string]int64{evil: 1}})
	r.ok(err)
	_, err = r.TakeDay(t.Context(), "a")
	r.ok(err)
	p := r.report(1, "one.example")
	p.PolicyDomain = `';--"\$1?1.example`
	p.Deliveries[0].URI, p.Deliveries[0].Via, p.Deliveries[0].Key = evil, evil, `"';--"@one.example`
	_, err = r.Plan(t.Context(), "a", r.yesterday(), queue.Plan{Reports: []queue.Report{p}, LeftOut: map[string]int64{evil: 1}})
	r.ok(err)
	_, err = r.Take(t.Context(), "a", queue.Planned, 1)
	r.ok(err)
	r.ok(r.StoreBody(t.Context(), "a", p.ID, queue.Body{Gzip: []byte(evil)}))
	d := r.get(p.ID).Deliveries[0]
	long := strings.Repeat("\u00e9", 500)
	o := queue.Outcome{State: queue.Refused, Why: evil, Host: evil, Code: 550, Enhanced: evil, Text: long, ReplyID: evil,
		Strike: &queue.Strike{Kind: queue.SuppressAddr, What: d.Key, Reason: evil, Source: queue.FromBounce}}
	r.ok(r.Settle(t.Context(), "a", r.begin("a", d), o))
	r.ok(r.SetNote(t.Context(), "pause", evil))
	got := r.get(p.ID)
	if d = got.Deliveries[0]; got.PolicyDomain != p.PolicyDomain || d.Key != p.Deliveries[0].Key {
		t.Errorf("keys = %q, %q; want them as given", got.PolicyDomain, d.Key)
	}
	if len(d.Text) > 200 || !strings.HasPrefix(d.Text, "\u00e9\u00e9") {
		t.Errorf("text has %d bytes: %q; want at most 200 of what was given", len(d.Text), d.Text)
	}
	note, err := r.Note(t.Context(), "pause")
	r.ok(err)
	list, err := r.Suppressing(t.Context())
	r.ok(err)
	tried, err := r.Attempts(t.Context(), p.ID)
	r.ok(err)
	for _, text := range []string{d.URI, d.Via, d.Why, d.Enhanced, d.Text, d.ReplyID, note, list[0].Reason, tried[0].Host} {
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x1b\r\n\u202e\u2028") || !strings.ContainsAny(text, "'\u00e9") {
			t.Errorf("text = %q; want it printable, and the rest as given", text)
		}
	}
	for _, f := range []queue.Filter{{ID: evil}, {PolicyDomain: evil}, {State: queue.State(evil)}, {Why: evil}, {MailState: queue.DeliveryState(evil)}} {
		if found, err := r.Find(t.Context(), f); err != nil || len(found) != 0 {
			t.Errorf("Find(%+v) = %v, %v; want nothing", f, found, err)
		}
	}
	if _, err := r.Suppressed(t.Context(), evil, evil, evil); err != nil {
		t.Error(err)
	}
	r.wants(r.Unsuppress(t.Context(), evil, evil), queue.ErrUnknown)
	_, err = r.Note(t.Context(), evil)
	r.ok(err)
	if _, err := r.Bounce(t.Context(), evil, o); !errors.Is(err, queue.ErrText) {
		t.Errorf("Bounce = %v; want ErrText", err)
	}
}

func leases(t *testing.T, s Subject) {
	r := newRig(t, s)
	r.ready(r.report(1, "one.example"), r.report(2, "two.example"))
	a, b := r.take("a"), r.take("b")
	if a.ID == b.ID {
		t.Fatalf("both owners have %s", a.ID)
	}
	if more, err := r.Take(t.Context(), "c", queue.Ready, 10); err != nil || len(more) > 0 {
		t.Errorf("Take = %v, %v; want nothing, since all work has an owner", more, err)
	}
	_, err := r.Begin(t.Context(), "b", begin(a.Deliveries[0]))
	r.wants(err, queue.ErrLost)
	r.wants(r.Release(t.Context(), "b", a.ID), queue.ErrLost)
	r.wants(r.End(t.Context(), "b", a.ID, queue.Withdrawn, "x"), queue.ErrLost)
	r.wants(r.EndDelivery(t.Context(), "b", a.Deliveries[0].ID, queue.Outcome{State: queue.Unauthorized}), queue.ErrLost)
	s.Advance(queue.Lease - time.Minute)
	if n, err := r.Renew(t.Context(), "a"); err != nil || n != 1 {
		t.Errorf("Renew = %d, %v; want 1", n, err)
	}
	s.Advance(time.Minute)
	if c := r.take("c"); c.ID != b.ID {
		t.Errorf("c has %s; want that of b, whose lease is over", c.ID)
	}
	_, err = r.Begin(t.Context(), "b", begin(b.Deliveries[0]))
	r.wants(err, queue.ErrLost)
	if n, err := r.Renew(t.Context(), "b"); err != nil || n != 0 {
		t.Errorf("Renew = %d, %v; want 0", n, err)
	}
	s.Advance(queue.Lease)
	_, err = r.Begin(t.Context(), "a", begin(a.Deliveries[0]))
	r.wants(err, queue.ErrLost) // nobody took the report, but anybody may
}

func lateSettle(t *testing.T, s Subject) {
	r := newRig(t, s)
	r.ready(r.report(1, "one.example"), r.report(2, "two.example"))
	p := r.take("a")
	first := r.begin("a", p.Deliveries[0])
	s.Advance(queue.Lease)
	if got := r.take("b"); got.ID == p.ID {
		p = got
	} else if p = r.take("b"); p.ID == got.ID {
		t.Fatal("b has one report twice")
	}
	r.ok(r.Settle(t.Context(), "a", first, sent))
	r.states(p.ID, queue.Done, queue.Sent)
	_, err := r.Begin(t.Context(), "b", begin(p.Deliveries[0]))
	r.wants(err, queue.ErrLost)
}

func endedMeanwhile(t *testing.T, s Subject) {
	r := newRig(t, s)
	r.ready(r.report(1, "one.example"), r.report(2, "two.example"))
	var attempts []queue.Attempt
	for range 2 {
		attempts = append(attempts, r.begin("a", r.take("a").Deliveries[0]))
	}
	s.Advance(queue.Lease)
	for range 2 {
		r.ok(r.EndDelivery(t.Context(), "b", r.take("b").Deliveries[0].ID, queue.Outcome{State: queue.Suppressed, Why: "addr"}))
	}
	r.ok(r.Settle(t.Context(), "a", attempts[0], sent))
	r.ok(r.Settle(t.Context(), "a", attempts[1], queue.Outcome{State: queue.Due}))
	var got []queue.DeliveryState
	for _, p := range r.all(queue.Done) {
		got = append(got, p.Deliveries[0].State)
	}
	slices.Sort(got)
	if want := []queue.DeliveryState{queue.Sent, queue.Suppressed}; !slices.Equal(got, want) {
		t.Errorf("deliveries = %v; want %v: a mail that was sent is sent", got, want)
	}
}

func again(t *testing.T, s Subject) {
	r := newRig(t, s)
	r.ready(r.report(1, "one.example"))
	first := r.begin("a", r.take("a").Deliveries[0])
	s.Advance(queue.Lease)
	p := r.take("b")
	second := r.begin("b", p.Deliveries[0])
	if !second.Again || second.N != 2 || !second.Date.Equal(first.Date) || second.At.Equal(first.At) {
		t.Errorf("Begin = %+v after %+v; want the same date, and Again", second, first)
	}
	r.wants(r.Settle(t.Context(), "a", first, sent), queue.ErrLost)
	r.ok(r.Settle(t.Context(), "b", second, queue.Outcome{State: queue.Due, NextTry: second.At.Add(time.Hour)}))
	if p = r.get(p.ID); p.Deliveries[0].Suspected != 1 {
		t.Errorf("suspected = %d; want 1", p.Deliveries[0].Suspected)
	}
	s.Advance(time.Hour)
	third := r.begin("c", r.take("c").Deliveries[0])
	if third.Again || !third.Date.Equal(first.Date) {
		t.Errorf("Begin = %+v; want not Again: the attempt before was settled", third)
	}
	tried, err := r.Attempts(t.Context(), p.ID)
	r.ok(err)
	if len(tried) != 3 || tried[0].Outcome != "unknown" || tried[1].Outcome != "due" || tried[2].Outcome != "" {
		t.Errorf("Attempts = %+v; want unknown, due, and one that goes on", tried)
	}
}

func repeated(t *testing.T, s Subject) {
	r := newRig(t, s)
	r.plan(r.report(1, "one.example"))
	_, err := r.Take(t.Context(), "a", queue.Planned, 1)
	r.ok(err)
	for range 2 {
		r.ok(r.StoreBody(t.Context(), "a", id(1), body(id(1))))
	}
	r.wants(r.StoreBody(t.Context(), "a", id(1), body("other")), queue.ErrLost)
	if r.StoreBody(t.Context(), "a", id(1), queue.Body{}) == nil {
		t.Error("StoreBody took an empty document")
	}
	a := r.begin("a", r.get(id(1)).Deliveries[0])
	for range 2 {
		r.ok(r.Settle(t.Context(), "a", a, sent))
	}
	r.wants(r.Settle(t.Context(), "b", a, sent), queue.ErrLost)
	r.wants(r.Settle(t.Context(), "a", a, queue.Outcome{State: queue.Refused}), queue.ErrLost)
	r.states(id(1), queue.Done, queue.Sent)
}

func endings(t *testing.T, s Subject) {
	r := newRig(t, s)
	r.ready(r.report(1, "one.example"), r.report(2, "one.example"), r.report(3, "one.example"), r.report(4, "one.example", "two.example"))
	_, err := r.Take(t.Context(), "a", queue.Ready, 10)
	r.ok(err)
	for n, end := range []struct {
		state    queue.State
		delivery queue.DeliveryState
	}{{queue.Withheld, queue.DeliveryHeld}, {queue.Withdrawn, queue.DeliveryGone}, {queue.Failed, queue.DeliveryHeld}} {
		r.ok(r.End(t.Context(), "a", id(n+1), end.state, "min_age"))
		r.states(id(n+1), end.state, end.delivery)
		if p := r.get(id(n + 1)); p.Why != "min_age" || p.Deliveries[0].Why != "min_age" {
			t.Errorf("why = %q, %q; want min_age", p.Why, p.Deliveries[0].Why)
		}
		r.wants(r.End(t.Context(), "a", id(n+1), end.state, "x"), queue.ErrLost)
	}
	if r.End(t.Context(), "a", id(4), queue.Done, "") == nil {
		t.Error("an owner may say that a report is done")
	}
	r.day(queue.RunPlanned)
	splitting(r)
}

// splitting splits the report 4 and ends its parts.
func splitting(r *rig) {
	parts := []queue.Report{r.report(4, "one.example"), r.report(4, "one.example")}
	noon := parts[0].Begin.Add(12 * time.Hour)
	parts[0].ID, parts[0].End, parts[1].ID, parts[1].Begin = id(41), noon, id(42), noon
	if r.Split(r.t.Context(), "a", id(4), parts[:1]) == nil {
		r.t.Error("a report was split into one part")
	}
	r.ok(r.Split(r.t.Context(), "a", id(4), parts))
	r.states(id(4), queue.Split, queue.DeliveryGone, queue.DeliveryGone)
	r.day(queue.RunPlanned)
	planned, err := r.Take(r.t.Context(), "b", queue.Planned, 10)
	if r.ok(err); len(planned) != 2 {
		r.t.Fatalf("parts = %+v; want two", planned)
	}
	r.ok(r.End(r.t.Context(), "b", id(41), queue.Withheld, "x"))
	r.day(queue.RunPlanned)
	r.ok(r.End(r.t.Context(), "b", id(42), queue.Withheld, "x"))
	r.day(queue.RunDone)
	if r.Retry(r.t.Context(), id(4)) == nil {
		r.t.Error("a report that was split can be sent")
	}
}

func waiting(t *testing.T, s Subject) {
	r := newRig(t, s)
	r.ready(r.report(1))
	p := r.take("a")
	if len(p.Deliveries) > 0 {
		t.Fatalf("deliveries = %+v; want none yet", p.Deliveries)
	}
	later := r.now.Add(2 * time.Hour)
	to := r.report(1, "one.example", "two.example").Deliveries
	to[0].NextTry, to[1].NextTry = later, later.Add(time.Hour)
	r.ok(r.Address(t.Context(), "a", p.ID, to))
	r.ok(r.Address(t.Context(), "a", p.ID, to)) // known
	_, err := r.Begin(t.Context(), "a", begin(r.get(p.ID).Deliveries[0]))
	limit := new(queue.LimitError)
	if !errors.As(err, &limit) || limit.Why != "not_due" {
		t.Errorf("Begin = %v; want that it is not due", err)
	}
	r.ok(r.Release(t.Context(), "a", p.ID))
	if early, err := r.Take(t.Context(), "a", queue.Ready, 1); err != nil || len(early) > 0 {
		t.Errorf("Take = %v, %v; want nothing before it is due", early, err)
	}
	r.ok(r.Hasten(t.Context(), p.ID))
	p = r.take("a")
	r.ok(r.EndDelivery(t.Context(), "a", p.Deliveries[0].ID, queue.Outcome{State: queue.Unauthorized, Why: "no_consent"}))
	r.states(p.ID, queue.Ready, queue.Unauthorized, queue.Due)
	if r.EndDelivery(t.Context(), "a", p.Deliveries[1].ID, sent) == nil {
		t.Error("a delivery was sent without an attempt")
	}
	r.ok(r.EndDelivery(t.Context(), "a", p.Deliveries[1].ID, queue.Outcome{State: queue.Due, NextTry: later}))
	r.ok(r.EndDelivery(t.Context(), "a", p.Deliveries[1].ID, queue.Outcome{State: queue.Suppressed}))
	r.states(p.ID, queue.Done, queue.Unauthorized, queue.Suppressed)
	r.day(queue.RunDone)
}

func retrying(t *testing.T, s Subject) {
	r := newRig(t, s)
	r.ready(r.report(1, "one.example", "two.example"))
	r.wants(r.Retry(t.Context(), id(1)), queue.ErrLost)
	r.wants(r.Retry(t.Context(), id(9)), queue.ErrUnknown)
	p := r.take("a")
	r.ok(r.Settle(t.Context(), "a", r.begin("a", p.Deliveries[0]), sent))
	r.ok(r.Settle(t.Context(), "a", r.begin("a", p.Deliveries[1]), queue.Outcome{State: queue.Refused, Code: 550}))
	r.day(queue.RunDone)
	r.ok(r.Retry(t.Context(), id(1)))
	r.states(id(1), queue.Ready, queue.Sent, queue.Due)
	r.day(queue.RunPlanned)
	p = r.take("b")
	r.ok(r.Settle(t.Context(), "b", r.begin("b", p.Deliveries[1]), sent))
	r.states(id(1), queue.Done, queue.Sent, queue.Sent)
	r.day(queue.RunDone)
	r.ok(r.Retry(t.Context(), id(1)))
	r.states(id(1), queue.Done, queue.Sent, queue.Sent)
}
