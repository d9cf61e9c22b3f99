//go:build mta

package pg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/internal/pgtest"
	"dmarcgate/internal/scale"
	"dmarcgate/metrics"
	"dmarcgate/results"
	"dmarcgate/results/blob"
)

const patienceOfTests = 60 * time.Second

func place(name string) Place { return Place{Host: "mx.example", Machine: "1", Path: "/var/" + name} }

// ship starts a Shipper that ends with the test.
func ship(t *testing.T, src Source, url, name string) *Shipper {
	t.Helper()
	return shipWith(t, src, Options{Config: Config{URL: url}, Place: place(name), Log: quiet(t)})
}

func shipWith(t *testing.T, src Source, opt Options) *Shipper {
	t.Helper()
	s, err := Start(src, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(t.Context()) })
	return s
}

// finish ships what waits.
func finish(t *testing.T, s *Shipper) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTests)
	defer cancel()
	s.Stop(ctx)
}

// eventually waits for something that another goroutine does.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patienceOfTests)
	for !f() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("%s: not after %v", what, patienceOfTests)
		}
	}
}

func inState(s *Shipper, state State) func() bool {
	return func() bool { return s.Status().State == state }
}

func shipped(fakes ...*fake) func() bool {
	return func() bool {
		for _, f := range fakes {
			if f.waiting() > 0 {
				return false
			}
		}
		return true
	}
}

func ask[T any](t *testing.T, url, sql string) (v T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// wantOnce checks that PostgreSQL has each row of the files once, and no other.
func wantOnce(t *testing.T, url string, fakes ...*fake) {
	t.Helper()
	want := make(map[string]bool)
	for _, f := range fakes {
		for _, r := range f.rows {
			want[r.QueueID] = true
		}
	}
	rows, distinct := ask[int](t, url, "SELECT count(*) FROM dmarcgate.message"), ask[int](t, url, "SELECT count(DISTINCT qid) FROM dmarcgate.message")
	if rows != len(want) || distinct != len(want) {
		t.Errorf("PostgreSQL has %d rows, %d different ones; want %d, each once", rows, distinct, len(want))
	}
}

func TestShipperMovesRows(t *testing.T) {
	server := pgtest.Start(t)

	t.Run("with all their columns, each once", func(t *testing.T) {
		url, f := server.Database(), newFake()
		f.add("a", 2500)
		f.rows[7].Client, f.rows[8].Encoded = f.rows[7].Client.WithZone("eth0"), bytes.Repeat([]byte{0, 255}, 5000)
		finish(t, ship(t, f, url, "a"))
		wantOnce(t, url, f)
		got := ask[string](t, url, "SELECT concat_ws(' ', state, client, author, policy_domain, result, requested, disposition, action, override, flags, encode(row, 'hex')) FROM dmarcgate.message WHERE seq = 8")
		if want := "0 2001:db8::1 bank.example  2 2 2 4  1 0100"; got != want {
			t.Errorf("row 8 = %q; want %q", got, want)
		}
		if got := ask[int](t, url, "SELECT length(row) FROM dmarcgate.message WHERE seq = 9"); got != 10000 {
			t.Errorf("bytes of row 9 = %d; want 10000", got)
		}
	})

	t.Run("while more come, and with what changes later", func(t *testing.T) {
		url, f := server.Database(), newFake()
		s := ship(t, f, url, "a")
		f.add("a", 10)
		eventually(t, "the first rows", shipped(f))
		f.restate(3, results.Unanswered) // shipped already
		f.add("a", 10)
		f.restate(20, results.Unanswered) // perhaps not
		finish(t, s)
		wantOnce(t, url, f)
		if got := ask[string](t, url, "SELECT string_agg(seq::text, ' ' ORDER BY seq) FROM dmarcgate.message WHERE state = 2"); got != "3 20" {
			t.Errorf("unanswered rows = %q; want 3 20", got)
		}
		if len(f.restates) > 0 {
			t.Errorf("states that wait = %v; want none", f.restates)
		}
	})

	t.Run("the watermark is before all that waits", func(t *testing.T) {
		url, f := server.Database(), newFake()
		f.add("a", 1)
		s := ship(t, f, url, "a")
		eventually(t, "the row", shipped(f))
		behind := ask[float64](t, url, "SELECT extract(epoch FROM clock_timestamp() - watermark)::float8 FROM dmarcgate.store")
		if behind < settle.Seconds() || behind > settle.Seconds()+30 {
			t.Errorf("watermark = %.1f s ago; want some %v", behind, settle)
		}
		finish(t, s)
		if !ask[bool](t, url, "SELECT stopped IS NOT NULL FROM dmarcgate.store") {
			t.Error("after Stop, the store is not noted as stopped")
		}
	})

	t.Run("a database that lost rows gets them again", func(t *testing.T) {
		url, f := server.Database(), newFake()
		f.add("a", 20)
		finish(t, ship(t, f, url, "a"))
		server.Exec(url, "DELETE FROM dmarcgate.message WHERE seq > 5; UPDATE dmarcgate.store SET shipped = 5")
		f.open()
		finish(t, ship(t, f, url, "a"))
		wantOnce(t, url, f)
		server.Exec(url, "DROP SCHEMA dmarcgate CASCADE")
		finish(t, ship(t, f, url, "a"))
		wantOnce(t, url, f)
	})

	t.Run("a row that cannot be stored is set aside alone", func(t *testing.T) {
		url, f, reg := server.Database(), newFake(), prometheus.NewRegistry()
		f.add("a", 50)
		f.rows[10].QueueID = "a\x00"
		f.rows[20].Encoded = make([]byte, maxRow+1)
		var log bytes.Buffer
		s := shipWith(t, f, Options{Config: Config{URL: url}, Place: place("a"), Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: metrics.New(reg, nil)})
		eventually(t, "the rows", shipped(f))
		server.Exec(url, "ALTER TABLE dmarcgate.message ADD CHECK (seq <> 77)")
		f.add("a", 50)
		finish(t, s)
		if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.message"); got != 97 {
			t.Errorf("rows = %d; want 97", got)
		}
		if got := ask[string](t, url, "SELECT string_agg(seq || ' ' || why, ', ' ORDER BY seq) FROM dmarcgate.refused"); got != "11 bad_value, 21 too_big, 77 database" {
			t.Errorf("refused = %q; want rows 11, 21 and 77", got)
		}
		if got := strings.Count(log.String(), "kept in the local store only"); got != 3 {
			t.Errorf("log has %d refusals; want 3:\n%s", got, log.String())
		}
		if st := s.Status(); st.Aside != 3 || st.Rows != 97 {
			t.Errorf("Status() = %+v; want 97 rows and 3 aside", st)
		}
		for _, why := range []string{whyBadValue, whyTooBig, whyDatabase} {
			if got := value(t, reg, "dmarcgate_store_ship_refused_total", why); got != 1 {
				t.Errorf("refused with %s = %v; want 1", why, got)
			}
		}
	})

	t.Run("a clock that is wrong is told once", func(t *testing.T) {
		url, f := server.Database(), newFake()
		f.add("a", 10)
		var log bytes.Buffer
		s := shipWith(t, f, Options{Config: Config{URL: url}, Place: place("a"), Log: slog.New(slog.NewTextHandler(&log, nil)),
			Now: func() time.Time { return time.Now().Add(90 * time.Second) }})
		eventually(t, "the rows", shipped(f))
		f.add("a", 10)
		finish(t, s)
		if got := s.Status().Skew; got < 85*time.Second || got > 95*time.Second {
			t.Errorf("Skew = %v; want 90 s", got)
		}
		if got := strings.Count(log.String(), "clock of this host differs"); got != 1 {
			t.Errorf("log tells of the clocks %d times; want once:\n%s", got, log.String())
		}
		if got := ask[int](t, url, "SELECT skew_ms / 10000 FROM dmarcgate.store"); got != 9 && got != 8 {
			t.Errorf("skew in PostgreSQL = %d0 s; want 90 s", got)
		}
	})
}

func TestPartitionsAreCreatedAndDropped(t *testing.T) {
	server := pgtest.Start(t)
	url, f := server.Database(), newFake()
	today := day(time.Now())
	f.add("a", 3)
	f.put(blob.Shipment{Time: today.AddDate(0, 0, -10), QueueID: "late", Encoded: []byte{1}})
	f.put(blob.Shipment{Time: today.AddDate(0, 0, -40), QueueID: "too late", Encoded: []byte{1}})
	list := func() (names []string) {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		ds, err := days(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			names = append(names, fmt.Sprint(int(d.Sub(today).Hours()/24)))
		}
		return names
	}
	keep := func(n int, want string) {
		t.Helper()
		pass := &ahead{begun: time.Now()}
		s := shipWith(t, f, Options{Config: Config{URL: url, RetentionDays: n}, Place: place("a"), Log: quiet(t), Elapsed: pass.elapsed})
		eventually(t, "that it ships", inState(s, Shipping))
		eventually(t, "the days "+want, func() bool {
			pass.add(2 * time.Hour)
			return f.waiting() == 0 && strings.Join(list(), " ") == want
		})
		finish(t, s)
		f.open()
	}
	keep(30, "-10 0 1 2")
	if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.message"); got != 4 {
		t.Errorf("rows = %d; want 4, without the one that is too old", got)
	}
	keep(7, "0 1 2")
	if f.waiting() != 0 {
		t.Errorf("rows that wait = %d; want none", f.waiting())
	}

	t.Run("one that goes while it is needed is made again", func(t *testing.T) {
		s := ship(t, f, url, "a")
		f.add("b", 1)
		eventually(t, "a row", shipped(f))
		server.Exec(url, "DROP TABLE dmarcgate."+partitionName(today))
		f.add("b", 2)
		finish(t, s)
		if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.message"); got != 2 {
			t.Errorf("rows = %d; want the 2 that came later", got)
		}
	})
}

// Three stores ship while the server is stopped, killed, restarted and cut
// off, before commits arrive and before their acknowledgement does.
func TestShipperStoresEachRowOnce(t *testing.T) {
	server := pgtest.Start(t)
	url, reg := server.Database(), prometheus.NewRegistry()
	m := metrics.New(reg, nil)
	proxy := server.Proxy(t)
	name := url[strings.LastIndex(url, "/")+1 : strings.Index(url, "?")]
	fakes, shippers := make([]*fake, 3), make([]*Shipper, 3)
	for i := range fakes {
		fakes[i] = newFake()
		shippers[i] = shipWith(t, fakes[i], Options{Config: Config{URL: proxy.URL(name)}, Place: place(fmt.Sprint(i)), Log: quiet(t), Metrics: m})
	}
	each := 500 + 50*(scale.Of(t)-1) // of each there are more rounds, too
	add := func(step string) {
		for i, f := range fakes {
			f.add(fmt.Sprint(i, step), each)
		}
	}
	all := shipped(fakes...)
	add("begin")
	eventually(t, "the first rows", all)
	for round := range 2 + scale.Of(t) {
		proxy.LoseAcknowledgements(3)
		add(fmt.Sprint(round, "unheard"))
		eventually(t, "rows whose commit nobody heard of", all)
		proxy.LoseCommits(3)
		add(fmt.Sprint(round, "unsent"))
		eventually(t, "rows whose commit was lost", all)
	}
	add("stopped")
	server.Stop()
	add("while it was stopped")
	server.Restart()
	add("killed")
	server.Kill()
	server.Restart()
	eventually(t, "rows after a restart", all)
	proxy.Cut()
	add("cut")
	eventually(t, "that somebody notices", func() bool { return shippers[0].Status().State == Connecting })
	proxy.Fix()
	eventually(t, "rows after a cut", all)
	for _, s := range shippers {
		finish(t, s)
	}
	wantOnce(t, url, fakes...)
	if got := value(t, reg, "dmarcgate_store_batches_total", "repeated"); got == 0 {
		t.Error("no batch was found committed; want those whose acknowledgement was lost")
	}
	if got, want := value(t, reg, "dmarcgate_store_shipped_records_total", ""), float64(3*len(fakes[0].rows)); got != want {
		t.Errorf("rows counted as shipped = %v; want %v", got, want)
	}
	if proxy.Lost() < 6 {
		t.Errorf("commits lost = %d; want 6 at least", proxy.Lost())
	}
	if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.store"); got != 3 {
		t.Errorf("stores = %d; want 3", got)
	}
}

// value returns the value of a series with this label value.
func value(t *testing.T, reg *prometheus.Registry, name, label string) (v float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				v += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return v
}

func TestShipperSurvivesHangingServer(t *testing.T) {
	server := pgtest.Start(t)
	url, f := server.Database(), newFake()
	s := shipWith(t, f, Options{Config: Config{URL: url, Timeout: 300 * time.Millisecond}, Place: place("a"), Log: quiet(t)})
	f.add("a", 10)
	eventually(t, "the first rows", shipped(f))
	server.Pause()
	f.add("a", 10)
	eventually(t, "that the hang is noticed", inState(s, Connecting))
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	s.Stop(ctx)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Stop() took %v; want little more than its time", took)
	}
	server.Resume()
	f.open()
	finish(t, ship(t, f, url, "a"))
	wantOnce(t, url, f)
}

func TestShipperDetectsCopiesOfStore(t *testing.T) {
	server := pgtest.Start(t)

	t.Run("an old state that was put back goes on under a new id", func(t *testing.T) {
		url, f, reg := server.Database(), newFake(), prometheus.NewRegistry()
		f.add("a", 50)
		old := f.copy()
		f.add("original", 50)
		finish(t, ship(t, f, url, "a"))
		old.add("restored", 30)
		s := shipWith(t, old, Options{Config: Config{URL: url}, Place: place("a"), Log: quiet(t), Metrics: metrics.New(reg, nil)})
		eventually(t, "the rows", shipped(old))
		finish(t, s)
		wantOnce(t, url, f, old)
		if len(old.ids) != 2 || old.ids[1].FirstSeq != 51 {
			t.Errorf("ids = %+v; want a second one from 51 on", old.ids)
		}
		if got := value(t, reg, "dmarcgate_store_renewed_total", ""); got != 1 {
			t.Errorf("renewed_total = %v; want 1", got)
		}
		if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.store WHERE ended IS NULL"); got != 1 {
			t.Errorf("stores that go on = %d; want 1", got)
		}
	})

	t.Run("an old state with rows of before that were not shipped", func(t *testing.T) {
		url, f := server.Database(), newFake()
		f.add("a", 50)
		s := ship(t, f, url, "a")
		eventually(t, "the rows", shipped(f))
		finish(t, s)
		f.add("b", 50) // in the file, and not shipped before the copy
		old := f.copy()
		f.open()
		s = ship(t, &limited{fake: f, last: 80}, url, "a") // dies in the middle
		eventually(t, "some rows", func() bool { return f.shippedTo() == 80 })
		finish(t, s)
		old.add("restored", 30)
		finish(t, ship(t, old, url, "a"))
		wantOnce(t, url, old)
	})

	t.Run("a copy elsewhere is refused while the original ships", func(t *testing.T) {
		url, f, reg := server.Database(), newFake(), prometheus.NewRegistry()
		f.add("a", 50)
		original := ship(t, f, url, "a")
		eventually(t, "the rows", shipped(f))
		twin := f.copy()
		f.add("original", 50)
		twin.add("twin", 50)
		var log bytes.Buffer
		s := shipWith(t, twin, Options{Config: Config{URL: url}, Place: place("b"), Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: metrics.New(reg, nil)})
		eventually(t, "the refusal", inState(s, Refused))
		if err := s.Status().Err; !strings.Contains(err, "dmarcgate results adopt") {
			t.Errorf("Status().Err = %q; want what fixes it", err)
		}
		if got := value(t, reg, "dmarcgate_store_shipping_refused", ""); got != 1 {
			t.Errorf("shipping_refused = %v; want 1", got)
		}
		finish(t, s)
		if !strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("log = %q; want an error", log.String())
		}
		finish(t, original)
		wantOnce(t, url, f)

		s = ship(t, twin, url, "b")
		eventually(t, "the refusal without the original", inState(s, Refused))
		if err := s.Adopt(); err != nil {
			t.Errorf("Adopt() = %v", err)
		}
		eventually(t, "the rows of the adopted copy", shipped(twin))
		finish(t, s)
		wantOnce(t, url, f, twin)
	})

	t.Run("an adopted copy leaves the store to the original", func(t *testing.T) {
		url, f := server.Database(), newFake()
		f.add("a", 50)
		original := ship(t, f, url, "a")
		eventually(t, "the rows", shipped(f))
		twin := f.copy()
		twin.add("twin", 50)
		s := ship(t, twin, url, "b")
		eventually(t, "the refusal", inState(s, Refused))
		if err := s.Adopt(); err != nil {
			t.Errorf("Adopt() = %v", err)
		}
		eventually(t, "the rows of the adopted copy", shipped(twin))
		if err := s.Adopt(); err == nil {
			t.Error("Adopt() of what is not refused = nil; want an error")
		}
		f.add("original", 50)
		finish(t, original)
		finish(t, s)
		wantOnce(t, url, f, twin)
		if len(f.ids) != 1 || len(twin.ids) != 2 {
			t.Errorf("ids of the original and of the copy = %d, %d; want 1, 2", len(f.ids), len(twin.ids))
		}
	})

	t.Run("a copy that comes first does not take the original's place", func(t *testing.T) {
		url, f := server.Database(), newFake()
		f.add("a", 50)
		s := ship(t, f, url, "a")
		eventually(t, "the rows", shipped(f))
		s.cancel() // it has lost the server, and said nothing
		<-s.done
		twin := f.copy()
		twin.add("twin", 10)
		s = ship(t, twin, url, "b")
		eventually(t, "the refusal", inState(s, Refused))
		finish(t, s)
		f.add("original", 10)
		f.open()
		finish(t, ship(t, f, url, "a"))
		wantOnce(t, url, f)
	})

	t.Run("a file that moves after a stop goes on", func(t *testing.T) {
		url, f := server.Database(), newFake()
		f.add("a", 50)
		finish(t, ship(t, f, url, "a"))
		f.open()
		f.add("moved", 50)
		moved := ship(t, f, url, "b") // it is refused as long as the server holds the session that has ended
		eventually(t, "the rows of the moved file", shipped(f))
		finish(t, moved)
		wantOnce(t, url, f)
		if len(f.ids) != 1 {
			t.Errorf("ids = %v; want one", f.ids)
		}
	})

	t.Run("a store that was deleted leaves its rows and its place", func(t *testing.T) {
		url, f, g := server.Database(), newFake(), newFake()
		f.add("a", 50)
		finish(t, ship(t, f, url, "a"))
		g.add("new", 50)
		finish(t, ship(t, g, url, "a"))
		wantOnce(t, url, f, g)
		if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.store WHERE ended IS NULL"); got != 1 {
			t.Errorf("stores that go on = %d; want 1", got)
		}
	})

	t.Run("a running machine that was set back", func(t *testing.T) {
		url, f := server.Database(), newFake()
		f.add("a", 50)
		s := ship(t, f, url, "a")
		eventually(t, "the rows", shipped(f))
		server.Exec(url, "UPDATE dmarcgate.store SET shipped = 60") // which its other life has done
		f.add("this", 20)
		eventually(t, "the rows", shipped(f))
		finish(t, s)
		wantOnce(t, url, f)
		if len(f.ids) != 2 || f.ids[1].FirstSeq != 51 {
			t.Errorf("ids = %+v; want a second one from 51 on", f.ids)
		}
	})
}

// limited is a file of which only a part can be read.
type limited struct {
	*fake
	last int64
}

func (l *limited) After(ctx context.Context, seq int64, limit, maxBytes int) ([]blob.Shipment, error) {
	return l.fake.After(ctx, seq, min(limit, int(max(l.last-seq, 0))), maxBytes)
}

func (f *fake) shippedTo() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.shipped
}

func TestMigrateFromManyHosts(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			conn, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close(context.Background())
			if err := migrate(t.Context(), conn); err != nil {
				t.Errorf("migrate() = %v", err)
			}
			for n := range 3 {
				if err := addDay(t.Context(), conn, day(time.Now()).AddDate(0, 0, n)); err != nil {
					t.Errorf("addDay() = %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.schema_version WHERE version = 5"); got != 1 {
		t.Errorf("versions = %d; want one", got)
	}

	t.Run("a daemon goes on with a schema to which a newer one has added", func(t *testing.T) {
		server.Exec(url, "ALTER TABLE dmarcgate.message ADD later text NOT NULL DEFAULT ''; UPDATE dmarcgate.schema_version SET version = 7")
		f := newFake()
		f.add("a", 10)
		finish(t, ship(t, f, url, "a"))
		wantOnce(t, url, f)
	})
	t.Run("and leaves one alone that it does not understand", func(t *testing.T) {
		server.Exec(url, "UPDATE dmarcgate.schema_version SET version = 8, min_version = 8")
		f := newFake()
		f.add("b", 10)
		s := ship(t, f, url, "b")
		eventually(t, "the refusal", inState(s, Refused))
		if err := s.Status().Err; !strings.Contains(err, "version 8") || !strings.Contains(err, "newer program") {
			t.Errorf("Status().Err = %q; want the versions, and what to do", err)
		}
		if got := f.waiting(); got != 10 {
			t.Errorf("rows that wait = %d; want 10", got)
		}
	})
	t.Run("a user who may not make schemas uses one that is there", func(t *testing.T) {
		url := server.Database()
		server.Exec(url, "CREATE ROLE mail LOGIN PASSWORD 'x'; CREATE SCHEMA dmarcgate AUTHORIZATION mail")
		f := newFake()
		f.add("a", 10)
		finish(t, ship(t, f, strings.Replace(url, pgtest.User+":"+"of%20the%20tests", "mail:x", 1), "a"))
		wantOnce(t, url, f)
	})
}

func TestShipperVerifiesTLS(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	file := filepath.Join(t.TempDir(), "password")
	password := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tls := func(ca string) Config {
		t.Helper()
		u, err := pgtest.WithTLS(url, "verify-full", ca)
		if err != nil {
			t.Fatal(err)
		}
		return Config{URL: u, PasswordFile: file}
	}
	f := newFake()
	f.add("a", 10)
	password("wrong")
	s := shipWith(t, f, Options{Config: tls(server.CA()), Place: place("a"), Log: quiet(t)})
	eventually(t, "the wrong password", func() bool { return strings.Contains(s.Status().Err, "password") })
	password(pgtest.Password) // the file is read for each connection
	eventually(t, "the rows", shipped(f))
	if !ask[bool](t, url, "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'dmarcgate %'") {
		t.Error("the connection has no TLS")
	}
	finish(t, s)

	f = newFake()
	f.add("b", 10)
	s = shipWith(t, f, Options{Config: tls(server.OtherCA()), Place: place("b"), Log: quiet(t)})
	eventually(t, "the refusal of the certificate", func() bool { return strings.Contains(s.Status().Err, "certificate") })
	finish(t, s)
	if got := f.waiting(); got != 10 {
		t.Errorf("rows that wait = %d; want 10", got)
	}
	if conn, err := tls(server.CA()).connect(t.Context(), ""); err != nil {
		t.Errorf("connect() = %v", err)
	} else {
		hangUp(conn)
	}
	if _, err := tls(server.OtherCA()).connect(t.Context(), ""); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("connect() with another authority = %v; want a refusal", err)
	}
}
