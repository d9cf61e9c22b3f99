package history

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
)

var today = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// genuine is a message that passed for an organization.
func genuine(org string, at time.Time, dkim bool) *policy.Facts {
	return &policy.Facts{Time: at, FromField: policy.FromOneMailbox, Authors: []policy.Author{{
		Domain: "news." + org, Org: org, Verdict: dmarc.Verdict{Status: dmarc.Pass, AlignedDKIM: dkim, AlignedSPF: !dkim},
	}}}
}

// ready is a history that can be asked and holds so many organizations.
func ready(established, newcomers int) *History {
	h := New()
	h.established.most, h.newcomers.most = established, newcomers
	h.Finish()
	return h
}

func (h *History) countTimes(n int, f *policy.Facts) {
	for range n {
		h.Count(f)
	}
}

func TestCountAddsProvenMail(t *testing.T) {
	tests := []struct {
		name   string
		change func(*policy.Facts)
		want   policy.History
	}{
		{"pass by DKIM", func(*policy.Facts) {}, policy.History{Messages: 1, DKIMPass: 1}},
		{"pass by SPF", func(f *policy.Facts) { f.Authors[0].Verdict.AlignedDKIM = false }, policy.History{Messages: 1}},
		{"several mailboxes of one domain", func(f *policy.Facts) { f.FromField = policy.FromSeveralMailboxes }, policy.History{Messages: 1, DKIMPass: 1}},
		{"several domains", func(f *policy.Facts) {
			f.FromField, f.Authors = policy.FromSeveralDomains, append(f.Authors, f.Authors[0])
		}, policy.History{}},
		{"fail, which third parties send", func(f *policy.Facts) { f.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.Fail} }, policy.History{}},
		{"temperror", func(f *policy.Facts) { f.Authors[0].Verdict.Status = dmarc.TempError }, policy.History{}},
		{"no record", func(f *policy.Facts) { f.Authors[0].Verdict = dmarc.Verdict{} }, policy.History{}},
		{"not evaluated", func(f *policy.Facts) { f.Skip = policy.Authenticated }, policy.History{}},
		{"a header that was cut", func(f *policy.Facts) { f.HeaderTruncated = true }, policy.History{}},
		{"an organization that is not known", func(f *policy.Facts) { f.Authors[0].Org = "" }, policy.History{}},
		{"another organization", func(f *policy.Facts) { f.Authors[0].Org = "a.bank.example" }, policy.History{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, f := ready(9, 9), genuine("bank.example", today, true)
			tt.change(f)
			h.Count(f)
			if got := h.Of("bank.example", DayOf(today)); got != tt.want {
				t.Errorf("of(bank.example) = %+v; want %+v", got, tt.want)
			}
			if got := h.Of("", DayOf(today)); got != (policy.History{}) {
				t.Errorf("of(no organization) = %+v; want nothing", got)
			}
		})
	}
}

func TestCountIgnoresForgeries(t *testing.T) {
	h := ready(9, 9)
	h.countTimes(100, genuine("bank.example", today, true))
	forgery := genuine("bank.example", today, false)
	forgery.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.Fail, Policy: dmarc.Reject}
	h.countTimes(10000, forgery)
	if got, want := h.Of("bank.example", DayOf(today)), (policy.History{Messages: 100, DKIMPass: 100}); got != want {
		t.Errorf("of(bank.example) after a flood = %+v; want %+v", got, want)
	}
}

func TestOfCoversThirtyDays(t *testing.T) {
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
		got := h.Of("bank.example", DayOf(today.AddDate(0, 0, tt.ahead)))
		if want := (policy.History{Messages: tt.messages, DKIMPass: tt.dkim}); got != want {
			t.Errorf("of(bank.example) %d days later = %+v; want %+v", tt.ahead, got, want)
		}
	}
}

func TestDayOfStartsInUTC(t *testing.T) {
	midnight := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	if DayOf(midnight) != DayOf(midnight.Add(-time.Nanosecond))+1 || DayOf(midnight.In(time.FixedZone("", -7200))) != DayOf(midnight) {
		t.Error("a day does not begin at midnight in UTC")
	}
	if got := DayOf(time.Time{}); got != 0 {
		t.Errorf("DayOf(no time) = %d; want 0", got)
	}
	if got := DayOf(time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)); got != 1<<16-1 {
		t.Errorf("DayOf(the year 3000) = %d; want the last day there is", got)
	}
}

func TestCountKeepsEstablishedOrganizations(t *testing.T) {
	h := ready(2, 3)
	for _, org := range []string{"a.example", "b.example"} {
		h.countTimes(policy.HistoryMessages, genuine(org, today, true))
	}
	for i := range 1000 {
		h.countTimes(policy.HistoryMessages-1, genuine(fmt.Sprint(i, ".evil.example"), today, true))
	}
	for _, org := range []string{"a.example", "b.example"} {
		if got := h.Of(org, DayOf(today)).Messages; got != policy.HistoryMessages {
			t.Errorf("of(%s) after a flood of newcomers has %d messages; want %d", org, got, policy.HistoryMessages)
		}
	}
	if len(h.orgs) != 5 || h.newcomers.len != 3 || h.Of("999.evil.example", DayOf(today)).Messages == 0 || h.Of("996.evil.example", DayOf(today)).Messages != 0 {
		t.Errorf("%d organizations, %d newcomers; want 5 and the newest 3", len(h.orgs), h.newcomers.len)
	}
}

func TestCountEvictsLeastRecentOrganization(t *testing.T) {
	h := ready(2, 3)
	for _, org := range []string{"a.example", "b.example"} {
		h.countTimes(policy.HistoryMessages, genuine(org, today, true))
	}
	h.Count(genuine("a.example", today, true))
	h.countTimes(policy.HistoryMessages, genuine("c.example", today, true))
	for org, want := range map[string]int{"a.example": policy.HistoryMessages + 1, "b.example": 0, "c.example": policy.HistoryMessages} {
		if got := h.Of(org, DayOf(today)).Messages; got != want {
			t.Errorf("of(%s) has %d messages; want %d", org, got, want)
		}
	}
}

func TestForgetRemovesSilentOrganizations(t *testing.T) {
	h := ready(9, 9)
	h.countTimes(policy.HistoryMessages, genuine("a.example", today, true))
	h.Count(genuine("b.example", today, true))
	h.countTimes(policy.HistoryMessages, genuine("c.example", today.AddDate(0, 0, 30), true))
	if len(h.orgs) != 1 || h.established.len != 1 || h.newcomers.len != 0 {
		t.Errorf("%d organizations are kept; want the one that wrote in the last 30 days", len(h.orgs))
	}
}

func TestCountIsCapped(t *testing.T) {
	h := ready(9, 9)
	h.countTimes(maxPerDay+10, genuine("a.example", today, true))
	if got, want := h.Of("a.example", DayOf(today)), (policy.History{Messages: maxPerDay, DKIMPass: maxPerDay}); got != want {
		t.Errorf("of(a.example) = %+v; want %+v", got, want)
	}
}

func TestUncountStopsAtZero(t *testing.T) {
	h := ready(9, 9)
	h.Count(genuine("a.example", today, false))
	for range 3 {
		h.Uncount(genuine("a.example", today, true))
		h.Uncount(genuine("a.example", today.AddDate(0, 0, -1), true))
		h.Uncount(genuine("x.example", today, true))
		h.Uncount(&policy.Facts{})
	}
	if got := h.Of("a.example", DayOf(today)); got != (policy.History{}) {
		t.Errorf("of(a.example) = %+v; want nothing", got)
	}
}

func TestOfDuringCount(t *testing.T) {
	h := ready(5, 5)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				f := genuine(fmt.Sprint((w+i)%17, ".example"), today.AddDate(0, 0, i%3), true)
				h.Count(f)
				h.Uncount(f)
				h.Of("3.example", DayOf(today))
			}
		})
	}
	wg.Wait()
	if len(h.orgs) != h.established.len+h.newcomers.len || len(h.orgs) > 10 {
		t.Errorf("%d organizations in queues of %d and %d; want as many, at most 10", len(h.orgs), h.established.len, h.newcomers.len)
	}
}

func BenchmarkHistory(b *testing.B) {
	h := New()
	h.Finish()
	facts := make([]*policy.Facts, 200_000)
	for i := range facts {
		facts[i] = genuine(fmt.Sprint(i%150_000, ".example"), today.AddDate(0, 0, i%30), true)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		h.Count(facts[i%len(facts)])
		h.Of("77.example", DayOf(today))
		i++
	}
}
