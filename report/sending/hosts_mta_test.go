//go:build mta

package sending

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dmarcgate/internal/childtest"
	"dmarcgate/internal/mtatest"
	"dmarcgate/internal/pgtest"
	"dmarcgate/internal/scale"
	"dmarcgate/report"
	"dmarcgate/report/queue"
	queuepg "dmarcgate/report/queue/pg"
	"dmarcgate/results"
	"dmarcgate/results/pg"
	"dmarcgate/results/sqlite"
)

// fleet is three hosts that share a PostgreSQL.
type fleet struct {
	t      *testing.T
	server *pgtest.Server
	url    string      // of the database
	q      queue.Store // for the test
	day    report.Period
	hosts  []hostConfig
}

// newFleet returns hosts that report about a day that is over, and about none before.
func newFleet(t *testing.T, smarthost string) *fleet {
	t.Helper()
	f := &fleet{t: t, server: pgtest.Start(t), day: report.DayOf(time.Now().Add(-queue.Day - queue.CloseAfter - time.Minute))}
	f.url = f.server.Database()
	q, err := queuepg.Open(t.Context(), pg.Config{URL: f.url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	f.q = q
	f.ok(q.SetNote(t.Context(), "enabled", f.day.Begin.Format(time.RFC3339)))
	for _, name := range []string{"a", "b", "c"} {
		f.hosts = append(f.hosts, hostConfig{Name: name, Dir: t.TempDir(), Postgres: f.url, Smarthost: smarthost})
	}
	return f
}

func (f *fleet) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// ship stores rows of a host, and ships them by a URL. disturb is called meanwhile.
func (f *fleet) ship(c hostConfig, url string, rows []results.Row, disturb func()) {
	f.t.Helper()
	log := slog.New(slog.DiscardHandler)
	path := filepath.Join(c.Dir, "results.db")
	store, err := sqlite.Open(f.t.Context(), sqlite.Options{Path: path, Durability: sqlite.Async, Wait: time.Minute, Queue: 1000, Ship: true, Log: log})
	f.ok(err)
	spool, err := store.Spool(f.t.Context())
	f.ok(err)
	shipper, err := pg.Start(struct {
		*sqlite.Store
		*sqlite.Spool
	}{store, spool}, pg.Options{Config: pg.Config{URL: url}, Place: pg.Place{Host: c.Name, Path: path}, Log: log})
	f.ok(err)
	for n, r := range rows {
		if got := store.Add(r).Outcome; got == results.Dropped {
			f.t.Fatalf("a row was %s", got)
		}
		if n == len(rows)/2 {
			disturb()
		}
	}
	last, err := store.Barrier(f.t.Context())
	f.ok(err)
	f.poll("all rows in PostgreSQL", func() bool { return shipper.Status().Shipped >= last })
	if n := shipper.Status().Aside; n > 0 {
		f.t.Fatalf("PostgreSQL did not take %d rows", n)
	}
	shipper.Stop(f.t.Context())
	spool.Close()
	f.ok(store.Close())
}

// start starts all hosts at once.
func (f *fleet) start() (all []*process) {
	f.t.Helper()
	for _, c := range f.hosts {
		all = append(all, c.start(f.t))
	}
	for _, p := range all {
		p.says("ready", 1)
	}
	for _, p := range all {
		p.goes()
	}
	return all
}

// expire ends the leases of hosts that have ended: time passes.
func (f *fleet) expire() {
	f.t.Helper()
	f.server.Exec(f.url, `UPDATE dmarcgate.report SET lease_until = clock_timestamp() - interval '1 s' WHERE lease_until IS NOT NULL;
		UPDATE dmarcgate.report_run SET lease_until = clock_timestamp() - interval '1 s' WHERE lease_until IS NOT NULL`)
}

// reports reads all reports of the queue.
func (f *fleet) reports() []queue.Report {
	f.t.Helper()
	list, err := f.q.Find(f.t.Context(), queue.Filter{Limit: 1e6})
	f.ok(err)
	return list
}

// run reads the day.
func (f *fleet) run() (run queue.Run) {
	f.t.Helper()
	runs, err := f.q.Runs(f.t.Context(), f.day.Begin, f.day.Begin)
	f.ok(err)
	if len(runs) > 0 {
		run = runs[0]
	}
	return run
}

// hasten makes all mails due, which are spread over hours.
func (f *fleet) hasten() {
	f.t.Helper()
	for _, r := range f.reports() {
		if err := f.q.Hasten(f.t.Context(), r.ID); !errors.Is(err, queue.ErrLost) { // it has ended
			f.ok(err)
		}
	}
}

// poll waits for what hosts do.
func (f *fleet) poll(what string, done func() bool) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	if err := childtest.Poll(ctx, done); err != nil {
		f.t.Fatalf("%s: %v; the day is %+v", what, err, f.run())
	}
}

// until waits for a state of the day.
func (f *fleet) until(states ...queue.RunState) {
	f.t.Helper()
	f.poll(fmt.Sprintf("a day that is %v", states), func() bool { return slices.Contains(states, f.run().State) })
}

// emptied waits until Postfix has delivered all.
func (f *fleet) emptied(postfix *mtatest.Postfix) {
	f.t.Helper()
	f.poll("an empty queue of Postfix", func() bool {
		waiting, err := postfix.Queue()
		return err == nil && len(waiting) == 0
	})
}

// domains are those of the reports of a test.
const domains = 100

// shipDomains gives each host a message of each domain.
func (f *fleet) shipDomains() {
	f.t.Helper()
	for n, c := range f.hosts {
		s := newSite(f.t)
		for i := range domains {
			s.receives(f.day.Begin.Add(time.Duration(n*domains+i)*time.Minute), fmt.Sprintf("n%d.example", i))
		}
		f.ship(c, f.url, s.rows, func() {})
	}
}

// wantEach checks that a report about each domain has arrived, once.
func (f *fleet) wantEach(postfix *mtatest.Postfix) {
	f.t.Helper()
	f.emptied(postfix)
	ids, to, mails := map[string]bool{}, map[string]bool{}, postfix.Mails()
	for _, m := range mails {
		r := readMail(f.t, m.Rcpts[0], m.Data)
		ids[r.id], to[r.to] = true, true
	}
	if len(mails) != domains || len(ids) != domains || len(to) != domains {
		f.t.Errorf("%d mails to %d addresses with %d IDs; want %d of each", len(mails), len(to), len(ids), domains)
	}
	for _, r := range f.reports() {
		if !ids[r.ID] || r.State != queue.Done || r.Messages != int64(len(f.hosts)) || r.Deliveries[0].State != queue.Sent {
			f.t.Errorf("report %+v; want one that is done, about the messages of all hosts", r)
		}
	}
}

// owners returns how many attempts each process made.
func (f *fleet) owners() map[string]int {
	f.t.Helper()
	tried := map[string]int{}
	for _, r := range f.reports() {
		list, err := f.q.Attempts(f.t.Context(), r.ID)
		f.ok(err)
		for _, a := range list {
			tried[a.Owner]++
		}
	}
	return tried
}

// Three hosts plan and send at once: each report leaves once.
func TestThreeHosts(t *testing.T) {
	postfix := mtatest.StartPostfix(t, mtatest.PostfixConfig{MainCF: relay})
	f := newFleet(t, postfix.Addr())
	f.shipDomains()
	all := f.start()
	f.until(queue.RunPlanned, queue.RunDone)
	f.hasten()
	f.until(queue.RunDone)
	for _, p := range all {
		p.quiet() // no host sends more
		p.stop()
	}
	f.wantEach(postfix)
	t.Logf("attempts by host: %v", f.owners())
	counts, err := f.q.Counts(t.Context())
	if err != nil || counts.Again != 0 {
		t.Errorf("%d mails may have left twice, %v; want none", counts.Again, err)
	}
}

// PostgreSQL stops while three hosts send, for two seconds, and for a minute in soak.
// Nothing is lost, and nothing leaves twice.
func TestDatabaseCut(t *testing.T) {
	postfix := mtatest.StartPostfix(t, mtatest.PostfixConfig{MainCF: relay})
	f := newFleet(t, postfix.Addr())
	f.shipDomains()
	all := f.start()
	f.until(queue.RunPlanned, queue.RunDone)
	f.hasten()
	f.poll("some mails", func() bool {
		c, err := f.q.Counts(t.Context())
		return err == nil && c.Deliveries[queue.Sent] > domains/5
	})
	f.server.Stop()
	time.Sleep(time.Duration(min(60, 2*scale.Of(t))) * time.Second) // what is tested
	f.server.Restart()
	for _, p := range all {
		p.quiet()
		p.stop()
	}
	_, _ = f.q.Now(t.Context()) // the connection broke with the server; the next step makes a new one
	if f.run().State == queue.RunDone {
		t.Error("all was sent before the server stopped; want the cut within")
	}
	// Work whose begin or end was not heard of belongs to its host until the lease is over.
	for n := 0; f.run().State != queue.RunDone && n < 3; n++ {
		f.expire()
		for _, p := range f.start() {
			p.quiet()
			p.stop()
		}
	}
	f.wantEach(postfix)
}
