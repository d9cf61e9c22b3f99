package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/metrics"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/blob"
)

// told is a local part that only rows of before have.
const told = "zqjane.doe"

// soiled are rows as a program of schema version 3 wrote them.
func soiled(n int) []results.Row {
	rows := make([]results.Row, n)
	for i := range rows {
		rows[i] = mixRow(i)
		rows[i].Facts.Time = today.Add(time.Duration(i-n) * time.Minute)
		f := &rows[i].Facts
		f.Authors = []policy.Author{{Domain: "bank.example", Org: "bank.example", PolicyDomain: "bank.example", Source: "author",
			Record: fmt.Sprintf("v=DMARC1; p=reject; fo=1; rua=mailto:%s@bank%d.example!10485760; ruf=mailto:%s@bank.example; pct=50", told, i, told)}}
		switch i % 5 {
		case 1:
			f.Helo = told + "@mx.example"
			f.SPF.Term = "include:" + told + "@isp.example"
		case 2:
			f.Authors[0].Record = "v=DMARC1; p=none"
		case 3:
			for j := range 300 {
				f.Recipients = append(f.Recipients, fmt.Sprintf("%s.r%d.example", strings.Repeat("l", 60), j))
			}
		}
	}
	return rows
}

// beforeCleaning makes a file of schema version 3 with these rows.
func beforeCleaning(t *testing.T, opt Options, rows []results.Row) {
	t.Helper()
	s := open(t, opt)
	err := s.in(context.Background(), s.file, func(tx *sql.Tx) error {
		for i := range rows {
			var e blob.Encoder
			c, err := e.Columns(&rows[i])
			if err != nil {
				return err
			}
			if _, err := tx.Exec(insertSQL+insertValues, i+1, c.Time, c.State, c.QueueID, c.Client, c.Author, c.PolicyDomain,
				c.Result, c.Requested, c.Disposition, c.Action, c.Reason, c.Flags, c.Blob); err != nil {
				return err
			}
		}
		_, err := tx.Exec("DELETE FROM meta WHERE key IN ('clock', 'summed'); DROP TABLE day_sum; DROP TRIGGER message_unsum; DROP TRIGGER message_resum; PRAGMA user_version = 3")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// wanted is what the rows are to be, after Add or cleaning.
func wanted(rows []results.Row) []results.Row {
	out := make([]results.Row, len(rows))
	for i, r := range rows {
		r.Clean()
		blob.Trim(&r)
		r.Sequence = int64(i + 1)
		out[i] = r
	}
	return out
}

func TestCleanOldRowsOfSchema3(t *testing.T) {
	opt := options(t)
	opt.Now = func() time.Time { return today }
	rows := soiled(777)
	beforeCleaning(t, opt, rows)
	want := wanted(rows)
	reg := prometheus.NewRegistry()
	opt.Metrics = metrics.New(reg, nil)
	s := open(t, opt)
	for i, r := range contents(t, s.Reader) { // at once, readers see no local part
		if text := fmt.Sprintf("%+v", r); strings.Contains(text, told) {
			t.Fatalf("row %d before it is cleaned = %s; want no %q", i+1, text, told)
		}
	}
	if st, err := s.Status(t.Context()); err != nil || st.Uncleaned != 777 {
		t.Errorf("Status() = %d rows uncleaned, %v; want 777", st.Uncleaned, err)
	}
	s.Add(row("new")) // of this program
	tend(t, s)
	got := contents(t, s.Reader)
	if len(got) != 778 || !reflect.DeepEqual(got[:777], want) {
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("row %d = %+v\nwant %+v", i+1, got[i], want[i])
			}
		}
		t.Fatalf("rows = %d; want 778", len(got))
	}
	if st, err := s.Status(t.Context()); err != nil || st.Uncleaned != 0 || value(t, reg, "dmarcgate_store_uncleaned_records", "local") != 0 {
		t.Errorf("Status() = %d rows uncleaned, %v; want none", st.Uncleaned, err)
	}
	if got := count(t, s, "SELECT max(length(row)) FROM message"); got > blob.MaxRowBytes {
		t.Errorf("the largest row has %d bytes; want at most %d", got, blob.MaxRowBytes)
	}
	s.Close()
	absent(t, opt.Path, told)
}

// A program that is stopped in the middle goes on there, and mail that comes
// meanwhile is recorded.
func TestCleanContinuesAfterRestart(t *testing.T) {
	opt := options(t)
	opt.Now = func() time.Time { return today }
	rows := soiled(5 * maintenanceSlice)
	beforeCleaning(t, opt, rows)
	for starts := 1; ; starts++ {
		s := open(t, opt)
		mark, err := uncleaned(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if mark == 0 {
			if starts != 6 {
				t.Errorf("starts = %d; want 6: five slices, one at each start", starts)
			}
			break
		}
		if want := max(1, int64((6-starts)*maintenanceSlice)); mark != want {
			t.Fatalf("the mark at start %d = %d; want %d", starts, mark, want)
		}
		s.Add(row(fmt.Sprint("new", starts)))
		done, err := s.cleanSlice(t.Context(), s.file, mark)
		if err == nil && done {
			err = s.cleaned(t.Context(), s.file)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if starts > 20 {
			t.Fatal("it does not end")
		}
	}
	absent(t, opt.Path, told)
}

// A row that cannot be read keeps no other from being cleaned, and numbers that
// are missing do not either.
func TestCleanSkipsUnreadableRows(t *testing.T) {
	opt := options(t)
	opt.Now = func() time.Time { return today }
	beforeCleaning(t, opt, soiled(300))
	s := open(t, opt)
	tamper(t, s, "UPDATE message SET row = x'0102' WHERE seq IN (1, 150, 300); DELETE FROM message WHERE seq BETWEEN 20 AND 180 AND seq <> 150")
	tend(t, s)
	if got := count(t, s, "SELECT count(*) FROM message WHERE row = x'0102'"); got != 3 {
		t.Errorf("rows that cannot be read = %d; want the 3 as they were", got)
	}
	if mark, err := uncleaned(t.Context(), s); err != nil || mark != 0 {
		t.Errorf("the mark = %d, %v; want none", mark, err)
	}
	s.Close()
	absent(t, opt.Path, told)
}

func TestCleanLetsMailThrough(t *testing.T) {
	opt := options(t)
	opt.Now = func() time.Time { return today }
	beforeCleaning(t, opt, soiled(2000))
	s := open(t, opt)
	done := make(chan error)
	go func() { done <- s.cleanOld(t.Context(), s.file) }()
	for n := 0; ; n++ {
		if got := s.Add(row(fmt.Sprint("new", n))).Outcome; got != results.Written {
			t.Errorf("Add() = %v; want %v", got, results.Written)
		}
		select {
		case err := <-done:
			if err != nil || n < 5 {
				t.Errorf("cleanOld() = %v, and %d rows came meanwhile; want nil, and many", err, n)
			}
			return
		default:
		}
	}
}

// What stays as it is must not be written anew: a newer program may have put into
// a row what this one does not know.
func TestCleanLeavesCleanRowsAlone(t *testing.T) {
	for i := range 50 {
		r := mixRow(i)
		var e blob.Encoder
		c, err := e.Columns(&r)
		if err != nil {
			t.Fatal(err)
		}
		s := blob.Shipment{Time: r.Facts.Time, QueueID: c.QueueID, Client: r.Facts.Client, Author: c.Author, PolicyDomain: c.PolicyDomain, Encoded: append([]byte(nil), c.Blob...)}
		s.Encoded = append(s.Encoded, 0xfa, 0x01, 0x07) // a field of a newer program
		if before := string(s.Encoded); s.Clean() || string(s.Encoded) != before {
			t.Errorf("Clean() of row %d, which is clean, has changed it", i)
		}
	}
}
