//go:build mta

package pg

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"dmarcgate/internal/pgtest"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/tables"
	"dmarcgate/results/pg"
)

// The work of TestDatabaseCut.
const (
	cutReports = 40
	cutHosts   = 3
)

// server is what takes mails, and knows how often it got each one.
type server struct {
	mu    sync.Mutex
	taken map[int64]int
}

func (s *server) take(delivery int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[delivery]++
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}

func TestDatabaseCut(t *testing.T) {
	p := pgtest.Start(t)
	direct := p.Database()
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	proxy := p.Proxy(t)
	ahead := clock()
	last := open(t, direct, ahead)
	q := tables.New(last.Database)
	day := planCut(t, q)
	mails := &server{taken: map[int64]int{}}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var hosts sync.WaitGroup
	for n := range cutHosts {
		host := tables.New(open(t, proxy.URL(strings.TrimPrefix(u.Path, "/")), ahead).Database)
		hosts.Go(func() { sendAll(ctx, host, fmt.Sprint("host", n), mails) })
	}
	// Each disturbance comes when some more mails are through.
	for n, disturb := range []func(){
		func() { proxy.LoseCommits(3) },
		func() { proxy.LoseAcknowledgements(3) },
		func() { proxy.Cut(); proxy.Fix() },
		func() { p.Stop(); p.Restart() },
		func() { p.Kill(); p.Restart() },
	} {
		for mails.count() < (n+1)*cutReports/8 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		disturb()
	}
	hosts.Wait()
	_, _ = q.Now(t.Context()) // the connection broke with the server; the next step makes a new one
	// A host that took a report and did not hear of that is waited for.
	last.Advance(queue.Lease)
	sendAll(ctx, q, "last", mails)
	checkCut(t, q, day, mails)
}

// planCut plans reports with their documents.
func planCut(t *testing.T, q *tables.Queue) (day time.Time) {
	t.Helper()
	ctx := t.Context()
	now, err := q.Now(ctx)
	day = now.Truncate(queue.Day).AddDate(0, 0, -1)
	var plan queue.Plan
	for n := range cutReports {
		host := fmt.Sprintf("h%d.example", n)
		plan.Reports = append(plan.Reports, queue.Report{ID: fmt.Sprintf("%032x", n), Kind: queue.Aggregate, PolicyDomain: host, Begin: day, End: day.Add(queue.Day), PolicyHash: "h", Form: "rfc9990",
			Deliveries: []queue.Delivery{{Key: "a@" + host, Host: host, URI: "mailto:a@" + host}}})
	}
	_, closed := q.CloseDay(ctx, queue.Run{Day: day})
	_, taken := q.TakeDay(ctx, "planner")
	_, planned := q.Plan(ctx, "planner", day, plan)
	reports, got := q.Take(ctx, "planner", queue.Planned, cutReports)
	err = errors.Join(err, closed, taken, planned, got)
	for _, r := range reports {
		err = errors.Join(err, q.StoreBody(ctx, "planner", r.ID, queue.Body{Gzip: []byte(r.ID)}), q.Release(ctx, "planner", r.ID))
	}
	if err != nil || len(reports) != cutReports {
		t.Fatalf("%d reports, %v; want %d", len(reports), err, cutReports)
	}
	return day
}

// sendAll is a host that sends until it gets no more work, whatever the database
// does. It repeats what it may repeat.
func sendAll(ctx context.Context, q *tables.Queue, owner string, to *server) {
	for ctx.Err() == nil {
		reports, err := q.Take(ctx, owner, queue.Ready, 1)
		switch {
		case err != nil:
			time.Sleep(time.Millisecond) // the database is away
		case len(reports) == 0:
			return
		default:
			sendOne(ctx, q, owner, reports[0].Deliveries[0].ID, to)
		}
	}
}

func sendOne(ctx context.Context, q *tables.Queue, owner string, delivery int64, to *server) {
	a, err := q.Begin(ctx, owner, queue.Begin{Delivery: delivery, Sender: owner})
	for err != nil && !errors.Is(err, queue.ErrLost) && ctx.Err() == nil {
		a, err = q.Begin(ctx, owner, queue.Begin{Delivery: delivery, Sender: owner})
	}
	if err != nil {
		return
	}
	to.take(delivery)
	for ctx.Err() == nil {
		if err := q.Settle(ctx, owner, a, queue.Outcome{State: queue.Sent, Code: 250}); err == nil || errors.Is(err, queue.ErrLost) {
			return
		}
	}
}

func checkCut(t *testing.T, q *tables.Queue, day time.Time, mails *server) {
	t.Helper()
	reports, err := q.Find(t.Context(), queue.Filter{})
	if err != nil || len(reports) != cutReports {
		t.Fatalf("Find = %d reports, %v; want %d", len(reports), err, cutReports)
	}
	for _, r := range reports {
		d := r.Deliveries[0]
		if r.State != queue.Done || d.State != queue.Sent || mails.taken[d.ID] != 1 {
			t.Errorf("report %s is %s, its delivery %s, and %d mails went out; want one", r.ID, r.State, d.State, mails.taken[d.ID])
		}
	}
	runs, err := q.Runs(t.Context(), day, day)
	if err != nil || len(runs) != 1 || runs[0].State != queue.RunDone {
		t.Errorf("Runs = %+v, %v; want the day done", runs, err)
	}
}

func TestSilentHost(t *testing.T) {
	p := pgtest.Start(t)
	url := p.Database()
	q := tables.New(open(t, url, clock()).Database)
	now, err := q.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	end := now.Truncate(queue.Day)
	day := end.AddDate(0, 0, -1)
	p.Exec(url, fmt.Sprintf(`INSERT INTO dmarcgate.store (uuid, host, machine, path, shipped, watermark, skew_ms, seen, ended) VALUES
		('00000000-0000-0000-0000-00000000000a', 'mx1', '', '/r', 2, '%[1]s', 0, '%[1]s', NULL),
		('00000000-0000-0000-0000-00000000000b', 'mx2', '', '/r', 1, '%[2]s', 0, '%[2]s', NULL),
		('00000000-0000-0000-0000-00000000000c', 'mx3', '', '/r', 9, NULL, 600000, '%[2]s', '%[2]s')`,
		end.Format(time.RFC3339), day.Format(time.RFC3339)))
	reader, err := pg.OpenReader(t.Context(), pg.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	stores, err := reader.Stores(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sources := Sources(stores)
	if c := queue.MayClose(end, end.Add(queue.Grace-time.Minute), true, sources); c.May || c.Why != "rows of mx2 are missing" {
		t.Errorf("MayClose within the grace = %+v; want that rows of mx2 are missing", c)
	}
	c := queue.MayClose(end, end.Add(queue.Grace), true, sources)
	if !c.May || len(c.Silent) != 1 || c.Silent[0] != "mx2" {
		t.Fatalf("MayClose after the grace = %+v; want the day closed without mx2", c)
	}
	run, err := q.CloseDay(t.Context(), queue.Run{Day: day, WaitedFor: c.Silent, Upto: queue.Upto(sources)})
	if err != nil {
		t.Fatal(err)
	}
	lateRows(t, p, url, reader, q, run)
}

// lateRows lets rows of the silent host come after the day was closed.
func lateRows(t *testing.T, p *pgtest.Server, url string, reader *pg.Reader, q *tables.Queue, run queue.Run) {
	t.Helper()
	day, next := run.Day, run.Day.Add(queue.Day)
	p.Exec(url, fmt.Sprintf("CREATE TABLE dmarcgate.message_test PARTITION OF dmarcgate.message FOR VALUES FROM ('%s') TO ('%s')",
		day.Format(time.RFC3339), next.Add(queue.Day).Format(time.RFC3339)))
	insert := func(host string, seq, state, flags int, at time.Time) {
		p.Exec(url, fmt.Sprintf(`INSERT INTO dmarcgate.message SELECT %d, '%s', id, %d, %d, 0, 0, 0, 0, '', NULL, '', '', '', '' FROM dmarcgate.store WHERE host = '%s'`,
			seq, at.Format(time.RFC3339Nano), flags, state, host))
	}
	insert("mx1", 2, 0, 0, day.Add(time.Hour)) // in time
	insert("mx2", 1, 0, 0, day.Add(time.Hour)) // in time
	insert("mx2", 2, 0, 0, day)
	insert("mx2", 3, 0, 0, next.Add(-time.Millisecond))
	insert("mx2", 4, 0, 0, next)
	insert("mx2", 5, 1, 0, day.Add(time.Hour)) // deferred
	insert("mx2", 6, 0, 8, day.Add(time.Hour)) // not evaluated
	p.Exec(url, `INSERT INTO dmarcgate.store (uuid, host, machine, path, shipped) VALUES ('00000000-0000-0000-0000-00000000000d', 'mx4', '', '/r', 1)`)
	insert("mx4", 1, 0, 0, day.Add(time.Hour)) // of a store that is new
	late, err := reader.LateRows(t.Context(), day, next, run.Upto)
	if err != nil || late != 3 {
		t.Errorf("LateRows = %d, %v; want 2 of mx2 and 1 of mx4", late, err)
	}
	if err := q.CountRows(t.Context(), day, late, 0); err != nil {
		t.Fatal(err)
	}
	runs, err := q.Runs(t.Context(), day, day)
	if err != nil || runs[0].Late != 3 || len(runs[0].WaitedFor) != 1 || runs[0].WaitedFor[0] != "mx2" {
		t.Errorf("Runs = %+v, %v; want 3 late rows, and the name of mx2", runs, err)
	}
}
