//go:build mta

package pg

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dmarcgate/internal/pgtest"
	"dmarcgate/policy"
	"dmarcgate/results"
)

func TestPurgeDeletesRowsOfAllHosts(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	at := time.Now().UTC().Add(-time.Minute)
	for _, name := range []string{"a", "b"} {
		l := openLocal(t, filepath.Join(t.TempDir(), "results.db"))
		for i := range 1200 {
			m := message(fmt.Sprint(name, i), at.AddDate(0, 0, -i%5))
			if i%3 == 0 {
				m.Facts.MailFrom, m.Facts.SPF.Domain = "bounce.victim.example", "bounce.victim.example"
			}
			if i%3 == 1 {
				m.Facts.Client = netip.MustParseAddr("198.51.100.9")
			}
			l.Add(m)
		}
		finish(t, ship(t, l, url, name))
	}
	r, err := OpenReader(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, tt := range []struct {
		p    results.Purge
		want int64
		left int
	}{
		{results.Purge{Domain: "victim.example"}, 800, 1600},
		{results.Purge{Client: netip.MustParsePrefix("198.51.100.9/32"), Before: at.AddDate(0, 0, -2)}, 320, 1280},
		{results.Purge{Client: netip.MustParsePrefix("198.51.100.0/24")}, 480, 800},
		{results.Purge{Domain: "nobody.example"}, 0, 800},
	} {
		if n, err := r.Purge(t.Context(), tt.p); err != nil || n != tt.want {
			t.Errorf("Purge(%+v) = %d, %v; want %d", tt.p, n, err, tt.want)
		}
		if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.message"); got != tt.left {
			t.Errorf("rows after %+v = %d; want %d", tt.p, got, tt.left)
		}
	}
	if got := ask[string](t, url, "SELECT string_agg(net::text, ' ') FROM dmarcgate.sender"); got != "192.0.2.0/24" {
		t.Errorf("senders = %q; want the other network", got)
	}
	if _, err := r.Purge(t.Context(), results.Purge{}); err == nil {
		t.Error("Purge() of nothing = nil; want an error")
	}
}

func TestShortenCoversAllHosts(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	l := openLocal(t, filepath.Join(t.TempDir(), "results.db"))
	now := time.Now().UTC()
	for i := range 2 * shortenSlice {
		m := message(fmt.Sprint("q", i), now.Add(-100*time.Hour))
		m.Facts.ClientName, m.Facts.Version = "host.example", policy.FactsVersion
		l.Add(m)
	}
	l.Add(message("new", now))
	finish(t, ship(t, l, url, "a"))
	full := func() int {
		return ask[int](t, url, "SELECT count(*) FROM dmarcgate.message WHERE client = '::ffff:192.0.2.7'")
	}
	if got := full(); got != 2*shortenSlice+1 {
		t.Fatalf("rows with the whole address = %d; want all", got)
	}
	l.Add(message("late", now.Add(-90*time.Hour)))
	pass := &ahead{begun: time.Now()}
	s := shipWith(t, l, Options{Config: Config{URL: url}, Place: place("a"), Log: quiet(t), ShortenIPAfter: 48 * time.Hour, Elapsed: pass.elapsed})
	eventually(t, "shorter addresses", func() bool {
		pass.add(2 * time.Hour)
		return full() == 1
	})
	finish(t, s)
	r, err := OpenReader(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const whole, net = "::ffff:192.0.2.7", "::ffff:192.0.2.0"
	const both = policy.MissingClient | policy.MissingClientName
	for _, want := range []struct {
		qid, client string
		missing     policy.MissingFacts
	}{{"q0", net, both}, {"q999", net, both}, {"late", net, both}, {"new", whole, 0}} { // of "late", which is of Version 0, nobody can tell whether it had a name
		rows, err := r.ByQueueID(t.Context(), want.qid)
		if err != nil || len(rows) != 1 || rows[0].Facts.Client.String() != want.client || rows[0].Facts.ClientName != "" || rows[0].Facts.Helo != "mx.example" ||
			rows[0].Facts.Missing != want.missing {
			t.Errorf("row %s = %+v, %v; want %+v and the rest", want.qid, rows, err, want)
		}
	}
}

func TestShipperGivesNewStoreNewID(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	path := filepath.Join(t.TempDir(), "results.db")
	l := openLocal(t, path)
	s := ship(t, l, url, "a")
	for i := range 20 {
		l.Add(message(fmt.Sprint("old", i), time.Now().UTC()))
	}
	n := func() int { return ask[int](t, url, "SELECT count(*) FROM dmarcgate.message") }
	eventually(t, "the rows of the first file", func() bool {
		return ask[bool](t, url, "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'dmarcgate' AND tablename = 'message')") && n() == 20
	})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		l.Add(message(fmt.Sprint("new", i), time.Now().UTC()))
	}
	eventually(t, "the rows of the second file", func() bool { return n() == 50 })
	finish(t, s)
	if got := ask[int](t, url, "SELECT count(DISTINCT store) FROM dmarcgate.message"); got != 2 {
		t.Errorf("stores = %d; want two", got)
	}
}
