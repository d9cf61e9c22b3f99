package queuetest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"dmarcgate/report/queue"
	"dmarcgate/report/queue/tables"
)

// Subject is one empty database.
type Subject struct {
	tables.Database
	// Advance moves the clock of the database.
	Advance func(time.Duration)
	// Again opens the same database for another host.
	Again func() tables.Database
}

// Run runs all tests. Each one opens a database without reports.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s Subject)
	}{
		{"a report goes its way from the closed day to the sent mail", way},
		{"the first host that closes a day decides", closing},
		{"a day is planned once, by the host that took it", planning},
		{"a report that a gate holds back is planned with its why, and is no work", heldBack},
		{"a report with an unusable key is left out, and no other", unusable},
		{"every column takes hostile text", hostile},
		{"work belongs to one owner until the lease is over", leases},
		{"an owner who lost the lease may settle until the next attempt begins", lateSettle},
		{"a delivery that ends while an attempt goes on may still be sent", endedMeanwhile},
		{"an attempt whose host died is repeated with the same date and counted", again},
		{"a step that was committed may be repeated", repeated},
		{"a report ends as withheld, withdrawn, failed or split, once", endings},
		{"a report waits for its destinations", waiting},
		{"retry sends what was not sent", retrying},
		{"hosts that plan and send at once send each report once", threeHosts},
		{"limits of a day are exact while several owners send", limits},
		{"strikes suppress for 7, 30 and 90 days, then until lifted", strikes},
		{"a bounce counts once", bounces},
		{"notes are kept", notes},
		{"a pause ends once, and nothing ends without one", pauses},
		{"a record is known since the first report, whatever became of it", recordSince},
		{"a purge deletes documents, reports and addresses", purging},
		{"a purge of a person leaves days as they are", purgingByPerson},
		{"counts count", counting},
		{"an overview shows the newest days, work and failures", overview},
		{"a restored queue sends nothing again without retry", restored},
		{"a lost queue plans no day again", lost},
		{"a host that joins the queue of others holds nothing", joined},
		{"a queue that was restored under a running daemon sends nothing", restoredRunning},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
	t.Run("KillEveryStep", func(t *testing.T) { killEveryStep(t, open) })
	t.Run("random steps of several owners", func(t *testing.T) { random(t, open) })
}

// rig is a queue with what the tests need again and again.
type rig struct {
	*tables.Queue
	t   *testing.T
	s   Subject
	now time.Time // when the test began
}

func newRig(t *testing.T, s Subject) *rig {
	t.Helper()
	r := &rig{Queue: tables.New(s), t: t, s: s}
	var err error
	r.now, err = r.Now(t.Context())
	r.ok(err)
	return r
}

func (r *rig) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// wants checks an error.
func (r *rig) wants(err, want error) {
	r.t.Helper()
	if !errors.Is(err, want) {
		r.t.Fatalf("err = %v; want %v", err, want)
	}
}

// yesterday is the day that the reports are about.
func (r *rig) yesterday() time.Time { return r.now.Truncate(queue.Day).AddDate(0, 0, -1) }

// report is a planned report with a delivery to each host.
func (r *rig) report(n int, hosts ...string) queue.Report {
	p := queue.Report{
		ID: fmt.Sprintf("%032x", n), Kind: queue.Aggregate, PolicyDomain: fmt.Sprintf("d%d.example", n),
		Begin: r.yesterday(), End: r.yesterday().Add(queue.Day), PolicyHash: "h1", Form: "rfc9990", Rows: 3, Messages: 2,
	}
	for _, host := range hosts {
		p.Deliveries = append(p.Deliveries, queue.Delivery{
			Key: fmt.Sprintf("dmarc%d@%s", n, host), URI: "mailto:dmarc@" + host, Via: "record", Host: host, VERP: fmt.Sprintf("v%d-%s", n, host),
		})
	}
	return p
}

// plan closes yesterday and plans reports.
func (r *rig) plan(reports ...queue.Report) {
	r.t.Helper()
	_, err := r.CloseDay(r.t.Context(), queue.Run{Day: r.yesterday()})
	r.ok(err)
	_, err = r.TakeDay(r.t.Context(), "planner")
	r.ok(err)
	result, err := r.Plan(r.t.Context(), "planner", r.yesterday(), queue.Plan{Reports: reports})
	r.ok(err)
	if result.Added != len(reports) || len(result.Unusable) > 0 {
		r.t.Fatalf("Plan = %+v; want %d added", result, len(reports))
	}
}

// ready plans reports and stores their documents.
func (r *rig) ready(reports ...queue.Report) {
	r.t.Helper()
	r.plan(reports...)
	taken, err := r.Take(r.t.Context(), "renderer", queue.Planned, len(reports))
	r.ok(err)
	for _, p := range taken {
		r.ok(r.StoreBody(r.t.Context(), "renderer", p.ID, body(p.ID)))
		r.ok(r.Release(r.t.Context(), "renderer", p.ID))
	}
}

func body(id string) queue.Body { return queue.Body{Gzip: []byte("document of " + id), Records: 1} }

// take takes one ready report, which has to be there.
func (r *rig) take(owner string) queue.Report {
	r.t.Helper()
	taken, err := r.Take(r.t.Context(), owner, queue.Ready, 1)
	r.ok(err)
	if len(taken) != 1 {
		r.t.Fatalf("Take for %s = %d reports; want 1", owner, len(taken))
	}
	return taken[0]
}

// begin begins an attempt, which has to be possible.
func (r *rig) begin(owner string, d queue.Delivery) queue.Attempt {
	r.t.Helper()
	a, err := r.Begin(r.t.Context(), owner, begin(d))
	r.ok(err)
	return a
}

func begin(d queue.Delivery) queue.Begin {
	return queue.Begin{Delivery: d.ID, Sender: "sender", Bytes: 100}
}

// get reads one report.
func (r *rig) get(id string) queue.Report {
	r.t.Helper()
	found, err := r.Find(r.t.Context(), queue.Filter{ID: id})
	r.ok(err)
	if len(found) != 1 {
		r.t.Fatalf("Find(%s) = %d reports; want 1", id, len(found))
	}
	return found[0]
}

// states checks the states of a report and of its deliveries.
func (r *rig) states(id string, want queue.State, deliveries ...queue.DeliveryState) {
	r.t.Helper()
	p := r.get(id)
	var got []queue.DeliveryState
	for _, d := range p.Deliveries {
		got = append(got, d.State)
	}
	if p.State != want || !reflect.DeepEqual(got, deliveries) {
		r.t.Fatalf("report %s is %s with deliveries %v; want %s with %v", id, p.State, got, want, deliveries)
	}
}

// day checks the state of yesterday.
func (r *rig) day(want queue.RunState) queue.Run {
	r.t.Helper()
	runs, err := r.Runs(r.t.Context(), r.yesterday(), r.yesterday())
	r.ok(err)
	if len(runs) != 1 || runs[0].State != want {
		r.t.Fatalf("runs = %+v; want one that is %s", runs, want)
	}
	return runs[0]
}

var sent = queue.Outcome{State: queue.Sent, Host: "mx.example", Code: 250, Enhanced: "2.0.0", Text: "queued as 123", ReplyID: "123"}

// id is the id of the report with this number.
func id(n int) string { return fmt.Sprintf("%032x", n) }

// evil is text that hurts a terminal, a log, a database, or a reader of XML.
var evil = strings.Join([]string{"'; DROP TABLE report; --", "\x00", "\xff\xfe", "\x1b[2J", "\r\nBcc: x", "<script>", "\u202e", "\u2028", "$1 ?1 %s", "\\", "\"", "\U0001F600"}, " ")
