package results

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

var today = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// genuine is a message that passed for an organization.
func genuine(org string, at time.Time, dkim bool) *policy.Facts {
	return &policy.Facts{Time: at, From: policy.FromOneMailbox, Authors: []policy.Author{{
		Domain: "news." + org, Org: org, Verdict: dmarc.Verdict{Status: dmarc.Pass, AlignedDKIM: dkim, AlignedSPF: !dkim},
	}}}
}

// ready is a history that can be asked and holds so many organizations.
func ready(established, newcomers int) *history {
	h := newHistory()
	h.established.most, h.newcomers.most = established, newcomers
	h.finish()
	return h
}

func (h *history) countTimes(n int, f *policy.Facts) {
	for range n {
		h.count(f)
	}
}

func TestWhatWasProvedToBeOfAnOrganizationIsCounted(t *testing.T) {
	tests := []struct {
		name   string
		change func(*policy.Facts)
		want   policy.History
	}{
		{"pass by DKIM", func(*policy.Facts) {}, policy.History{Messages: 1, DKIMPass: 1}},
		{"pass by SPF", func(f *policy.Facts) { f.Authors[0].Verdict.AlignedDKIM = false }, policy.History{Messages: 1}},
		{"several mailboxes of one domain", func(f *policy.Facts) { f.From = policy.FromSeveralMailboxes }, policy.History{Messages: 1, DKIMPass: 1}},
		{"several domains", func(f *policy.Facts) {
			f.From, f.Authors = policy.FromSeveralDomains, append(f.Authors, f.Authors[0])
		}, policy.History{}},
		{"fail, which strangers send", func(f *policy.Facts) { f.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.Fail} }, policy.History{}},
		{"temperror", func(f *policy.Facts) { f.Authors[0].Verdict.Status = dmarc.TempError }, policy.History{}},
		{"no record", func(f *policy.Facts) { f.Authors[0].Verdict = dmarc.Verdict{} }, policy.History{}},
		{"not evaluated", func(f *policy.Facts) { f.Skip = policy.Authenticated }, policy.History{}},
		{"a header that was cut", func(f *policy.Facts) { f.Cut = true }, policy.History{}},
		{"an organization that is not known", func(f *policy.Facts) { f.Authors[0].Org = "" }, policy.History{}},
		{"another organization", func(f *policy.Facts) { f.Authors[0].Org = "a.bank.example" }, policy.History{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, f := ready(9, 9), genuine("bank.example", today, true)
			tt.change(f)
			h.count(f)
			if got := h.of("bank.example", dayOf(today)); got != tt.want {
				t.Errorf("of(bank.example) = %+v; want %+v", got, tt.want)
			}
			if got := h.of("", dayOf(today)); got != (policy.History{}) {
				t.Errorf("of(no organization) = %+v; want nothing", got)
			}
		})
	}
}

func TestAFloodOfForgeriesDoesNotChangeTheHistory(t *testing.T) {
	h := ready(9, 9)
	h.countTimes(100, genuine("bank.example", today, true))
	forgery := genuine("bank.example", today, false)
	forgery.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject}
	h.countTimes(10000, forgery)
	if got, want := h.of("bank.example", dayOf(today)), (policy.History{Messages: 100, DKIMPass: 100}); got != want {
		t.Errorf("of(bank.example) after a flood = %+v; want %+v", got, want)
	}
}

func TestTheLastThirtyDaysCount(t *testing.T) {
	h := ready(9, 9)
	for back := range 40 {
		h.countTimes(back+1, genuine("bank.example", today.AddDate(0, 0, -back), back%2 == 0)) // newest first
	}
	for _, tt := range []struct {
		ahead          int
		messages, dkim int
	}{
		{0, 30 * 31 / 2, 15 * 15}, {1, 29 * 30 / 2, 15 * 15}, {28, 1 + 2, 1}, {29, 1, 1}, {30, 0, 0}, {300, 0, 0},
	} {
		got := h.of("bank.example", dayOf(today.AddDate(0, 0, tt.ahead)))
		if want := (policy.History{Messages: tt.messages, DKIMPass: tt.dkim}); got != want {
			t.Errorf("of(bank.example) %d days later = %+v; want %+v", tt.ahead, got, want)
		}
	}
}

func TestADayHasABeginningInUTC(t *testing.T) {
	midnight := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	if dayOf(midnight) != dayOf(midnight.Add(-time.Nanosecond))+1 || dayOf(midnight.In(time.FixedZone("", -7200))) != dayOf(midnight) {
		t.Error("a day does not begin at midnight in UTC")
	}
	if got := dayOf(time.Time{}); got != 0 {
		t.Errorf("dayOf(no time) = %d; want 0", got)
	}
	if got := dayOf(time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)); got != 1<<16-1 {
		t.Errorf("dayOf(the year 3000) = %d; want the last day there is", got)
	}
}

func TestNewcomersDoNotPushOutEstablishedOrganizations(t *testing.T) {
	h := ready(2, 3)
	for _, org := range []string{"a.example", "b.example"} {
		h.countTimes(policy.HistoryMessages, genuine(org, today, true))
	}
	for i := range 1000 {
		h.countTimes(policy.HistoryMessages-1, genuine(fmt.Sprint(i, ".evil.example"), today, true))
	}
	for _, org := range []string{"a.example", "b.example"} {
		if got := h.of(org, dayOf(today)).Messages; got != policy.HistoryMessages {
			t.Errorf("of(%s) after a flood of newcomers has %d messages; want %d", org, got, policy.HistoryMessages)
		}
	}
	if len(h.orgs) != 5 || h.newcomers.len != 3 || h.of("999.evil.example", dayOf(today)).Messages == 0 || h.of("996.evil.example", dayOf(today)).Messages != 0 {
		t.Errorf("%d organizations, %d newcomers; want 5 and the newest 3", len(h.orgs), h.newcomers.len)
	}
}

func TestTheEstablishedOrganizationSeenLeastRecentlyGoes(t *testing.T) {
	h := ready(2, 3)
	for _, org := range []string{"a.example", "b.example"} {
		h.countTimes(policy.HistoryMessages, genuine(org, today, true))
	}
	h.count(genuine("a.example", today, true))
	h.countTimes(policy.HistoryMessages, genuine("c.example", today, true))
	for org, want := range map[string]int{"a.example": policy.HistoryMessages + 1, "b.example": 0, "c.example": policy.HistoryMessages} {
		if got := h.of(org, dayOf(today)).Messages; got != want {
			t.Errorf("of(%s) has %d messages; want %d", org, got, want)
		}
	}
}

func TestOrganizationsThatAreSilentAreForgotten(t *testing.T) {
	h := ready(9, 9)
	h.countTimes(policy.HistoryMessages, genuine("a.example", today, true))
	h.count(genuine("b.example", today, true))
	h.countTimes(policy.HistoryMessages, genuine("c.example", today.AddDate(0, 0, 30), true))
	if len(h.orgs) != 1 || h.established.len != 1 || h.newcomers.len != 0 {
		t.Errorf("%d organizations are kept; want the one that wrote in the last 30 days", len(h.orgs))
	}
}

func TestCountingEndsForAnOrganizationThatWritesALot(t *testing.T) {
	h := ready(9, 9)
	h.countTimes(maxPerDay+10, genuine("a.example", today, true))
	if got, want := h.of("a.example", dayOf(today)), (policy.History{Messages: maxPerDay, DKIMPass: maxPerDay}); got != want {
		t.Errorf("of(a.example) = %+v; want %+v", got, want)
	}
}

func TestWhatIsTakenAwayDoesNotGoBelowNothing(t *testing.T) {
	h := ready(9, 9)
	h.count(genuine("a.example", today, false))
	for range 3 {
		h.uncount(genuine("a.example", today, true))
		h.uncount(genuine("a.example", today.AddDate(0, 0, -1), true))
		h.uncount(genuine("x.example", today, true))
		h.uncount(&policy.Facts{})
	}
	if got := h.of("a.example", dayOf(today)); got != (policy.History{}) {
		t.Errorf("of(a.example) = %+v; want nothing", got)
	}
}

// historyOptions are those of a store whose clock stands still.
func historyOptions(t *testing.T) Options {
	opt := options(t)
	opt.Now = func() time.Time { return today }
	return opt
}

func TestTheWriterKeepsTheHistory(t *testing.T) {
	s := open(t, historyOptions(t))
	<-s.loaded
	add := func(org string, state State) *Receipt {
		return s.Add(Row{State: state, Facts: *genuine(org, today, true)})
	}
	add("bank.example", Answered)
	add("bank.example", Deferred)
	add("bank.example", Unanswered)
	lost := add("bank.example", Answered)
	if got := s.History("bank.example").Messages; got != 2 {
		t.Errorf("History(bank.example) has %d messages; want the 2 that were answered", got)
	}
	s.MarkUnanswered(lost)
	s.MarkUnanswered(lost)
	add("other.example", Answered) // committed after the marks
	if got, want := s.History("bank.example"), (policy.History{Messages: 1, DKIMPass: 1}); got != want {
		t.Errorf("History(bank.example) after an answer was lost = %+v; want %+v", got, want)
	}
	if got := (None{}).History("bank.example"); got != (policy.History{}) {
		t.Errorf("None.History() = %+v; want nothing", got)
	}
}

// fill adds rows of a store that is to be opened again.
func fill(t *testing.T, opt Options, rows ...Row) {
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

func TestTheHistoryIsReadWhenTheStoreOpens(t *testing.T) {
	opt := historyOptions(t)
	var rows []Row
	const n = 2*historySlice + 7
	for i := range n {
		r := Row{Facts: *genuine("bank.example", today.AddDate(0, 0, i*28/n-28), i%100 != 0)}
		switch i % 10 {
		case 1:
			r.State = Deferred
		case 2:
			r.State = Unanswered
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
	s.Add(Row{Facts: *genuine("bank.example", today, true)})
	if got := s.History("bank.example").Messages; got != 604 {
		t.Errorf("History(bank.example) after one more has %d messages; want 604", got)
	}
}

func TestThereIsNoEvidenceUntilEverythingStoredIsCounted(t *testing.T) {
	s := open(t, historyOptions(t))
	<-s.loaded
	s.history.ready = false // as while it is read
	s.Add(Row{Facts: *genuine("bank.example", today, true)})
	if got := s.History("bank.example"); got != (policy.History{}) {
		t.Errorf("History() before it is complete = %+v; want nothing", got)
	}
	s.history.finish()
	if got := s.History("bank.example").Messages; got != 1 {
		t.Errorf("History() has %d messages when it is complete; want the one that came meanwhile", got)
	}
}

func TestRowsThatCannotBeReadProveNothing(t *testing.T) {
	opt := historyOptions(t)
	fill(t, opt, Row{Facts: *genuine("a.example", today, true)}, Row{Facts: *genuine("b.example", today, true)})
	s := open(t, opt)
	<-s.loaded
	tamper(t, s, "UPDATE message SET row = '{' WHERE seq = 1")
	s.history = newHistory()
	if _, err := s.readHistory(context.Background(), s.reads, 2); err != nil {
		t.Fatal(err)
	}
	s.history.finish()
	if a, b := s.History("a.example").Messages, s.History("b.example").Messages; a != 0 || b != 1 {
		t.Errorf("messages = %d and %d; want those of the row that can be read", a, b)
	}
}

func TestAHistoryThatCannotBeReadIsNoEvidence(t *testing.T) {
	s := open(t, historyOptions(t))
	<-s.loaded
	tamper(t, s, "DROP TABLE message")
	s.history, s.loaded = newHistory(), make(chan struct{})
	s.loadHistory(context.Background(), s.file)
	if s.history.ready {
		t.Error("the history is ready though it could not be read")
	}
}

func TestAStoreCanBeClosedWhileItsHistoryIsRead(t *testing.T) {
	opt := historyOptions(t)
	var rows []Row
	for range historySlice + 1 {
		rows = append(rows, Row{Facts: *genuine("bank.example", today, true)})
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

func TestTheHistoryMayBeAskedWhileItIsWritten(t *testing.T) {
	h := ready(5, 5)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				f := genuine(fmt.Sprint((w+i)%17, ".example"), today.AddDate(0, 0, i%3), true)
				h.count(f)
				h.uncount(f)
				h.of("3.example", dayOf(today))
			}
		})
	}
	wg.Wait()
	if len(h.orgs) != h.established.len+h.newcomers.len || len(h.orgs) > 10 {
		t.Errorf("%d organizations in queues of %d and %d; want as many, at most 10", len(h.orgs), h.established.len, h.newcomers.len)
	}
}

func BenchmarkHistory(b *testing.B) {
	h := newHistory()
	h.finish()
	facts := make([]*policy.Facts, 200_000)
	for i := range facts {
		facts[i] = genuine(fmt.Sprint(i%150_000, ".example"), today.AddDate(0, 0, i%30), true)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		h.count(facts[i%len(facts)])
		h.of("77.example", dayOf(today))
		i++
	}
}

func BenchmarkReadHistory(b *testing.B) {
	opt := Options{Path: filepath.Join(b.TempDir(), "r.db"), Durability: Async, Wait: time.Minute, Queue: 1000, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return today }}
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
