//go:build mta

package pg

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/pgtest"
	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/sqlite"
)

// realStore is a real local store.
type realStore struct {
	*sqlite.Store
	*sqlite.Spool
}

func openLocal(t *testing.T, path string) realStore {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Durability: sqlite.Ack, Wait: time.Minute, Queue: 100, Ship: true, Log: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	sp, err := s.Spool(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := realStore{s, sp}
	t.Cleanup(l.close)
	return l
}

func (l realStore) close() {
	l.Spool.Close()
	l.Store.Close()
}

func message(qid string, at time.Time) results.Row {
	return results.Row{
		Facts: policy.Facts{
			Time: at, Listener: "mta", QueueID: qid, Client: netip.MustParseAddr("::ffff:192.0.2.7"), Helo: "mx.example", MailFrom: "bounce.example",
			FromField: policy.FromOneMailbox, SPF: policy.SPF{Result: "pass", Domain: "bounce.example"},
			Authors: []policy.Author{{Domain: "mail.bank.example", Org: "bank.example", PolicyDomain: "bank.example", Source: "org",
				Verdict: dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject, Pct: 100, Why: "nothing aligned"}}},
		},
		Decision: policy.Decision{Action: policy.Reject, Disposition: policy.Rejected, Requested: dmarc.Reject, Author: "mail.bank.example",
			Effective: []policy.Policy{{Applied: dmarc.Reject}}},
	}
}

func TestReaderReturnsShippedRows(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	l := openLocal(t, filepath.Join(t.TempDir(), "results.db"))
	at := time.Now().UTC().Add(-time.Minute)
	for i := range 20 {
		l.Add(message(fmt.Sprint("q", i), at.Add(time.Duration(i)*time.Second+123*time.Microsecond)))
	}
	l.MarkUnanswered(l.Add(message("q20", at.Add(20*time.Second))))
	l.Add(message("q21", at.Add(21*time.Second)))
	finish(t, ship(t, l, url, "a"))
	r, err := OpenReader(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want, err := l.Store.Recent(t.Context(), 100)
	if err != nil || len(want) != 22 {
		t.Fatalf("Recent() of the local store = %d rows, %v; want 22", len(want), err)
	}
	got, err := r.Recent(t.Context(), 100)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Recent() = %+v, %v; want %+v", got, err, want)
	}
	got, err = r.ByQueueID(t.Context(), "q7")
	if err != nil || len(got) != 1 || got[0].Facts.QueueID != "q7" {
		t.Errorf("ByQueueID(q7) = %+v, %v; want one row", got, err)
	}
	if got, err := r.ByQueueID(t.Context(), "q\x00"); err != nil || len(got) != 0 {
		t.Errorf("ByQueueID of an impossible id = %v, %v; want nothing", got, err)
	}
	hosts, err := r.Hosts(t.Context())
	if err != nil || len(hosts) != 1 || hosts[0].StoreID != l.ID() || hosts[0].Shipped != 22 || hosts[0].Place != place("a") || !hosts[0].Stopped {
		t.Errorf("Hosts() = %+v, %v; want the store %s at 22", hosts, err, l.ID())
	}
	sender := ask[string](t, url, "SELECT concat_ws(' ', org, net, seq, passed) FROM dmarcgate.sender")
	if want := "bank.example 192.0.2.0/24 1 f"; sender != want {
		t.Errorf("sender = %q; want %q", sender, want)
	}
	t.Run("also after the server was away", func(t *testing.T) {
		server.Stop()
		if _, err := r.Recent(t.Context(), 1); err == nil {
			t.Error("Recent() without a server = nil; want an error")
		}
		server.Restart()
		if got, err := r.Recent(t.Context(), 1); err != nil || len(got) != 1 {
			t.Errorf("Recent() = %d rows, %v; want one", len(got), err)
		}
	})
}

// The file is copied while the daemon is stopped, and put back later.
func TestShipperGivesRestoredFileNewID(t *testing.T) {
	server := pgtest.Start(t)
	url, dir := server.Database(), t.TempDir()
	path, backup := filepath.Join(dir, "results.db"), filepath.Join(dir, "backup.db")
	n := 0
	run := func(name string, rows int) {
		t.Helper()
		l := openLocal(t, path)
		for range rows {
			n++
			l.Add(message(fmt.Sprint(name, n), time.Now()))
		}
		finish(t, ship(t, l, url, "a"))
		if w, err := l.Waiting(t.Context()); err != nil || w.Rows != 0 {
			t.Errorf("Waiting() = %+v, %v; want nothing", w, err)
		}
		l.close()
	}
	run("first", 10)
	move(t, path, backup)
	run("lost", 10)
	move(t, backup, path)
	run("restored", 10)
	run("again", 10)
	if got := ask[string](t, url, "SELECT count(*) || ' ' || count(DISTINCT qid) || ' ' || count(DISTINCT store) FROM dmarcgate.message"); got != "40 40 2" {
		t.Errorf("rows, different ones, stores = %s; want 40 40 2", got)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenReaderExplainsMissingSchema(t *testing.T) {
	server := pgtest.Start(t)
	if _, err := OpenReader(t.Context(), Config{URL: server.Database()}); err == nil {
		t.Error("OpenReader() of an empty database = nil; want an error")
	}
}

func TestReaderAnswersQueriesOfLocalStore(t *testing.T) {
	server := pgtest.Start(t)
	resultstest.Queries(t, func(t *testing.T, rows []results.Row) results.Queries {
		url := server.Database()
		l := openLocal(t, filepath.Join(t.TempDir(), "results.db"))
		resultstest.Fill(t, l.Store, rows)
		finish(t, ship(t, l, url, "a"))
		r, err := OpenReader(t.Context(), Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	})
}
