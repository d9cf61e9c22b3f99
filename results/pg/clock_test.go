//go:build mta

package pg

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/internal/pgtest"
	"dmarcgate/metrics"
	"dmarcgate/results/blob"
)

// ahead is a clock that can be set.
type ahead struct {
	begun time.Time
	by    atomic.Int64
}

func (a *ahead) add(d time.Duration) { a.by.Add(int64(d)) }

// now is the clock of a host.
func (a *ahead) now() time.Time { return time.Now().Add(time.Duration(a.by.Load())) }

// elapsed is monotonic time.
func (a *ahead) elapsed() time.Duration { return time.Since(a.begun) + time.Duration(a.by.Load()) }

// settable gives a database a clock of its own, and returns what sets it: names
// in pg_catalog are found first unless the path says otherwise.
func settable(t *testing.T, server *pgtest.Server, url string) (set func(string)) {
	t.Helper()
	server.Exec(url, `CREATE SCHEMA fake; CREATE TABLE fake.clock (ahead interval NOT NULL); INSERT INTO fake.clock VALUES ('0');
		CREATE FUNCTION fake.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM fake.clock';
		DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = fake, pg_catalog, public', current_database()); END $$`)
	return func(by string) {
		server.Exec(url, "UPDATE fake.clock SET ahead = '"+by+"'")
	}
}

// The clock of PostgreSQL jumps by months, and comes back: no day is dropped but
// the oldest one, no address shortened, no row refused, and the log tells of it.
func TestPartitionsSurviveClockJump(t *testing.T) {
	server := pgtest.Start(t)
	for _, jumps := range [][]string{{"31 days", "0"}, {"-31 days", "0"}, {"400 days", "-400 days", "0"}} {
		t.Run(fmt.Sprint(jumps), func(t *testing.T) {
			url := server.Database()
			set := settable(t, server, url)
			l := openLocal(t, filepath.Join(t.TempDir(), "results.db"))
			const kept = 20
			for i := range kept {
				l.Add(message(fmt.Sprint("q", i), time.Now().UTC().AddDate(0, 0, -i).Add(-time.Minute)))
			}
			reg := prometheus.NewRegistry()
			var log bytes.Buffer
			s := shipWith(t, l, Options{Config: Config{URL: url, RetentionDays: 30}, Place: place("a"), Log: slog.New(slog.NewTextHandler(&log, nil)),
				Metrics: metrics.New(reg, nil), ShortenIPAfter: 25 * 24 * time.Hour})
			whole := func() int {
				return ask[int](t, url, "SELECT count(*) FROM dmarcgate.message WHERE client = '::ffff:192.0.2.7'")
			}
			eventually(t, "all rows", func() bool { return s.Status().Rows == kept })
			for i, by := range jumps {
				set(by)
				eventually(t, "the jump to be counted", func() bool { return value(t, reg, "dmarcgate_clock_jumps_total", "database") == float64(i+1) })
			}
			l.Add(message("after", time.Now().UTC().AddDate(0, 0, -kept-2)))
			eventually(t, "the last row", func() bool { return s.Status().Rows == kept+1 })
			finish(t, s)
			if got := whole(); got != kept+1 {
				t.Errorf("rows with their address = %d; want all %d\n%s", got, kept+1, log.String())
			}
			if got := s.Status(); got.Aside != 0 || got.Waiting.Rows != 0 {
				t.Errorf("Status() = %+v; want that no row is refused", got)
			}
			if !bytes.Contains(log.Bytes(), []byte("clock of PostgreSQL jumped")) {
				t.Errorf("the log does not tell of the jump:\n%s", log.String())
			}
		})
	}
}

// The clock of the host has no say in what is dropped.
func TestPartitionsIgnoreClockOfHost(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	l := openLocal(t, filepath.Join(t.TempDir(), "results.db"))
	for i := range 20 {
		l.Add(message(fmt.Sprint("q", i), time.Now().UTC().AddDate(0, 0, -i).Add(-time.Minute)))
	}
	host, pass := &ahead{}, &ahead{begun: time.Now()}
	s := shipWith(t, l, Options{Config: Config{URL: url, RetentionDays: 30}, Place: place("a"), Log: quiet(t),
		Now: host.now, Elapsed: pass.elapsed, ShortenIPAfter: 25 * 24 * time.Hour})
	eventually(t, "all rows", func() bool { return s.Status().Rows == 20 })
	for _, by := range []time.Duration{31 * 24 * time.Hour, -62 * 24 * time.Hour, 800 * 24 * time.Hour} {
		host.add(by)
		pass.add(48 * time.Hour) // as much maintenance as there may be
		before := s.Status().Skew
		eventually(t, "the clocks to be compared", func() bool { return (s.Status().Skew - before).Abs() > 24*time.Hour })
	}
	l.Add(message("after", time.Now().UTC()))
	eventually(t, "the last row", func() bool { return s.Status().Rows == 21 })
	finish(t, s)
	if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.message WHERE client = '::ffff:192.0.2.7'"); got != 21 {
		t.Errorf("rows with their address = %d; want all 21", got)
	}
}

// Days that are over are dropped at a day an hour.
func TestPartitionsAreDroppedOnePerHour(t *testing.T) {
	server := pgtest.Start(t)
	url, f := server.Database(), newFake()
	today := day(time.Now())
	for i := range 20 {
		f.put(blob.Shipment{Time: today.AddDate(0, 0, -i), QueueID: fmt.Sprint(i), Encoded: []byte{1}})
	}
	finish(t, ship(t, f, url, "a"))
	f.open()
	pass := &ahead{begun: time.Now()}
	s := shipWith(t, f, Options{Config: Config{URL: url, RetentionDays: 10}, Place: place("a"), Log: quiet(t), Elapsed: pass.elapsed})
	n := func() int { return ask[int](t, url, "SELECT count(*) FROM dmarcgate.message") }
	eventually(t, "shipping", inState(s, Shipping))
	for want := 19; want >= 11; want-- {
		if got := n(); got != want+1 {
			t.Fatalf("days = %d before an hour has passed; want %d", got, want+1)
		}
		pass.add(time.Hour + time.Second)
		eventually(t, fmt.Sprint(want, " days"), func() bool { return n() == want })
	}
	pass.add(100 * time.Hour)
	f.add("b", 1)
	finish(t, s)
	if got := n(); got != 12 {
		t.Errorf("rows = %d; want those of ten days and today, and the last", got)
	}
}
