package queuetest

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"dmarcgate/report/queue"
	"dmarcgate/report/queue/tables"
)

func limits(t *testing.T, s Subject) {
	r := newRig(t, s)
	var reports []queue.Report
	for n := range 12 {
		reports = append(reports, r.report(n, "h"+strconv.Itoa(n%2)+".example"))
	}
	r.ready(reports...)
	allow := func(u queue.Usage) string {
		switch {
		case u.ToHost >= 4:
			return "host"
		case u.Total >= 7:
			return "total"
		}
		return ""
	}
	var mu sync.Mutex
	refused := map[string]int{}
	var attempts []queue.Attempt
	var wg sync.WaitGroup
	for _, owner := range []string{"a", "b", "c"} {
		taken, err := r.Take(t.Context(), owner, queue.Ready, 4)
		r.ok(err)
		wg.Go(func() {
			for _, p := range taken {
				b := begin(p.Deliveries[0])
				b.Sender, b.Allow = owner, allow
				a, err := r.Begin(t.Context(), owner, b)
				limit := new(queue.LimitError)
				mu.Lock()
				if errors.As(err, &limit) {
					refused[limit.Why]++
				} else if err != nil {
					t.Error(err)
				} else {
					attempts = append(attempts, a)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(attempts) != 7 || refused["host"]+refused["total"] != 5 {
		t.Fatalf("attempts = %d, refused %v; want 7 and 5", len(attempts), refused)
	}
	r.usage(attempts)
}

// usage checks the numbers after seven attempts with two hosts.
func (r *rig) usage(attempts []queue.Attempt) {
	r.t.Helper()
	ask := func(host string) (u queue.Usage) {
		r.t.Helper()
		r.s.Advance(queue.Lease)
		taken, err := r.Take(r.t.Context(), "z", queue.Ready, 100)
		r.ok(err)
		for _, p := range taken {
			if d := p.Deliveries[0]; d.Host == host && d.State == queue.Due {
				b := begin(d)
				b.Allow = func(got queue.Usage) string { u = got; return "asked" }
				_, err = r.Begin(r.t.Context(), "z", b)
				if limit := new(queue.LimitError); !errors.As(err, &limit) {
					r.t.Fatalf("Begin = %v; want the limit", err)
				}
				return u
			}
		}
		r.t.Fatalf("no delivery to %s is due", host)
		return u
	}
	before := ask("h0.example")
	if before.Total != 7 || before.NewHosts != 2 || before.HostIsNew || before.LastMinute != 0 {
		r.t.Errorf("usage = %+v; want 7 mails, 2 new hosts, none in the last minute", before)
	}
	for _, a := range attempts {
		r.ok(r.Settle(r.t.Context(), r.ownerOf(a), a, queue.Outcome{State: queue.Due, NextTry: r.now.Add(time.Hour)}))
	}
	if after := ask("h0.example"); after.Total != 0 || after.ToHost != 0 || after.NewHosts != 2 {
		r.t.Errorf("usage = %+v; want nothing: all attempts have failed", after)
	}
	r.s.Advance(queue.Day)
	if next := ask("h0.example"); next.Total != 0 || next.NewHosts != 0 || next.HostIsNew {
		r.t.Errorf("usage of the next day = %+v; want nothing, and no new host", next)
	}
}

// all reads all reports in a state.
func (r *rig) all(state queue.State) []queue.Report {
	r.t.Helper()
	found, err := r.Find(r.t.Context(), queue.Filter{State: state})
	r.ok(err)
	return found
}

func (r *rig) ownerOf(a queue.Attempt) string {
	r.t.Helper()
	for _, p := range r.all("") {
		tried, err := r.Attempts(r.t.Context(), p.ID)
		r.ok(err)
		for _, t := range tried {
			if t.Delivery == a.Delivery && t.N == a.N {
				return t.Owner
			}
		}
	}
	r.t.Fatalf("no attempt %+v", a)
	return ""
}

func strikes(t *testing.T, s Subject) {
	r := newRig(t, s)
	refused := queue.Outcome{State: queue.Refused, Why: "5xx", Code: 550, Strike: &queue.Strike{Kind: queue.SuppressAddr, What: "dmarc1@one.example", Reason: "550", Source: queue.FromBounce}}
	var reports []queue.Report
	for n := range 5 {
		reports = append(reports, r.report(n, "one.example"))
	}
	r.ready(reports...)
	for n, want := range []time.Duration{7 * queue.Day, 30 * queue.Day, 90 * queue.Day, 0, 0} {
		p := r.take("a")
		a := r.begin("a", p.Deliveries[0])
		r.ok(r.Settle(t.Context(), "a", a, refused))
		r.ok(r.Settle(t.Context(), "a", a, refused)) // repeated: it counts once
		active, err := r.Suppressed(t.Context(), "dmarc1@one.example", "one.example", "d1.example")
		r.ok(err)
		if len(active) != 1 || active[0].Strikes != n+1 || active[0].Reason != "550" {
			t.Fatalf("suppressions = %+v; want one with %d strikes", active, n+1)
		}
		if got := active[0].Until; want == 0 && !got.IsZero() || want > 0 && got.Sub(active[0].Since) != want {
			t.Errorf("strike %d: until %v, since %v; want %v", n+1, got, active[0].Since, want)
		}
	}
	for _, f := range []struct {
		queue.Filter
		want int
	}{{queue.Filter{MailState: queue.Refused, MailWhy: "5xx"}, 5}, {queue.Filter{MailState: queue.Sent}, 0}, {queue.Filter{MailWhy: "4xx"}, 0}, {queue.Filter{State: queue.Done, MailWhy: "5xx", Limit: 2}, 2}} {
		if found, err := r.Find(t.Context(), f.Filter); err != nil || len(found) != f.want {
			t.Errorf("Find(%+v) = %d reports, %v; want %d", f.Filter, len(found), err, f.want)
		}
	}
	r.ok(r.Unsuppress(t.Context(), queue.SuppressAddr, "dmarc1@one.example"))
	r.wants(r.Unsuppress(t.Context(), queue.SuppressAddr, "dmarc1@one.example"), queue.ErrUnknown)
	suppressing(r)
}

// suppressing sets suppressions as a person does.
func suppressing(r *rig) {
	until := r.now.Add(time.Hour)
	for _, x := range []queue.Suppression{
		{Kind: queue.SuppressHost, What: "one.example", Source: queue.FromPerson, Until: until},
		{Kind: queue.SuppressDomain, What: "d1.example", Source: queue.FromPerson},
		{Kind: queue.SuppressDomain, What: "other.example", Source: queue.FromPerson},
	} {
		r.ok(r.Suppress(r.t.Context(), x))
		r.ok(r.Suppress(r.t.Context(), x))
	}
	ask := func() (kinds []string) {
		active, err := r.Suppressed(r.t.Context(), "x@one.example", "one.example", "d1.example")
		r.ok(err)
		for _, x := range active {
			kinds = append(kinds, x.Kind)
		}
		return kinds
	}
	if got := ask(); !slices.Equal(got, []string{"domain", "host"}) {
		r.t.Errorf("suppressions = %v; want domain and host", got)
	}
	r.s.Advance(time.Hour)
	if got := ask(); !slices.Equal(got, []string{"domain"}) {
		r.t.Errorf("suppressions = %v; want the domain alone: the time of the host is over", got)
	}
	for _, x := range []queue.Suppression{{Kind: "x", What: "y", Source: queue.FromPerson}, {Kind: queue.SuppressHost, What: "y", Source: "x"}, {Kind: queue.SuppressHost, Source: queue.FromPerson}} {
		if r.Suppress(r.t.Context(), x) == nil {
			r.t.Errorf("Suppress took %+v", x)
		}
	}
}

func heldBack(t *testing.T, s Subject) {
	r := newRig(t, s)
	held := r.report(1)
	held.State, held.Why = queue.Withheld, "too_new"
	r.plan(held)
	if got := r.get(id(1)); got.State != queue.Withheld || got.Why != "too_new" {
		t.Errorf("the report is %s %q; want withheld, too_new", got.State, got.Why)
	}
	r.day(queue.RunDone)
	if taken, err := r.Take(t.Context(), "a", queue.Planned, 9); err != nil || len(taken) != 0 {
		t.Errorf("Take = %+v, %v; want no work", taken, err)
	}
}

func bounces(t *testing.T, s Subject) {
	r := newRig(t, s)
	r.ready(r.report(1, "one.example"))
	bounce := queue.Outcome{Code: 550, Text: "no such user", Strike: &queue.Strike{Kind: queue.SuppressAddr, Source: queue.FromBounce}}
	if first, err := r.Bounce(t.Context(), "v1-one.example", bounce); err != nil || first {
		t.Errorf("Bounce = %v, %v; want nothing: the mail was not sent", first, err)
	}
	r.ok(r.Settle(t.Context(), "a", r.begin("a", r.take("a").Deliveries[0]), sent))
	_, err := r.Bounce(t.Context(), "v2", bounce)
	r.wants(err, queue.ErrUnknown)
	for n := range 3 {
		if first, err := r.Bounce(t.Context(), "v1-one.example", bounce); err != nil || first != (n == 0) {
			t.Errorf("Bounce %d = %v, %v; want only the first to count", n, first, err)
		}
	}
	r.states(id(1), queue.Done, queue.Refused)
	if list, err := r.Suppressing(t.Context()); err != nil || len(list) != 1 || list[0].Strikes != 1 || list[0].What != "dmarc1@one.example" {
		t.Errorf("suppressions = %+v, %v; want one strike against the address of the delivery", list, err)
	}
}

func notes(t *testing.T, s Subject) {
	r := newRig(t, s)
	for _, text := range []string{"", "one", "two", ""} {
		r.ok(r.SetNote(t.Context(), "pause", text))
		if got, err := r.Note(t.Context(), "pause"); err != nil || got != text {
			t.Errorf("Note = %q, %v; want %q", got, err, text)
		}
	}
	r.wants(r.SetNote(t.Context(), "a b", "x"), queue.ErrText)
}

func pauses(t *testing.T, s Subject) {
	r := newRig(t, s)
	noted := func() queue.Notes {
		n, err := queue.ReadNotes(t.Context(), r)
		r.ok(err)
		return n
	}
	r.wants(queue.Resume(t.Context(), r), queue.ErrUnknown)
	if n := noted(); !n.Resumed.IsZero() {
		t.Errorf("without a pause, the last one ended at %v; want never", n.Resumed)
	}
	r.ok(queue.Pause(t.Context(), r, "the smarthost moves"))
	if n := noted(); n.Paused != "the smarthost moves" {
		t.Errorf("paused because of %q; want the smarthost", n.Paused)
	}
	r.ok(queue.Resume(t.Context(), r))
	ended := noted()
	if ended.Paused != "" || ended.Resumed.Before(r.now.Truncate(time.Second)) {
		t.Errorf("after the pause, paused = %q, and the end is %v; want no pause, ended now", ended.Paused, ended.Resumed)
	}
	s.Advance(time.Hour)
	r.wants(queue.Resume(t.Context(), r), queue.ErrUnknown)
	if n := noted(); n != ended {
		t.Errorf("a second Resume changed %+v to %+v", ended, n)
	}
}

func recordSince(t *testing.T, s Subject) {
	r := newRig(t, s)
	older, held, failure := r.report(1, "one.example"), r.report(2), r.report(3, "one.example")
	older.End = older.Begin.Add(queue.Day / 2)
	held.PolicyDomain, held.Begin, held.State, held.Why = older.PolicyDomain, older.End, queue.Withheld, "no_relation"
	failure.Kind = queue.Failure
	r.plan(held, older, failure)
	for domain, want := range map[string]time.Time{
		older.PolicyDomain: older.Begin, failure.PolicyDomain: {}, "stranger.example": {}, "a b": {},
	} {
		if got, err := r.RecordSince(t.Context(), domain); err != nil || !got.Equal(want) {
			t.Errorf("RecordSince(%s) = %v, %v; want %v", domain, got, err, want)
		}
	}
	r.purge(queue.Purge{All: older.End}, queue.Purged{Reports: 1})
	if got, err := r.RecordSince(t.Context(), older.PolicyDomain); err != nil || !got.Equal(held.Begin) {
		t.Errorf("RecordSince after a purge = %v, %v; want the begin of the report that is left, %v", got, err, held.Begin)
	}
}

func purging(t *testing.T, s Subject) {
	r := newRig(t, s)
	var reports []queue.Report
	for n := range 120 {
		reports = append(reports, r.report(n, "one.example"))
	}
	reports[0].PolicyDomain, reports[1].PolicyDomain, reports[2].PolicyDomain = "bank.example", "mail.bank.example", "mybank.example"
	r.ready(reports...)
	_, err := r.Purge(t.Context(), queue.Purge{})
	if err == nil {
		t.Error("an empty purge was taken")
	}
	done, err := r.Take(t.Context(), "a", queue.Ready, 110)
	r.ok(err)
	for _, p := range done {
		r.ok(r.Settle(t.Context(), "a", r.begin("a", p.Deliveries[0]), sent))
	}
	s.Advance(time.Hour)
	r.purge(queue.Purge{Bodies: r.now.Add(time.Minute)}, queue.Purged{Bodies: 110})
	_, err = r.ReadBody(t.Context(), done[0].ID)
	r.wants(err, queue.ErrGone)
	r.wants(r.Retry(t.Context(), done[0].ID), queue.ErrGone)
	r.purge(queue.Purge{Domain: "bank.example"}, queue.Purged{Reports: 2})
	if found, err := r.Find(t.Context(), queue.Filter{PolicyDomain: "mybank.example"}); err != nil || len(found) != 1 {
		t.Errorf("Find = %v, %v; want the report of the other domain", found, err)
	}
	r.purge(queue.Purge{Domain: "one.example"}, queue.Purged{Addresses: 118})
	for _, p := range r.all("") {
		if d := p.Deliveries[0]; d.URI != "" || d.VERP != "" || d.Key == "" || d.Host == "one.example" || !d.State.Ended() || !p.State.Ended() {
			t.Fatalf("report %+v; want no address, and everything ended", p)
		}
	}
	r.day(queue.RunDone)
	r.purge(queue.Purge{All: r.yesterday().Add(queue.Day)}, queue.Purged{Reports: 118})
	r.day(queue.RunDone) // the last day stays
	r.empty("report", "delivery", "attempt", "report_body")
}

func purgingByPerson(t *testing.T, s Subject) {
	r := newRig(t, s)
	bank, shop, uni, open := r.report(1, "bank.example"), r.report(2, "bank.example"), r.report(3, "uni.example"), r.report(4, "open.example")
	bank.PolicyDomain = "mail.bank.example"
	uni.Begin = uni.Begin.Add(queue.Day / 2)
	r.ready(bank, shop, uni, open)
	for _, p := range []queue.Report{bank, shop, uni} {
		r.end(p.ID)
	}
	noon := r.yesterday().Add(queue.Day / 2)
	r.purge(queue.Purge{Documents: true, Before: r.yesterday()}, queue.Purged{})
	r.purge(queue.Purge{Documents: true, Before: noon}, queue.Purged{Bodies: 2}) // not that of open, which is at work
	r.purge(queue.Purge{Documents: true, Domain: "stranger.example"}, queue.Purged{Bodies: 1})
	if _, err := r.ReadBody(t.Context(), open.ID); err != nil {
		t.Errorf("the document of a report that is at work: %v; want it kept", err)
	}
	r.purge(queue.Purge{Domain: "bank.example", Before: r.yesterday()}, queue.Purged{})
	r.purge(queue.Purge{Domain: "bank.example", Before: noon}, queue.Purged{Reports: 1, Addresses: 1})
	r.purge(queue.Purge{Before: noon}, queue.Purged{Reports: 2})
	r.purge(queue.Purge{Before: noon.Add(time.Second)}, queue.Purged{Reports: 1})
	r.empty("report", "delivery", "attempt", "report_body")
	r.day(queue.RunDone)
}

// end ends a ready report.
func (r *rig) end(id string) {
	r.t.Helper()
	taken, err := r.Take(r.t.Context(), "ender", queue.Ready, 100)
	r.ok(err)
	for _, p := range taken {
		if p.ID == id {
			r.ok(r.End(r.t.Context(), "ender", id, queue.Withdrawn, "no_rua"))
			continue
		}
		r.ok(r.Release(r.t.Context(), "ender", p.ID))
	}
	if !r.get(id).State.Ended() {
		r.t.Fatalf("report %s was not taken", id)
	}
}

func (r *rig) purge(p queue.Purge, want queue.Purged) {
	r.t.Helper()
	got, err := r.Purge(r.t.Context(), p)
	r.ok(err)
	if got != want {
		r.t.Errorf("Purge(%+v) = %+v; want %+v", p, got, want)
	}
}

// empty checks that tables have no rows.
func (r *rig) empty(names ...string) {
	r.t.Helper()
	for _, name := range names {
		n := int64(-1)
		r.ok(r.s.Do(r.t.Context(), func(tx tables.Tx) error {
			rows, err := tx.Query(r.t.Context(), "SELECT count(*) FROM "+name)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				if err := rows.Scan(&n); err != nil {
					return err
				}
			}
			return rows.Err()
		}))
		if n != 0 {
			r.t.Errorf("%s has %d rows; want none", name, n)
		}
	}
}

func counting(t *testing.T, s Subject) {
	r := newRig(t, s)
	c, err := r.Counts(t.Context())
	r.ok(err)
	if len(c.Reports)+len(c.Deliveries)+len(c.Suppressed) > 0 || !c.OldestDue.IsZero() || !c.LastClosed.IsZero() || c.Again != 0 {
		t.Errorf("Counts of an empty queue = %+v; want nothing", c)
	}
	r.ready(r.report(1, "one.example"), r.report(2, "two.example", "three.example"))
	r.ok(r.Suppress(t.Context(), queue.Suppression{Kind: queue.SuppressHost, What: "x.example", Source: queue.FromPerson}))
	r.begin("a", r.take("a").Deliveries[0])
	s.Advance(queue.Lease)
	c, err = r.Counts(t.Context())
	r.ok(err)
	if !maps.Equal(c.Reports, map[queue.State]int64{queue.Ready: 2}) || !maps.Equal(c.Deliveries, map[queue.DeliveryState]int64{queue.Due: 2, queue.Trying: 1}) ||
		!maps.Equal(c.Suppressed, map[string]int64{"manual": 1}) || c.OldestDue.IsZero() || !c.LastClosed.Equal(r.yesterday()) {
		t.Errorf("Counts = %+v; want 2 ready reports, 2 deliveries due and 1 in trying", c)
	}
	if len(c.WaitedFor) != 0 {
		t.Errorf("Counts = %+v; want no host that was missing", c)
	}
	for n, silent := range [][]string{{"mx2", "mx3"}, nil} {
		_, err = r.CloseDay(t.Context(), queue.Run{Day: r.yesterday().AddDate(0, 0, n+1), WaitedFor: silent})
		r.ok(err)
		if c, err = r.Counts(t.Context()); err != nil || !slices.Equal(c.WaitedFor, silent) || !c.LastClosed.Equal(r.yesterday().AddDate(0, 0, n+1)) {
			t.Errorf("Counts = %+v, %v; want that %q were missing on the last closed day", c, err, silent)
		}
	}
}
