package sqlite

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/metrics"
	"dmarcgate/results"
	"dmarcgate/results/history"
	"dmarcgate/scope"
)

// host is the clock of a host and its monotonic clock.
type host struct {
	right   time.Time // what the clock should say
	ahead   time.Duration
	elapsed time.Duration // since the start of the process
}

func (h *host) now() time.Time { return h.right.Add(h.ahead) }

func (h *host) pass(d time.Duration) { h.right, h.elapsed = h.right.Add(d), h.elapsed+d }

// use makes a store go by this host.
func (h *host) use(opt *Options) {
	opt.Now, opt.Elapsed = h.now, func() time.Duration { return h.elapsed }
	opt.MaintenanceEvery = 24 * time.Hour // the test does the rounds
}

// hourly are rows of so many days up to the present, one in each hour.
func (h *host) hourly(days int) []results.Row {
	var rows []results.Row
	for i := range days * 24 {
		r := mixRow(i)
		r.Facts.Time = h.right.Add(time.Duration(i-days*24) * time.Hour)
		r.Facts.Client, r.Facts.ClientName = addr("192.0.2.77"), "host.example"
		rows = append(rows, r)
	}
	return rows
}

// addAll adds rows, in any order.
func addAll(t *testing.T, s *Store, rows []results.Row) {
	t.Helper()
	var wg sync.WaitGroup
	for part := range slices.Chunk(rows, (len(rows)+63)/64) {
		wg.Go(func() {
			for _, r := range part {
				if got := s.Add(r).Outcome; got != results.Written {
					t.Errorf("Add() = %v; want %v", got, results.Written)
				}
			}
		})
	}
	wg.Wait()
}

const month = 31 * 24 * time.Hour

// A clock that jumps by a month for a round and comes back costs rows of some
// minutes at most, the oldest, and shortens addresses of as many.
func TestMaintenanceKeepsRowsWhenClockJumps(t *testing.T) {
	for _, tt := range []struct {
		name  string
		jumps []time.Duration // one for each round
		told  float64
	}{
		{"a month ahead", []time.Duration{month, 0}, 2},
		{"a month back", []time.Duration{-month, 0}, 2},
		{"ahead and back", []time.Duration{month, -month, 0}, 3},
		{"ten years ahead", []time.Duration{3650 * 24 * time.Hour, 0}, 2},
		{"to 1970", []time.Duration{-today.Sub(time.Unix(0, 0)), 0}, 2},
		{"again and again", []time.Duration{month, 0, month, 0, month, 0, month, 0}, 8},
		{"ahead for a minute", []time.Duration{month, month, month, month, month, month, 0}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opt := options(t)
			h := &host{right: today}
			h.use(&opt)
			var log bytes.Buffer
			reg := prometheus.NewRegistry()
			opt.Metrics, opt.Log = metrics.New(reg, nil), slog.New(slog.NewTextHandler(&log, nil))
			opt.Retention.Days, opt.Privacy.ShortenIPAfter = 30, 7*24*time.Hour
			s := open(t, opt)
			addAll(t, s, h.hourly(29))
			tend(t, s)
			h.pass(100 * time.Hour) // what is too old is gone, and shortened
			tend(t, s)
			shortened := "SELECT count(*) FROM message WHERE hex(client) = 'C0000200'"
			rows, short := count(t, s, "SELECT count(*) FROM message"), count(t, s, shortened)
			if rows != 29*24-76 || short != 29*24-76-68 {
				t.Fatalf("rows = %d, %d of them shortened; want those of 30 days, shortened after 7", rows, short)
			}
			for _, ahead := range tt.jumps {
				h.ahead = ahead
				h.pass(10 * time.Second)
				tend(t, s)
			}
			left, now := count(t, s, "SELECT count(*) FROM message"), count(t, s, shortened)
			if lost := rows - left; lost < 0 || lost > 1 { // one in an hour
				t.Errorf("rows = %d, then %d; want that no more than those of half an hour are gone", rows, left)
			}
			if more := now - short; more < -1 || more > 1 {
				t.Errorf("shortened rows = %d, then %d; want that no more than those of half an hour are", short, now)
			}
			if got := value(t, reg, "dmarcgate_clock_jumps_total", "host"); got != tt.told {
				t.Errorf("clock_jumps_total{host} = %v; want %v", got, tt.told)
			}
			if got := strings.Count(log.String(), "clock of this host jumped"); got != int(tt.told) {
				t.Errorf("the log tells of %d jumps; want %v:\n%s", got, tt.told, &log)
			}
			for range 40 { // and goes on as if nothing had been
				h.pass(time.Hour)
				tend(t, s)
			}
			oldest := h.right.AddDate(0, 0, -30).UnixMilli()
			if got := count(t, s, "SELECT count(*) FROM message WHERE time < ?", oldest); got != 0 {
				t.Errorf("rows that are too old = %d, 40 hours later; want none", got)
			}
			if got := count(t, s, "SELECT count(*) FROM message WHERE time < ? AND hex(client) <> 'C0000200'", h.right.Add(-7*24*time.Hour-2*time.Minute).UnixMilli()); got != 0 {
				t.Errorf("rows with a whole address that are too old for it = %d; want none", got)
			}
		})
	}
}

// A clock that stays wrong costs a day in an hour, and no more.
func TestMaintenanceDeletesOneDayPerHourUnderWrongClock(t *testing.T) {
	opt := options(t)
	h := &host{right: today}
	h.use(&opt)
	opt.Retention.Days = 30
	s := open(t, opt)
	addAll(t, s, h.hourly(30))
	tend(t, s)
	h.ahead = month
	for hour := range 35 {
		h.pass(time.Hour)
		tend(t, s)
		want := max(0, 30*24-24*int64(hour+1))
		if got := count(t, s, "SELECT count(*) FROM message"); got < want || got > want+1 {
			t.Errorf("rows after %d hours = %d; want %d", hour+1, got, want)
		}
	}
}

// Without any mail, rows go and are shortened when their time has come.
func TestMaintenanceRunsOnIdleHost(t *testing.T) {
	opt := options(t)
	h := &host{right: today}
	h.use(&opt)
	opt.Retention.Days, opt.Privacy.ShortenIPAfter = 10, 48*time.Hour
	s := open(t, opt)
	addAll(t, s, h.hourly(10))
	tend(t, s)
	for hour := range 250 {
		h.pass(time.Hour)
		tend(t, s)
		if got, want := count(t, s, "SELECT count(*) FROM message"), max(0, int64(240-hour-1)); got != want {
			t.Fatalf("rows after %d hours = %d; want %d", hour+1, got, want)
		}
		if got := count(t, s, "SELECT count(*) FROM message WHERE hex(client) = 'C000024D' AND time < ?", h.right.Add(-49*time.Hour).UnixMilli()); got != 0 && hour > 9 { // before, it catches up

			t.Fatalf("rows with a whole address after %d hours = %d; want none that is older than 48 hours", hour+1, got)
		}
	}
}

// A host that was off for ten days catches up in ten hours, and says that its
// clock is not where it was.
func TestMaintenanceCatchesUpAfterDowntime(t *testing.T) {
	opt := options(t)
	h := &host{right: today}
	h.use(&opt)
	opt.Retention.Days = 30
	s := open(t, opt)
	addAll(t, s, h.hourly(30))
	tend(t, s)
	h.pass(2 * time.Minute)
	tend(t, s)
	s.Close()

	h.right, h.elapsed = h.right.AddDate(0, 0, 10), 0
	reg := prometheus.NewRegistry()
	opt.Metrics = metrics.New(reg, nil)
	s = open(t, opt)
	for hour := range 12 {
		tend(t, s)
		want := max(20*24-int64(hour), 30*24-int64(hour)*24)
		if got := count(t, s, "SELECT count(*) FROM message"); got < want-2 || got > want+2 {
			t.Errorf("rows after %d hours = %d; want some %d", hour, got, want)
		}
		if hour == 5 { // another start is no way to be faster or slower
			h.pass(time.Minute)
			tend(t, s)
			s.Close()
			h.elapsed = 0
			s = open(t, opt)
			tend(t, s)
		}
		h.pass(time.Hour)
	}
	if stored, jumps := value(t, reg, "dmarcgate_clock_jumps_total", "stored"), value(t, reg, "dmarcgate_clock_jumps_total", "host"); stored != 1 || jumps != 0 {
		t.Errorf("clock_jumps_total = %v stored, %v host; want 1 and 0", stored, jumps)
	}
}

// What a store of the first start with a wrong clock keeps in mind harms no row
// when the clock is right.
func TestMaintenanceOfStoreWithWrongFirstClock(t *testing.T) {
	for _, ahead := range []time.Duration{3650 * 24 * time.Hour, month, -month, -3650 * 24 * time.Hour} {
		opt := options(t)
		h := &host{right: today, ahead: ahead}
		h.use(&opt)
		opt.Retention.Days, opt.Privacy.ShortenIPAfter = 30, 7*24*time.Hour
		reg := prometheus.NewRegistry()
		opt.Metrics = metrics.New(reg, nil)
		s := open(t, opt)
		tend(t, s)
		h.pass(2 * time.Minute)
		tend(t, s)
		s.Close()

		h.ahead, h.elapsed = 0, 0
		s = open(t, opt)
		addAll(t, s, h.hourly(29))
		for range 10 {
			tend(t, s)
			h.pass(10 * time.Second)
		}
		if got := count(t, s, "SELECT count(*) FROM message"); got != 29*24 {
			t.Errorf("begun %v ahead: rows = %d; want all %d", ahead, got, 29*24)
		}
		if got := value(t, reg, "dmarcgate_clock_jumps_total", "stored"); got != 1 {
			t.Errorf("begun %v ahead: clock_jumps_total{stored} = %v; want 1", ahead, got)
		}
	}
}

// A store of an earlier program knows no cut-off: a wrong clock at the first start
// of this one deletes nothing at once.
func TestMaintenanceWithoutCutoffStartsAtOldestRow(t *testing.T) {
	opt := options(t)
	h := &host{right: today}
	h.use(&opt)
	s := open(t, opt)
	addAll(t, s, h.hourly(30))
	tamper(t, s, "DELETE FROM meta WHERE key = 'clock'")
	s.Close()
	h.ahead, opt.Retention.Days, opt.Privacy.ShortenIPAfter = month, 30, 7*24*time.Hour
	s = open(t, opt)
	tend(t, s)
	if got := count(t, s, "SELECT count(*) FROM message WHERE hex(client) = 'C000024D'"); got != 30*24 {
		t.Errorf("rows with their address = %d; want all %d", got, 30*24)
	}
}

// Mail that comes while the clock is wrong is recorded, and everything that looks
// at time goes on.
func TestAddRecordsMailUnderWrongClock(t *testing.T) {
	opt := options(t)
	h := &host{right: today}
	h.use(&opt)
	opt.Retention.Days, opt.Privacy.ShortenIPAfter = 30, 7*24*time.Hour
	s := open(t, opt)
	<-s.loaded
	n := 0
	for _, ahead := range []time.Duration{0, month, -month, 365 * 24 * time.Hour, -365 * 24 * time.Hour, -today.Sub(time.Unix(0, 0)), 200 * 365 * 24 * time.Hour, 0} {
		h.ahead = ahead
		for range 20 {
			r := results.Row{Facts: *genuine("good.example", h.now(), true)}
			r.Facts.QueueID, r.Facts.Client = fmt.Sprint("q", n), addr("192.0.2.77")
			if got := s.Add(r).Outcome; got != results.Written {
				t.Fatalf("Add() %v ahead = %v; want %v", ahead, got, results.Written)
			}
			n++
		}
		h.pass(time.Second)
		tend(t, s)
		if got := s.History("good.example"); got.Messages == 0 || got.DKIMPass > got.Messages {
			t.Errorf("History() %v ahead = %+v; want the messages of that time at least", ahead, got)
		}
		for _, span := range []results.Span{{}, {From: h.now().AddDate(0, 0, -30)}, {From: h.now().AddDate(0, 0, 1)}, {From: h.now(), To: h.now().AddDate(0, 0, -30)}} {
			if err := s.Scan(t.Context(), span, func(results.Row) error { return nil }); err != nil {
				t.Errorf("Scan(%v) %v ahead = %v", span, ahead, err)
			}
		}
		if _, err := s.Status(t.Context()); err != nil {
			t.Errorf("Status() %v ahead = %v", ahead, err)
		}
	}
	// Those that say that they are of 1970 are the first to go.
	if got := count(t, s, "SELECT count(*) FROM message WHERE time > 365 * 86400000"); got != int64(n)-20 {
		t.Errorf("rows = %d; want the %d that are not of 1970: the clock was wrong for seconds alone", got, n-20)
	}
	s.Close()
	s = open(t, opt)
	<-s.loaded
	if got := s.History("good.example"); got.Messages < 40 || got.Messages > n {
		t.Errorf("History() after the next start = %+v; want that of the right times at least", got)
	}
}

// Senders are met again on each day after the clock was ahead.
func TestNewSendersAfterClockWasAhead(t *testing.T) {
	var m met
	who := sender{"good.example", scope.ClientNetwork(addr("192.0.2.77"))}
	d := history.DayOf(today)
	for _, step := range []struct {
		day  history.Day
		want bool
	}{{d, false}, {d, true}, {d + 31, false}, {d + 31, true}, {d, false}, {d, true}, {d + 1, false}, {d, true}, {d + 1, true}} {
		if got := m.known(who, step.day, true); got != step.want {
			t.Errorf("known() on day %+d = %v; want %v", int(step.day)-int(d), got, step.want)
		}
	}
}
