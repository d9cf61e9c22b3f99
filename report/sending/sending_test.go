package sending

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dmarcgate/metrics"
	"dmarcgate/report/bounce"
	"dmarcgate/report/consent"
	"dmarcgate/report/deliver"
	"dmarcgate/report/due"
	"dmarcgate/report/gate"
	"dmarcgate/report/queue"
)

func day(n int, hour time.Duration) time.Time {
	return time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC).Add(hour * time.Hour)
}

// weekOfPage returns the lines of the table in docs/reports.md about the first week.
func weekOfPage(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/reports.md")
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^\| [A-Z][a-z]{2} \d+ March .*$`).FindAllString(string(page), -1)
}

// The first week of a site is that of docs/reports.md: the first report leaves in the
// night after the dry run, and is about the day on which the dry run ended.
func TestTurnWeekFromFirstStartToFirstReport(t *testing.T) {
	s := newSite(t)
	columns := []string{"bank.example", "shop.example", "young.example"} // with mail for long, since the start, since Sunday
	for i, first := range []int{-10, 0, 6} {
		s.wants(columns[i], "dmarc@"+columns[i])
		for d := first; d < 9; d++ {
			s.receives(day(2, 12).AddDate(0, 0, d), columns[i])
		}
	}
	var lines []string
	h := s.host("a")
	for n := 3; n <= 10; n++ {
		s.until(h, day(n, 8), time.Hour)
		line := s.now.Format("| Mon 2 January | ") + day(n-1, 0).Format("Mon 2 January | ")
		for _, domain := range columns {
			state := "none"
			if w := s.whys(domain); len(w) > 0 {
				_, state, _ = strings.Cut(w[len(w)-1], " ")
			}
			line += state + " | "
		}
		lines = append(lines, fmt.Sprintf("%s%d |", line, len(s.mails)))
		if len(s.mails) == 0 && s.opened != 0 {
			t.Errorf("%d senders on %v, in the dry run; want none", s.opened, s.now)
		}
		h = s.host(fmt.Sprintf("restarted-%d", n))
	}
	if want := weekOfPage(t); !slices.Equal(lines, want) {
		t.Errorf("the first week is\n%s\ndocs/reports.md has\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	for _, m := range s.mails {
		if !strings.HasPrefix(m.to, "dmarc@") || m.at.Before(day(10, 0).Add(queue.CloseAfter)) || !strings.HasPrefix(m.from, "b+") || !strings.HasSuffix(m.from, "@reports.receiver.example") {
			t.Errorf("a mail of the first night is from %s to %s at %v", m.from, m.to, m.at)
		}
		if !strings.Contains(m.text, "Period (UTC): 2026-03-09 00:00:00 to 2026-03-10 00:00:00") {
			t.Errorf("a first report is not about 9 March:\n%.1500s", m.text)
		}
	}
}

// The owner of a parked domain gets a report 30 days after the first day whose report is
// in the queue, although no message ever passed. A domain without consent does not.
func TestTurnReportsAttackOnParkedDomainAfterThirtyDays(t *testing.T) {
	s := newSite(t)
	s.set.Gate.DryRun = 0
	s.wants("parked.example", "dmarc@parked.example")
	s.wants("stranger.example", "dmarc@victim.example")
	s.dns["stranger.example"].To[0].Consent = consent.Refused
	for d := range 32 {
		for _, domain := range []string{"parked.example", "stranger.example"} {
			s.forges(day(2, 12).AddDate(0, 0, d), domain)
		}
	}
	h := s.host("a")
	s.until(h, day(2, 0).AddDate(0, 0, 30), 4*time.Hour)
	if len(s.mails) != 0 {
		t.Fatalf("%d mails before the record is known for 30 days; want none", len(s.mails))
	}
	s.until(h, day(2, 0).AddDate(0, 0, 31), time.Hour)
	if len(s.mails) != 1 || s.mails[0].to != "dmarc@parked.example" {
		t.Fatalf("mails: %+v; want one to the owner of parked.example", s.mails)
	}
	if got := s.whys("stranger.example"); got[len(got)-1] != "31 done" || s.counts.deliveries["unauthorized "] != 1 {
		t.Errorf("reports about stranger.example: %q, deliveries %v; want the last one unauthorized", got, s.counts.deliveries)
	}
}

func TestTurnSendsNothingByDefaultSettings(t *testing.T) {
	for name, change := range map[string]func(*gate.Gate){
		"send = false": func(g *gate.Gate) { g.Send = false },
		"no smarthost": func(g *gate.Gate) { g.Identity.Smarthost = "" },
		"no settings":  func(g *gate.Gate) { *g = gate.Gate{} },
	} {
		s := newSite(t)
		change(&s.set.Gate)
		s.wants("bank.example", "dmarc@bank.example")
		for d := range 20 {
			s.receives(day(1, 12).AddDate(0, 0, d), "bank.example")
		}
		s.until(s.host("a"), day(25, 0), 12*time.Hour)
		if len(s.mails)+s.opened+s.checks != 0 || s.counts.open {
			t.Errorf("%s: %d mails, %d senders, %d identity checks; want none", name, len(s.mails), s.opened, s.checks)
		}
	}
}

// What alerts and dashboard ask: off, working, or failing until the cause is gone.
func TestTurnTellsWhetherTheWorkFails(t *testing.T) {
	s := newSite(t)
	h := s.host("a")
	fail := errors.New("the key cannot be read")
	settings := h.Settings
	for _, step := range []struct {
		name   string
		change func()
		want   string
	}{
		{"switched on", func() {}, metrics.ReportsWorking},
		{"settings that cannot be used", func() { h.Settings = func() (Settings, error) { return Settings{}, fail } }, metrics.ReportsFailing},
		{"settings that can be used again", func() { h.Settings = settings }, metrics.ReportsWorking},
		{"a queue that cannot be opened", func() { h.Close(); h.Queue = func(context.Context) (queue.Store, error) { return nil, fail } }, metrics.ReportsFailing},
		{"switched off", func() { s.set.Gate.Send = false }, metrics.ReportsOff},
	} {
		step.change()
		if err := h.Turn(t.Context()); (err != nil) != (step.want == metrics.ReportsFailing) {
			t.Errorf("%s: a turn returns %v", step.name, err)
		}
		if s.counts.work != step.want {
			t.Errorf("%s: the work is %q; want %q", step.name, s.counts.work, step.want)
		}
	}
}

// ready returns a site past its dry run, on which a day is over that a report is due
// about. Its clock stands before the day is closed.
func ready(t *testing.T, domains ...string) *site {
	s := newSite(t)
	s.set.Gate.DryRun = 0
	for _, d := range domains {
		s.wants(d, "dmarc@"+d)
		s.receives(day(1, 0).AddDate(0, -1, 0), d)
		s.receives(day(2, 12), d)
	}
	s.until(s.host("first"), day(2, 11), time.Hour)
	s.now = day(3, 0).Add(queue.CloseAfter)
	return s
}

func TestTurnNeverReportsAboutOwnDomains(t *testing.T) {
	s := ready(t, "receiver.example", "mail.receiver.example", "bank.example")
	s.until(s.host("a"), day(3, 12), time.Hour)
	for _, m := range s.mails {
		if m.to != "dmarc@bank.example" {
			t.Errorf("a mail to %s; want none about own domains", m.to)
		}
	}
	for _, own := range []string{"receiver.example", "mail.receiver.example"} {
		if got := s.whys(own); !slices.Equal(got, []string{"2 withheld own_domain"}) {
			t.Errorf("reports about %s: %q; want them held back as own_domain", own, got)
		}
	}
	if len(s.mails) != 1 {
		t.Errorf("%d mails; want 1", len(s.mails))
	}
}

func TestTurnWaitsForTheIdentityCheck(t *testing.T) {
	s := ready(t, "bank.example")
	s.verified = false
	s.until(s.host("a"), day(3, 12), time.Hour)
	if len(s.mails)+s.opened != 0 {
		t.Fatalf("%d mails, %d senders without a verified identity; want none", len(s.mails), s.opened)
	}
	if n := s.notes(); n.Problem != "selector: no key is published" || n.Checked.Before(day(3, 10)) {
		t.Errorf("the identity check is noted as %q at %v; want its problem", n.Problem, n.Checked)
	}
	s.verified = true
	s.until(s.host("b"), day(3, 13), time.Hour)
	if len(s.mails) != 1 {
		t.Errorf("%d mails once the identity is verified; want the one that waited", len(s.mails))
	}
	if n := s.notes(); n.Problem != "" || !n.Checked.Equal(day(3, 12).Add(queue.CloseAfter)) {
		t.Errorf("the identity check is noted as %q at %v; want a success ten minutes after noon", n.Problem, n.Checked)
	}
}

// A smarthost or password that a reload changes is used from the next turn on.
func TestTurnEndsTheSessionWithTheSmarthost(t *testing.T) {
	s := ready(t, "bank.example", "shop.example")
	h := s.host("a")
	s.until(h, day(3, 12), time.Hour)
	if len(s.mails) != 2 || s.opened != 2 || s.closed != 2 {
		t.Errorf("%d mails by %d senders, %d closed; want 2, hours apart, and each sender closed", len(s.mails), s.opened, s.closed)
	}
}

func TestTurnOpensTheQueueAtItsNewPlace(t *testing.T) {
	s := ready(t, "bank.example")
	h := s.host("a")
	if err := h.Turn(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.path += ".moved"
	for range 2 {
		if err := h.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(s.path); (err == nil) != (s.set.Place == "moved") {
			t.Errorf("the queue at its new place: %v, after the settings say %v", err, s.set.Place)
		}
		s.set.Place = "moved"
	}
}

// A host dies at each step, and another one goes on. One report arrives; a copy only when
// nobody knows whether the mail was taken, with the same bytes.
func TestTurnAfterDeathAtEachStep(t *testing.T) {
	for _, step := range []string{
		"before close", "after close", "before plan", "after plan", "before store", "after store", "before begin", "after begin", "mail", "before settle", "after settle",
	} {
		t.Run(step, func(t *testing.T) {
			s := ready(t, "bank.example")
			dead := false
			s.dies = func(at string) bool { dead = dead || at == step; return dead }
			if err := s.host("dies").Turn(t.Context()); err == nil || !dead {
				t.Fatalf("turn = %v; want the host to die at %s", err, step)
			}
			s.dies = nil
			s.now = s.now.Add(queue.Lease)
			s.until(s.host("lives"), day(3, 12), time.Hour)
			most := 1
			if step == "before settle" {
				most = 2
			}
			if len(s.mails) != most {
				t.Fatalf("%d mails; want %d", len(s.mails), most)
			}
			if first, last := s.mails[0], s.mails[len(s.mails)-1]; first.text != last.text || first.from != last.from {
				t.Errorf("the copy differs from the first mail:\n%s\n%s", first.text, last.text)
			}
			if got := s.whys("bank.example"); !slices.Equal(got, []string{"2 done"}) {
				t.Errorf("reports: %q; want one, done", got)
			}
		})
	}
}

func TestTurnTwoHostsSendOneMail(t *testing.T) {
	s := ready(t, "bank.example", "shop.example")
	a, b := s.host("a"), s.host("b")
	for ; s.now.Before(day(3, 12)); s.now = s.now.Add(time.Hour) {
		for _, h := range []*Sending{a, b} {
			if err := h.Turn(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(s.mails) != 2 || s.mails[0].to == s.mails[1].to {
		t.Errorf("%d mails; want one for each of two domains", len(s.mails))
	}
}

func TestTurnRetriesAndGivesUp(t *testing.T) {
	s := ready(t, "bank.example")
	tries := 0
	s.reply = func(string) deliver.Outcome {
		tries++
		return deliver.Outcome{Class: deliver.Retry, Phase: deliver.Rcpt, Code: 450, Enhanced: "4.2.1", Text: "greylisted", Host: "h"}
	}
	s.until(s.host("a"), day(6, 12), 2*time.Hour)
	r := s.reports(queue.Filter{PolicyDomain: "bank.example", First: day(2, 0), Last: day(2, 0)})
	if len(r) != 1 || r[0].State != queue.Done || r[0].Deliveries[0].State != queue.Expired || tries < 8 || tries > 30 {
		t.Errorf("after 72 hours of 450 and %d tries the reports are %+v; want one expired", tries, r)
	}
}

func TestTurnPausesOnOurFault(t *testing.T) {
	s := ready(t, "bank.example", "shop.example")
	tries := 0
	s.reply = func(string) deliver.Outcome {
		tries++
		return deliver.Outcome{Class: deliver.OurFault, Phase: deliver.Auth, Code: 535, Text: "no", Host: "h"}
	}
	h := s.host("a")
	s.until(h, day(3, 12), time.Hour)
	if tries != 1 || !s.counts.paused {
		t.Fatalf("%d tries, paused = %v; want one try, then a pause", tries, s.counts.paused)
	}
	s.reply = nil
	q, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := queue.Resume(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	s.until(h, day(3, 14), time.Hour)
	if len(s.mails) != 2 {
		t.Errorf("%d mails after the pause; want the 2 that waited", len(s.mails))
	}
}

func TestTurnTakesStrikesBackWhenAllHostsRefuse(t *testing.T) {
	domains := []string{"a.example", "b.example", "c.example", "d.example", "e.example", "f.example"}
	s := ready(t, domains...)
	s.reply = func(string) deliver.Outcome {
		return deliver.Outcome{Class: deliver.Refused, Phase: deliver.Rcpt, Code: 554, Enhanced: "5.7.1", Text: "blocked", Host: "h"}
	}
	s.until(s.host("a"), day(3, 12), time.Hour)
	q, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	suppressed, err := q.Suppressing(t.Context())
	if err != nil || len(suppressed) != 0 || !s.counts.paused {
		t.Errorf("suppressed are %v, %v, paused = %v; want a pause and no suppression", suppressed, err, s.counts.paused)
	}
	if n := s.counts.deliveries["refused 5xx"]; n != deliver.StreakLength {
		t.Errorf("%d refusals; want a pause after %d", n, deliver.StreakLength)
	}
}

func TestTurnWithdrawsWhatNobodyAsksForAnyMore(t *testing.T) {
	s := ready(t, "bank.example", "shop.example")
	s.verified = false // plan and render only
	s.until(s.host("a"), day(3, 2), time.Hour)
	s.verified = true
	s.dns["bank.example"] = due.Wanted{Org: "bank.example"}
	s.until(s.host("b"), day(3, 12), time.Hour)
	if len(s.mails) != 1 || s.mails[0].to != "dmarc@shop.example" {
		t.Errorf("mails: %+v; want one to shop.example", s.mails)
	}
	if d := s.reports(queue.Filter{PolicyDomain: "bank.example"})[0].Deliveries[0]; d.State != queue.DeliveryGone || d.Why != "no_rua" {
		t.Errorf("the delivery is %s %s; want it withdrawn", d.State, d.Why)
	}
}

func TestTurnWaitsForTheDNS(t *testing.T) {
	s := ready(t, "bank.example", "silent.example")
	back := s.dns["bank.example"]
	s.dns["bank.example"], s.dns["silent.example"] = due.Wanted{Unknown: true}, due.Wanted{Unknown: true}
	h := s.host("a")
	s.until(h, day(3, 12), time.Hour)
	s.dns["bank.example"] = back
	s.until(h, day(5, 12), 3*time.Hour)
	if len(s.mails) != 1 || s.mails[0].to != "dmarc@bank.example" {
		t.Errorf("mails: %+v; want one to bank.example, whose name servers are back", s.mails)
	}
	if got := s.whys("silent.example"); len(got) == 0 || got[0] != "2 withdrawn consent_unknown" {
		t.Errorf("reports about silent.example: %q; want the first to end after 48 hours", got)
	}
}

func TestTurnCountsLateRows(t *testing.T) {
	s := ready(t, "bank.example")
	h := s.host("a")
	s.until(h, day(3, 1), time.Hour)
	s.receives(day(2, 13), "bank.example")
	s.until(h, day(3, 12), time.Hour)
	if s.counts.rows["late"] != 1 || s.counts.rows["reported"] != 1 || len(s.mails) != 1 {
		t.Errorf("rows: %v, %d mails; want one late row, and one mail with the other", s.counts.rows, len(s.mails))
	}
	if !s.held.Equal(day(3, 0)) {
		t.Errorf("the first day that is not closed is %v; want 3 March", s.held)
	}
}

func TestBouncedSuppressesTheAddress(t *testing.T) {
	s := ready(t, "bank.example")
	s.until(s.host("a"), day(3, 12), time.Hour)
	q, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	key, err := Key(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	token, err := key.Check(s.mails[0].from, "reports.receiver.example", s.now)
	if err != nil {
		t.Fatalf("the envelope sender of the mail: %v", err)
	}
	handle := Bounced(q, &s.counts)
	for _, b := range []bounce.Bounce{{Token: token}, {Token: token, Kind: bounce.Delayed}, {Token: "nobody", Kind: bounce.Failed}} {
		if err := handle(t.Context(), b); err != nil || len(s.counts.deliveries) != 1 {
			t.Errorf("bounce %+v: %v, counted %v; want it to change nothing", b, err, s.counts.deliveries)
		}
	}
	for range 2 {
		if err := handle(t.Context(), bounce.Bounce{Token: token, Kind: bounce.Failed, Status: "5.1.1", Text: "no such user"}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := q.Suppressing(t.Context())
	if err != nil || len(list) != 1 || list[0].What != "dmarc@bank.example" || list[0].Strikes != 1 {
		t.Errorf("suppressed: %+v, %v; want the address, once", list, err)
	}
}

func TestTurnHoldsWhatARestoredQueueMayHaveSent(t *testing.T) {
	s := ready(t, "bank.example")
	s.until(s.host("a"), day(3, 12), time.Hour)
	s.path += ".older" // a queue that knows nothing of the mail
	s.until(s.host("b"), day(4, 0), time.Hour)
	if len(s.mails) != 1 {
		t.Errorf("%d mails; want no second one after the queue was lost", len(s.mails))
	}
}

func TestTurnKeepsTheCapOfADay(t *testing.T) {
	s := ready(t, "a.example", "b.example", "c.example", "d.example", "e.example")
	s.set.Gate.Caps.PerDay = 2
	s.until(s.host("a"), day(3, 8), time.Hour)
	s.until(s.host("restarted"), day(3, 16), time.Hour)
	if len(s.mails) != 2 {
		t.Errorf("%d mails; want the 2 of the cap, also after a restart", len(s.mails))
	}
	if held := s.reports(queue.Filter{State: queue.Withheld, Why: "day_cap"}); len(held) != 3 {
		t.Errorf("%d reports held back as day_cap; want 3", len(held))
	}
}

func TestTurnSlowsDownAtTheCapOfAMinute(t *testing.T) {
	s := ready(t, "a.example", "b.example", "c.example")
	s.set.Gate.Caps.PerMinute = 1
	h := s.host("a")
	s.until(h, day(3, 12), 3*time.Hour)
	if len(s.mails) != 3 {
		t.Errorf("%d mails; want all 3, one in each turn", len(s.mails))
	}
}

func TestTurnSplitsWhatIsTooLarge(t *testing.T) {
	s := ready(t, "bank.example")
	for i := range 60 {
		s.receives(day(2, 0).Add(time.Duration(i)*20*time.Minute), "bank.example")
		s.rows[len(s.rows)-1].Facts.Client = netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
	}
	s.set.Limits.Expanded = 12_000
	s.until(s.host("a"), day(3, 12), time.Hour)
	var messages int64
	end := day(2, 0)
	reports := s.reports(queue.Filter{PolicyDomain: "bank.example", State: queue.Done})
	slices.SortFunc(reports, func(a, b queue.Report) int { return a.Begin.Compare(b.Begin) })
	for _, r := range reports {
		if !r.Begin.Equal(end) {
			t.Errorf("a part begins at %v; want the end of the part before, %v", r.Begin, end)
		}
		end = r.End
		messages += r.Messages
	}
	if messages != 61 || len(reports) < 2 || len(s.mails) != len(reports) {
		t.Errorf("%d parts with %d messages, %d mails; want all 61 messages, one mail for each part", len(reports), messages, len(s.mails))
	}
}

func TestTurnSendsNothingToASuppressedAddress(t *testing.T) {
	s := ready(t, "bank.example", "shop.example")
	q, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for _, x := range []queue.Suppression{
		{Kind: queue.SuppressAddr, What: "dmarc@bank.example", Source: queue.FromPerson}, {Kind: queue.SuppressDomain, What: "shop.example", Source: queue.FromPerson},
	} {
		if err := q.Suppress(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	s.until(s.host("a"), day(3, 12), time.Hour)
	if len(s.mails) != 0 || s.opened > 1 {
		t.Errorf("%d mails; want none", len(s.mails))
	}
	if d := s.reports(queue.Filter{PolicyDomain: "bank.example"})[0].Deliveries[0]; d.State != queue.Suppressed {
		t.Errorf("the delivery to a suppressed address is %s; want suppressed", d.State)
	}
	if got := s.whys("shop.example"); len(got) == 0 || got[0] != "2 withheld suppressed" {
		t.Errorf("reports about a suppressed domain: %q; want them held back", got)
	}
}

// Every word of the rooms below is on the closed lists of the metrics.
func TestMetricsKnowTheWordsOfReports(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := metrics.New(registry, nil)
	for _, why := range []gate.Why{
		gate.Open, gate.SendingOff, gate.SettingsMissing, gate.Unverified, gate.Paused, gate.OwnDomain, gate.NotListed, gate.Suppressed, gate.TooNew, gate.NoRelation, gate.ReportTraffic,
	} {
		m.ReportPlanned(string(why), 1)
		m.ReportRows(cmp.Or(string(why), "reported"), 1)
	}
	for _, why := range []string{"late", "lost", leftUnreported, leftUnreportable, leftNoRUA, string(gate.BadAddress)} {
		m.ReportRows(why, 1)
	}
	for _, state := range []queue.DeliveryState{queue.Due, queue.Sent, queue.Refused, queue.Expired, queue.Suppressed, queue.Unauthorized, queue.DeliveryGone, queue.DeliveryHeld} {
		m.ReportDelivery(string(state), "bounce")
	}
	for _, state := range []string{metrics.ReportsOff, metrics.ReportsWorking, metrics.ReportsFailing} {
		m.ReportWork(state)
	}
	for _, o := range []deliver.Outcome{
		{Class: deliver.Sent}, {Code: 450}, {Code: 554, Class: deliver.Refused}, {Phase: deliver.StartTLS}, {Phase: deliver.Connect},
	} {
		m.ReportDelivery("due", class(o))
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, series := range f.GetMetric() {
			for _, l := range series.GetLabel() {
				if l.GetValue() == "other" && strings.HasPrefix(f.GetName(), "dmarcgate_report") {
					t.Errorf("%s has a series %s = other; want each word on the closed list", f.GetName(), l.GetName())
				}
			}
		}
	}
}
