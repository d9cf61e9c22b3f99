package sqlite

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/history"
)

// genuine is a message that passed for an organization.
func genuine(org string, at time.Time, dkim bool) *policy.Facts {
	return &policy.Facts{Time: at, FromField: policy.FromOneMailbox, Authors: []policy.Author{{
		Domain: "news." + org, Org: org, Verdict: dmarc.Verdict{Status: dmarc.Pass, AlignedDKIM: dkim, AlignedSPF: !dkim},
	}}}
}

// historyOptions are those of a store whose clock stands still.
func historyOptions(t *testing.T) Options {
	opt := options(t)
	opt.Now = func() time.Time { return today }
	return opt
}

func TestHistoryFollowsAdd(t *testing.T) {
	s := open(t, historyOptions(t))
	<-s.loaded
	add := func(org string, state results.State) *results.Receipt {
		return s.Add(results.Row{State: state, Facts: *genuine(org, today, true)})
	}
	add("bank.example", results.Answered)
	add("bank.example", results.Deferred)
	add("bank.example", results.Unanswered)
	lost := add("bank.example", results.Answered)
	if got := s.History("bank.example").Messages; got != 2 {
		t.Errorf("History(bank.example) has %d messages; want the 2 that were answered", got)
	}
	s.MarkUnanswered(lost)
	s.MarkUnanswered(lost)
	add("other.example", results.Answered) // committed after the marks
	if got, want := s.History("bank.example"), (policy.History{Messages: 1, DKIMPass: 1}); got != want {
		t.Errorf("History(bank.example) after an answer was lost = %+v; want %+v", got, want)
	}
	if got := (results.None{}).History("bank.example"); got != (policy.History{}) {
		t.Errorf("None.History() = %+v; want nothing", got)
	}
}

// fill adds rows of a store that is to be opened again.
func fill(t *testing.T, opt Options, rows ...results.Row) {
	t.Helper()
	opt.Durability = Async
	s, err := Open(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		s.Add(r)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestHistoryIsLoadedAtOpen(t *testing.T) {
	opt := historyOptions(t)
	var rows []results.Row
	const n = 2*historySlice + 7
	for i := range n {
		r := results.Row{Facts: *genuine("bank.example", today.AddDate(0, 0, i*28/n-28), i%100 != 0)}
		switch i % 10 {
		case 1:
			r.State = results.Deferred
		case 2:
			r.State = results.Unanswered
		case 3:
			r.Facts.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject}
		case 4:
			r.Facts.Time = today.AddDate(0, 0, -31)
		}
		rows = append(rows, r)
	}
	fill(t, opt, rows...)
	s := open(t, opt)
	<-s.loaded
	if got, want := s.History("bank.example"), (policy.History{Messages: 603, DKIMPass: 592}); got != want {
		t.Errorf("History(bank.example) after reopening = %+v; want %+v", got, want)
	}
	s.Add(results.Row{Facts: *genuine("bank.example", today, true)})
	if got := s.History("bank.example").Messages; got != 604 {
		t.Errorf("History(bank.example) after one more has %d messages; want 604", got)
	}
}

func TestHistoryIsNoEvidenceWhileLoading(t *testing.T) {
	s := open(t, historyOptions(t))
	<-s.loaded
	s.history = history.New() // as while it is read
	s.Add(results.Row{Facts: *genuine("bank.example", today, true)})
	if got := s.History("bank.example"); got != (policy.History{}) {
		t.Errorf("History() before it is complete = %+v; want nothing", got)
	}
	s.history.Finish()
	if got := s.History("bank.example").Messages; got != 1 {
		t.Errorf("History() has %d messages when it is complete; want the one that came meanwhile", got)
	}
}

func TestHistoryIgnoresUnreadableRows(t *testing.T) {
	opt := historyOptions(t)
	fill(t, opt, results.Row{Facts: *genuine("a.example", today, true)}, results.Row{Facts: *genuine("b.example", today, true)})
	s := open(t, opt)
	<-s.loaded
	tamper(t, s, "UPDATE message SET row = '{' WHERE seq = 1")
	s.history = history.New()
	if _, err := s.readHistory(context.Background(), s.reads, 2); err != nil {
		t.Fatal(err)
	}
	s.history.Finish()
	if a, b := s.History("a.example").Messages, s.History("b.example").Messages; a != 0 || b != 1 {
		t.Errorf("messages = %d and %d; want those of the row that can be read", a, b)
	}
}

func TestHistoryIsNoEvidenceAfterLoadError(t *testing.T) {
	s := open(t, historyOptions(t))
	<-s.loaded
	tamper(t, s, "DROP TABLE message")
	s.history, s.loaded = history.New(), make(chan struct{})
	s.loadHistory(context.Background(), s.file)
	s.history.Count(genuine("bank.example", today, true))
	if got := s.History("bank.example"); got != (policy.History{}) {
		t.Errorf("History() of what could not be read = %+v; want nothing", got)
	}
}

func TestCloseDuringHistoryLoad(t *testing.T) {
	opt := historyOptions(t)
	var rows []results.Row
	for range historySlice + 1 {
		rows = append(rows, results.Row{Facts: *genuine("bank.example", today, true)})
	}
	fill(t, opt, rows...)
	s := open(t, opt)
	if err := s.Close(); err != nil {
		t.Errorf("Close() at once = %v; want nil", err)
	}
	if got := s.History("bank.example").Messages; got != 0 && got != historySlice+1 {
		t.Errorf("History() has %d messages; want all or nothing", got)
	}
}

func BenchmarkReadHistory(b *testing.B) {
	opt := Options{Path: filepath.Join(b.TempDir(), "r"), Durability: Async, Wait: time.Minute, Queue: 1000, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return today }}
	s, err := Open(context.Background(), opt)
	if err != nil {
		b.Fatal(err)
	}
	const rows = 20_000
	for i := range rows {
		r := row("4XyZ1")
		r.Facts.Authors[0].Org, r.Facts.Authors[0].Verdict = fmt.Sprint(i, ".example"), dmarc.Verdict{Status: dmarc.Pass, AlignedDKIM: true}
		s.Add(r)
	}
	s.Close()
	for b.Loop() {
		s, err := Open(context.Background(), opt)
		if err != nil {
			b.Fatal(err)
		}
		<-s.loaded
		s.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}
