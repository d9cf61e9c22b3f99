//go:build mta

package pg

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/internal/pgtest"
	"dmarcgate/metrics"
	"dmarcgate/results"
	"dmarcgate/results/blob"
)

// Of the same length: what a program of now keeps of a record, and what one of
// before kept.
const (
	cleanRecord  = "v=DMARC1; p=quarantine; sp=quarantine; np=quarantine; adkim=s; aspf=s; pct=50"
	soiledRecord = "v=DMARC1; p=quarantine; adkim=s; rua=mailto:zqjane.doe@bank.example,mailto:zq"
)

// soil makes rows what programs of before have shipped.
func (e *earlier) soil(rows []blob.Shipment) {
	for i := range rows {
		rows[i].Encoded = bytes.Replace(rows[i].Encoded, []byte(cleanRecord), []byte(soiledRecord), 1)
	}
}

// recorded adds rows with a record.
func recorded(l realStore, name string, n int) {
	at := time.Now().UTC().Add(-time.Minute).Truncate(time.Millisecond)
	for i := range n {
		m := message(fmt.Sprint(name, i), at.Add(time.Duration(i)*time.Millisecond))
		m.Facts.Authors[0].Record = cleanRecord
		l.Add(m)
	}
}

// Rows that programs of before have shipped are cleaned, also those that they ship
// beside the new ones, and after a host has gone back to the old program.
func TestCleanOlderRowsInPostgreSQL(t *testing.T) {
	if len(cleanRecord) != len(soiledRecord) {
		t.Fatal("the records are not of the same length")
	}
	server := pgtest.Start(t)
	url := server.Database()
	old := newEarlier(t, url)
	old.soiled = true
	recorded(old.local, "old", 3*cleanSlice)
	old.ship(t, cleanSlice+10)
	soiled := func() int {
		return ask[int](t, url, "SELECT count(*) FROM dmarcgate.message WHERE position('zqjane'::bytea IN row) > 0")
	}
	if got := soiled(); got != cleanSlice+10 {
		t.Fatalf("rows with an address = %d; want %d", got, cleanSlice+10)
	}
	newer := openLocal(t, filepath.Join(t.TempDir(), "results.db"))
	recorded(newer, "new", 20)
	reg, pass := prometheus.NewRegistry(), &ahead{begun: time.Now()}
	s := shipWith(t, newer, Options{Config: Config{URL: url}, Place: place("new"), Log: quiet(t), Metrics: metrics.New(reg, nil), Elapsed: pass.elapsed})
	eventually(t, "that the rows are clean", func() bool { return soiled() == 0 })
	old.ship(t, 2*cleanSlice+30) // goes on as it was
	if got := soiled(); got != cleanSlice+20 {
		t.Fatalf("rows with an address = %d; want the %d that came", got, cleanSlice+20)
	}
	pass.add(2 * time.Hour)
	eventually(t, "that the rows which came meanwhile are clean", func() bool { return soiled() == 0 })
	eventually(t, "that all is told", func() bool {
		return s.Status().Uncleaned == 0 && value(t, reg, "dmarcgate_store_uncleaned_records", "postgres") == 0
	})
	finish(t, s)

	old.ship(t, 3*cleanSlice)
	finish(t, ship(t, old.local, url, "earlier")) // the host has the new program now
	s = ship(t, newer, url, "new")
	eventually(t, "that the last rows are clean", func() bool { return soiled() == 0 })
	finish(t, s)
	r, err := OpenReader(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	err = r.Scan(t.Context(), results.Span{}, func(row results.Row) error {
		n++
		if record := row.Facts.Authors[0].Record; !strings.HasPrefix(record, "v=DMARC1; p=quarantine") || row.Facts.Helo != "mx.example" {
			t.Errorf("row %s has the record %q", row.Facts.QueueID, record)
		}
		return nil
	})
	if err != nil || n != 3*cleanSlice+20 {
		t.Errorf("rows = %d, %v; want %d", n, err, 3*cleanSlice+20)
	}
	if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.uncleaned"); got != 0 {
		t.Errorf("spans that are left = %d; want none", got)
	}
}

// A row that waits in a local store of before is clean when it is shipped.
func TestShipperCleansRows(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	l, f := openLocal(t, filepath.Join(t.TempDir(), "results.db")), newFake()
	recorded(l, "q", 10)
	rows, err := l.After(t.Context(), 0, 100, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	(&earlier{}).soil(rows)
	for _, r := range rows {
		f.put(r)
	}
	finish(t, ship(t, f, url, "a"))
	if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.message WHERE position('zqjane'::bytea IN row) > 0"); got != 0 {
		t.Errorf("rows with an address = %d; want none", got)
	}
	if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.message WHERE position('p=quarantine; adkim=s'::bytea IN row) > 0"); got != 10 {
		t.Errorf("rows with their policy = %d; want all 10", got)
	}
}

// A purge ends with the rows that there were at its start.
func TestPurgeKeepsRowsArrivingMeanwhile(t *testing.T) {
	server := pgtest.Start(t)
	url := server.Database()
	l := openLocal(t, filepath.Join(t.TempDir(), "results.db"))
	recorded(l, "before", 30)
	finish(t, ship(t, l, url, "a"))
	conf := Config{URL: url}
	conn, err := conf.connect(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(conn)
	w := &purger{conn: conn, p: results.Purge{Domain: "bank.example"}, store: -1, seq: -1, days: make(map[time.Time]bool)}
	if err := w.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	recorded(l, "meanwhile", 20) // of times among those and after them
	finish(t, ship(t, l, url, "a"))
	if err := w.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask[int](t, url, "SELECT count(*) FROM dmarcgate.message"); got != 20 || w.deleted != 30 {
		t.Errorf("rows that are left = %d, deleted %d; want the 20 that came meanwhile, and 30", got, w.deleted)
	}
}
