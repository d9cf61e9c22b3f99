package view

import (
	"strings"
	"testing"
	"time"

	"dmarcgate/config"
	"dmarcgate/config/tomlfile"
	"dmarcgate/report/queue"
)

// sendingFacts are those of a site that sends reports and is well.
func sendingFacts() ReportFacts {
	return ReportFacts{
		Settings: config.Reports{
			Send: true, Organization: "R", Email: "dmarc@r.example", Submitter: "r.example", BounceDomain: "r.example", Selector: "r1", KeyFile: "/k", Smarthost: "h:25",
			DryRun: tomlfile.Duration(7 * queue.Day), MaxPerDay: 5000, MaxNewHosts: 50,
		},
		Queue: &queue.Overview{
			Now: noon, Notes: queue.Notes{Enabled: noon.Add(-8 * queue.Day), Checked: noon.Add(-time.Hour)}, Days: []queue.Run{{Day: noon.Truncate(queue.Day), State: queue.Open}, {Day: noon.Truncate(queue.Day).Add(-queue.Day), State: queue.RunPlanned}},
			SentToday: 1200, NewToday: 7,
		},
	}
}

func TestReportsOfSendingLightTellsTheFirstThingThatKeepsMails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*ReportFacts)
		want   string
	}{
		{"on", func(*ReportFacts) {}, "ok on: today 1\u202f200 of 5\u202f000 mails, 7 of 50 new hosts"},
		{"off wins", func(f *ReportFacts) { f.Settings.Send, f.Settings.Email, f.Queue.Notes.Paused = false, "", "x" }, "ok off: [reports] send is false"},
		{"keys missing", func(f *ReportFacts) { f.Settings.Selector, f.Queue = "", nil }, "warn nothing is sent: not set in [reports]: selector"},
		{"a key that cannot be read", func(f *ReportFacts) { f.Unusable = "permission denied" }, "bad nothing is sent: permission denied"},
		{"a queue that cannot be read", func(f *ReportFacts) { f.Queue, f.Problem = nil, "x" }, "bad not known: the queue cannot be read"},
		{"no queue yet", func(f *ReportFacts) { f.Queue = nil }, "ok begins within a minute"},
		{"never checked", func(f *ReportFacts) { f.Queue.Notes.Checked = time.Time{} }, "warn mails wait for the identity check"},
		{"checked too long ago", func(f *ReportFacts) { f.Queue.Notes.Checked = noon.Add(-24 * time.Hour) }, "warn mails wait for the identity check"},
		{"not verified", func(f *ReportFacts) { f.Queue.Notes.Problem = "x" }, "warn the last identity check failed: no mail leaves from a day after the last success on"},
		{"paused in the dry run", func(f *ReportFacts) { f.Queue.Notes.Paused, f.Queue.Notes.Enabled = "mail 554 listed\u202e", noon }, "warn paused: mail 554 listed<U+202E>, dmarcgate reports resume ends the pause"},
		{"dry run", func(f *ReportFacts) { f.Queue.Notes.Enabled = noon.Add(-6 * queue.Day) }, "ok dry run until 2026-12-01 12:00: nothing is sent until then"},
		{"dry run before the first turn", func(f *ReportFacts) { f.Queue.Notes.Enabled = time.Time{} }, "ok dry run until 2026-12-07 12:00: nothing is sent until then"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := sendingFacts()
			tt.change(&f)
			if got := lightText(ReportsOf(f).Lights[0]); got != tt.want {
				t.Errorf("the light is %q; want %q", got, tt.want)
			}
		})
	}
}

// lightText is a light as "level text: more, more".
func lightText(l Light) string {
	text := l.Level.String() + " " + l.Text
	if len(l.More) > 0 {
		text += ": " + strings.Join(l.More, ", ")
	}
	return text
}

func TestReportsOfLightsTellFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		light  int
		change func(*ReportFacts)
		want   string
	}{
		{"verified", 1, func(*ReportFacts) {}, "ok succeeded 1 hour ago"},
		{"not checked while off", 1, func(f *ReportFacts) { f.Settings.Send = false }, "ok not made while sending is off: dmarcgate doctor makes the check"},
		{"not checked yet", 1, func(f *ReportFacts) { f.Queue.Notes.Checked = time.Time{} }, "ok not made yet"},
		{"failed", 1, func(f *ReportFacts) { f.Queue.Notes.Problem = "selector: no key\u202e" }, "bad failed 1 hour ago: selector: no key<U+202E>, dmarcgate doctor shows the fix"},
		{"yesterday is closed", 2, func(*ReportFacts) {}, "ok 2026-11-29"},
		{"no day yet", 2, func(f *ReportFacts) { f.Queue.Days = nil }, "ok none yet"},
		{"yesterday is not closed at 08:00", 2, func(f *ReportFacts) { f.Queue.Days[1].Day = f.Queue.Days[1].Day.Add(-queue.Day) }, "warn 2026-11-28: a later day is over and not closed"},
		{"lost and late", 2, func(f *ReportFacts) { f.Queue.Days[1].Lost, f.Queue.Days[0].Late = 1, 2 }, "warn 2026-11-29: 1 message lost before their day was closed, 2 messages stored after their day was closed"},
		{"nothing waits", 3, func(*ReportFacts) {}, "ok none waits"},
		{"mails wait", 3, func(f *ReportFacts) {
			f.Queue.Mails = []queue.Tally{{State: "due", N: 4}, {State: "sent", N: 9}, {State: "trying", N: 1}}
			f.Queue.Next = []queue.Mail{{Delivery: queue.Delivery{NextTry: noon.Add(-24 * time.Hour)}}}
		}, "ok 5 mails to send, next attempt 2026-11-29 12:00"},
		{"overdue", 3, func(f *ReportFacts) {
			f.Queue.Next = []queue.Mail{{Delivery: queue.Delivery{NextTry: noon.Add(-25 * time.Hour)}}}
		}, "warn 0 mails to send, next attempt 2026-11-29 11:00: due for more than a day"},
		{"held", 3, func(f *ReportFacts) {
			f.Queue.Reports = []queue.Tally{{State: "held", Why: "restored", N: 2}, {State: "done", N: 9}}
		},
			"warn none waits: 2 reports held: dmarcgate reports list --state held"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := sendingFacts()
			tt.change(&f)
			if got := lightText(ReportsOf(f).Lights[tt.light]); got != tt.want {
				t.Errorf("the light is %q; want %q", got, tt.want)
			}
		})
	}
}

func TestReportsOfBoundsTheReasonsOfADay(t *testing.T) {
	f := sendingFacts()
	left := map[string]int64{"no_rua": 1000}
	for n := range 100 {
		left[strings.Repeat("x", n+1)] = 1
	}
	f.Queue.Days[1].LeftOut, f.Queue.Days[1].WaitedFor = left, []string{"mx2\u202e"}
	d := ReportsOf(f).Days[1]
	if !strings.HasPrefix(d.LeftOut, "no_rua 1\u202f000, x 1, ") || strings.Count(d.LeftOut, ",") != maxWhys || !strings.HasSuffix(d.LeftOut, ", ...") {
		t.Errorf("the day leaves out %q; want the most frequent reason first, and %d of them", d.LeftOut, maxWhys)
	}
	if d.WaitedFor != "mx2<U+202E>" || d.Class != "warn" {
		t.Errorf("the day waited for %q, marked %q", d.WaitedFor, d.Class)
	}
}
