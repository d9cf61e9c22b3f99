//go:build mta

package main

import (
	"fmt"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"dmarcgate/internal/pgtest"
	"dmarcgate/internal/scale"
	"dmarcgate/report/queue"
	"dmarcgate/results"
)

// reportDomains are those of the reports of three daemons.
const reportDomains = 100

// reportFleet is three daemons that share a PostgreSQL and a smarthost.
type reportFleet struct {
	*reportSite
	server *pgtest.Server
	hosts  []*reporting
	daemon []*process
	q      queue.Store
}

// newReportFleet returns daemons whose stores have a message of each domain.
func newReportFleet(t *testing.T) *reportFleet {
	t.Helper()
	var domains []string
	for i := range reportDomains {
		domains = append(domains, fmt.Sprintf("n%d.example", i))
	}
	f := &reportFleet{reportSite: newReportSite(t, domains...), server: pgtest.Start(t)}
	url, password := documentedDatabase(t, f.server)
	for n := range 3 {
		h := f.host(fmt.Sprintf("max_new_hosts_per_day = 1000\nmax_per_minute = 1000\n[store.postgres]\nurl = %q\npassword_file = %q\n", url, password))
		var rows []results.Row
		for i, d := range domains {
			rows = append(rows, passed(d, f.day.Begin.AddDate(0, 0, -9), fmt.Sprintf("old%d", i)), passed(d, f.day.Begin.Add(time.Duration(n)*time.Hour), fmt.Sprintf("q%d", i)))
		}
		fillStore(t, h.config(), rows...)
		f.hosts = append(f.hosts, h)
	}
	f.hosts[0].enable()
	f.q = f.hosts[0].openQueue()
	t.Cleanup(func() { f.q.Close() })
	return f
}

// start starts all daemons.
func (f *reportFleet) start() {
	f.daemon = nil
	for _, h := range f.hosts {
		f.daemon = append(f.daemon, h.start())
	}
}

func (f *reportFleet) stop() {
	for _, p := range f.daemon {
		p.stop()
	}
}

// until lets all daemons take turns until the day is in one of the states.
func (f *reportFleet) until(states ...queue.RunState) {
	f.t.Helper()
	var turn time.Time
	var run queue.Run
	await(f.t, 4*stopTime, func() string { return fmt.Sprintf("a day that is %v; the day is %+v", states, run) }, func() bool {
		if time.Since(turn) > 3*time.Second { // a reload begins the next turn, and a session of the shipper
			for _, p := range f.daemon {
				p.reload()
			}
			turn = time.Now()
		}
		if runs, err := f.q.Runs(f.t.Context(), f.day.Begin, f.day.Begin); err == nil && len(runs) == 1 {
			run = runs[0]
		}
		return slices.Contains(states, run.State)
	})
}

// hasten makes all mails due, which are spread over hours, and begins a turn of each
// daemon.
func (f *reportFleet) hasten() {
	f.t.Helper()
	list, err := f.q.Find(f.t.Context(), queue.Filter{Limit: 1e6})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, r := range list {
		_ = f.q.Hasten(f.t.Context(), r.ID) // it may have ended
	}
	for _, p := range f.daemon {
		p.signal(syscall.SIGHUP)
	}
}

// cut stops PostgreSQL while the daemons send, and returns the time that the slowest
// hundredth of messages took meanwhile.
func (f *reportFleet) cut() time.Duration {
	f.t.Helper()
	mta := f.hosts[0].session()
	f.hasten()
	await(f.t, stopTime, func() string { return fmt.Sprintf("some mails; there are %d", len(f.sink.Mails())) }, func() bool { return len(f.sink.Mails()) > 0 })
	f.server.Stop()
	sent := len(f.sink.Mails())
	end := time.Now().Add(time.Duration(min(60, 2*scale.Of(f.t))) * time.Second)
	took, n, err := p99(mta, "4Xcut", 200, func() bool { return time.Now().Before(end) })
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Logf("%d messages while PostgreSQL was away, after %d mails", n, sent)
	f.server.Restart()
	_, _ = f.q.Now(f.t.Context()) // the connection broke with the server
	return took
}

// Three daemons share a PostgreSQL, which stops while all send: for two seconds, and for a
// minute in soak. Each report leaves once, and the answers to mail take no longer.
func TestReportsOfThreeHostsBesideADatabaseCut(t *testing.T) {
	f := newReportFleet(t)
	f.start()
	mta := f.hosts[0].session()
	alone, _, err := p99(mta, "4Xalone", 500, func() bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	mta.Close()
	f.until(queue.RunPlanned)
	beside := f.cut()
	t.Logf("p99 of answers: %v, and %v while PostgreSQL was away", alone, beside)
	if most := 2*alone + p99Grace; beside > most {
		t.Errorf("p99 of answers while PostgreSQL was away = %v; want at most %v", beside, most)
	}
	f.stop() // settles what was sent
	f.server.Exec(f.server.URL("gate"), `UPDATE dmarcgate.report SET lease_until = clock_timestamp() - interval '1 s' WHERE lease_until IS NOT NULL;
		UPDATE dmarcgate.report_run SET lease_until = clock_timestamp() - interval '1 s' WHERE lease_until IS NOT NULL`)
	f.start()
	f.hasten()
	f.until(queue.RunDone)
	f.stop()
	ids := map[string]bool{}
	for _, m := range f.sink.Mails() {
		id := regexp.MustCompile(`Report-ID:\s+<?([0-9a-f]{32})`).FindSubmatch(m.Data)
		if id == nil {
			t.Fatalf("no report mail:\n%.2000s", m.Data)
		}
		ids[string(id[1])+m.Rcpts[0]] = true
	}
	if n := len(f.sink.Mails()); n != reportDomains || len(ids) != reportDomains {
		t.Errorf("%d mails with %d IDs; want %d of each", n, len(ids), reportDomains)
	}
}
