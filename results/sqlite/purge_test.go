package sqlite

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/results"
	"dmarcgate/results/dbread"
)

// victimRow is a row that a purge of victim.example means.
func victimRow(i int) results.Row {
	r := mixRow(i)
	r.Facts.MailFrom = "bounce.victim.example"
	a := &r.Facts.Authors[0]
	a.Domain, a.Org, a.PolicyDomain = "mail.victim.example", "victim.example", "victim.example"
	a.Verdict.Status = dmarc.Pass
	r.Decision.Author = a.Domain
	return r
}

func TestPurgeRemovesDomain(t *testing.T) {
	opt := options(t)
	opt.Now = func() time.Time { return today.AddDate(0, 0, 1) }
	var rows []results.Row
	for i := range 1600 {
		rows = append(rows, mixRow(i))
		if i%2 == 0 {
			rows = append(rows, victimRow(i))
		}
	}
	fill(t, opt, rows...)
	s := open(t, opt)
	<-s.loaded
	if got := s.History("victim.example").Messages; got != 800 {
		t.Fatalf("history before = %d messages; want 800", got)
	}
	before := bytesOf(opt.Path)
	n, err := s.Purge(t.Context(), results.Purge{Domain: "Victim.Example."})
	if err != nil || n != 800 {
		t.Errorf("Purge() = %d, %v; want 800", n, err)
	}
	st, err := s.Status(t.Context())
	if err != nil || st.Rows != 1600 || st.Deleted["purge"] != 800 {
		t.Errorf("Status() = %+v, %v; want 1600 rows", st, err)
	}
	if got := s.History("victim.example").Messages; got != 0 {
		t.Errorf("history after = %d messages; want none", got)
	}
	if got := count(t, s, "SELECT count(*) FROM sender WHERE org LIKE '%victim%'"); got != 0 {
		t.Errorf("senders = %d; want none", got)
	}
	if after := bytesOf(opt.Path); after > before*8/10 {
		t.Errorf("file: %d bytes, then %d; want the space back", before, after)
	}
	s.Add(victimRow(1))
	if got := count(t, s, "SELECT count(*) FROM sender WHERE org = 'victim.example'"); got != 1 {
		t.Errorf("senders after another message = %d; want one, met again", got)
	}
	if _, err := s.Purge(t.Context(), results.Purge{Domain: "victim.example"}); err != nil {
		t.Error(err)
	}
	s.Close()
	if problem := integrity(t, opt.Path); problem != "ok" {
		t.Errorf("integrity_check = %s", problem)
	}
}

func integrity(t *testing.T, path string) (says string) {
	t.Helper()
	r, err := dbread.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&says); err != nil {
		t.Fatal(err)
	}
	return says
}

func TestPurgeOfClientAndTime(t *testing.T) {
	opt := options(t)
	fill(t, opt, at(0, "a.example", "192.0.2.1", nil), at(1, "a.example", "192.0.2.2", nil), at(2, "b.example", "192.0.2.1", nil), at(3, "c.example", "198.51.100.1", nil))
	s := open(t, opt)
	n, err := s.Purge(t.Context(), results.Purge{Client: netip.MustParsePrefix("192.0.2.1/32"), Before: clock(2)})
	if err != nil || n != 1 {
		t.Errorf("Purge() of a client before a time = %d, %v; want 1", n, err)
	}
	n, err = s.Purge(t.Context(), results.Purge{Client: netip.MustParsePrefix("192.0.2.0/24")})
	if err != nil || n != 2 {
		t.Errorf("Purge() of a network = %d, %v; want 2", n, err)
	}
	if got := qids(t, s.Reader); got != "q3" {
		t.Errorf("rows = %q; want that of the other network", got)
	}
	if got := count(t, s, "SELECT count(*) FROM sender"); got != 1 {
		t.Errorf("senders = %d; want one", got)
	}
	if n, err := s.Purge(t.Context(), results.Purge{}); err == nil || n != 0 {
		t.Errorf("Purge() of nothing = %d, %v; want an error", n, err)
	}
}

func TestPurgeReportsUnreadableRows(t *testing.T) {
	opt := options(t)
	fill(t, opt, row("a"), row("b"))
	s := open(t, opt)
	tamper(t, s, "UPDATE message SET row = '{' WHERE seq = 1")
	n, err := s.Purge(t.Context(), results.Purge{Domain: "bank.example"})
	if n != 1 || err == nil || !strings.Contains(err.Error(), "1 rows cannot be read") {
		t.Errorf("Purge() = %d, %v; want one, and that one cannot be read", n, err)
	}
}

func TestPurgeEndsWithContext(t *testing.T) {
	opt := options(t)
	fill(t, opt, row("a"))
	s := open(t, opt)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := s.Purge(ctx, results.Purge{Domain: "bank.example"}); err == nil || n != 0 {
		t.Errorf("Purge() = %d, %v; want an error", n, err)
	}
	s.Close()
	if _, err := s.Purge(t.Context(), results.Purge{Domain: "bank.example"}); err == nil {
		t.Error("Purge() of a closed store = nil; want an error")
	}
}

// Rows that come while a purge is at work stay, however many there are.
func TestPurgeCoversRowsPresentAtStart(t *testing.T) {
	opt := options(t)
	s := open(t, opt)
	const before = 2 * purgeSlice
	rows := make([]results.Row, before)
	for i := range rows {
		rows[i] = victimRow(1)
	}
	addAll(t, s, rows)
	stop, stopped := make(chan struct{}), make(chan int)
	begun := make(chan struct{})
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				stopped <- n
				return
			default:
			}
			s.Add(victimRow(1))
			if n == 0 {
				close(begun)
			}
		}
	}()
	<-begun
	n, err := s.Purge(t.Context(), results.Purge{Domain: "victim.example"})
	close(stop)
	came := <-stopped
	left := count(t, s, "SELECT count(*) FROM message")
	if err != nil || n < before || n+left != before+int64(came) {
		t.Errorf("Purge() = %d, %v, and %d of %d rows are left; want that all are told", n, err, left, before+came)
	}
	if left == 0 {
		t.Errorf("rows that are left = 0 of the %d that came meanwhile; want those after the start", came)
	}
	// One after the other, it is sure which ones came meanwhile.
	w := &purger{Store: s, f: s.current.Load(), p: results.Purge{Domain: "victim.example"}}
	if w.end, err = w.lastRow(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.Add(victimRow(1))
	}
	for looked := int64(1); looked > 0; {
		if looked, err = w.slice(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(t, s, "SELECT count(*) FROM message WHERE seq <= ?", w.end); got != 0 || count(t, s, "SELECT count(*) FROM message") != 3 {
		t.Errorf("rows up to the start = %d; want none, and the 3 of after it", got)
	}
}
