package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dmarcgate/config"
	"dmarcgate/report/gate"
	"dmarcgate/report/queue"
)

// Reports is the page of aggregate reports.
type Reports struct {
	Lights     []Light
	Note       string // why the queue is not shown; "" when it is
	Days       []ReportDay
	States     []Counted // of reports
	Mails      []Counted
	Failed     []ReportMail
	Next       []ReportMail
	Suppressed []Suppressed
	LeftOut    string // how many suppressions are not shown; "" for none
}

// ReportDay is a UTC day with reports.
type ReportDay struct{ Day, State, Class, Late, Lost, WaitedFor, LeftOut string }

// Counted is a state with its reason and how often it is.
type Counted struct {
	State, Why string
	N          Bar
}

// ReportMail is one mail with a report.
type ReportMail struct{ When, Domain, To, State, Class, Attempts, Reply, Report string }

// Suppressed is to whom, or about which domain, no reports are sent.
type Suppressed struct{ What, Since, Until, Source, Strikes, Reason string }

// ReportFacts is what the page is made of.
type ReportFacts struct {
	Settings config.Reports
	Unusable string          // why nothing can be sent with the settings; "" when they can be used
	Queue    *queue.Overview // nil when there is none, or when it cannot be read
	Problem  string          // why the queue cannot be read; "" when it can
}

// The ages that an alert takes for a fault, too (deploy/prometheus): of the begin of the
// last closed day at 08:00 UTC when yesterday is not closed, and of a mail that is due.
const (
	lateDay  = 56 * time.Hour
	lateMail = 24 * time.Hour
)

// ReportsOf makes the page.
func ReportsOf(f ReportFacts) Reports {
	v := Reports{Lights: []Light{sendingLight(f)}, Note: f.Problem}
	if f.Queue == nil {
		if v.Note == "" {
			v.Note = "There is no queue of reports: the daemon makes one when sending is switched on."
		}
		return v
	}
	v.Lights = append(v.Lights, identityLight(f), dayLight(f.Queue), mailLight(f.Queue))
	for _, d := range f.Queue.Days {
		v.Days = append(v.Days, reportDay(d))
	}
	v.States, v.Mails = counted(f.Queue.Reports), counted(f.Queue.Mails)
	v.Failed, v.Next = reportMails(f.Queue.Failed), reportMails(f.Queue.Next)
	for _, s := range f.Queue.Suppressed {
		v.Suppressed = append(v.Suppressed, suppressedOf(s))
	}
	if more := f.Queue.Suppressing - int64(len(f.Queue.Suppressed)); more > 0 {
		v.LeftOut = Number(more)
	}
	return v
}

// sendingLight says whether mails leave, by the first thing that keeps them.
func sendingLight(f ReportFacts) Light {
	l := Light{Name: "Sending"}
	missing := f.Settings.Missing()
	switch q := f.Queue; {
	case !f.Settings.Send:
		l.Text, l.More = "off", []string{"[reports] send is false"}
	case len(missing) > 0:
		l.Level, l.Text, l.More = Warn, "nothing is sent", []string{"not set in [reports]: " + Shown(strings.Join(missing, ", "))}
	case f.Unusable != "":
		l.Level, l.Text, l.More = Bad, "nothing is sent", []string{f.Unusable}
	case q == nil && f.Problem != "":
		l.Level, l.Text = Bad, "not known: the queue cannot be read"
	case q == nil:
		l.Text = "begins within a minute"
	case q.Notes.Checked.IsZero() || q.Now.Sub(q.Notes.Checked) >= gate.MaxVerifiedAge:
		l.Level, l.Text = Warn, "mails wait for the identity check"
	case q.Notes.Problem != "":
		l.Level, l.Text, l.More = Warn, "the last identity check failed", []string{"no mail leaves from a day after the last success on"}
	case q.Notes.Paused != "":
		l.Level, l.Text, l.More = Warn, "paused", []string{Shown(q.Notes.Paused), "dmarcgate reports resume ends the pause"}
	case dryUntil(f).After(q.Now):
		l.Text, l.More = "dry run until "+Moment(dryUntil(f)), []string{"nothing is sent until then"}
	default:
		l.Text = "on"
		l.More = []string{fmt.Sprintf("today %s of %s mails, %s of %s new hosts", Number(q.SentToday), Number(int64(f.Settings.MaxPerDay)), Number(q.NewToday), Number(int64(f.Settings.MaxNewHosts)))}
	}
	return l
}

// dryUntil is the end of the dry run.
func dryUntil(f ReportFacts) time.Time {
	if f.Queue.Notes.Enabled.IsZero() {
		return f.Queue.Now.Add(f.Settings.DryRun.Std())
	}
	return f.Queue.Notes.Enabled.Add(f.Settings.DryRun.Std())
}

// identityLight is the last check of any host that shares the queue.
func identityLight(f ReportFacts) Light {
	l := Light{Name: "Identity check"}
	switch n := f.Queue.Notes; {
	case !f.Settings.Send:
		l.Text, l.More = "not made while sending is off", []string{"dmarcgate doctor makes the check"}
	case n.Checked.IsZero():
		l.Text = "not made yet"
	case n.Problem != "":
		l.Level, l.Text = Bad, "failed "+Ago(f.Queue.Now, n.Checked)
		l.More = []string{Shown(n.Problem), "dmarcgate doctor shows the fix"}
	default:
		l.Text = "succeeded " + Ago(f.Queue.Now, n.Checked)
	}
	return l
}

func dayLight(q *queue.Overview) Light {
	l := Light{Name: "Last closed day", Text: "none yet"}
	closed := slices.IndexFunc(q.Days, func(d queue.Run) bool { return d.State != queue.Open })
	if closed >= 0 {
		last := q.Days[closed].Day
		l.Text = day(last)
		if q.Now.Sub(last) > lateDay {
			l.Level, l.More = Warn, []string{"a later day is over and not closed"}
		}
	}
	var late, lost int64
	for _, d := range q.Days {
		late, lost = late+d.Late, lost+d.Lost
	}
	if lost > 0 {
		l.Level = Warn
		l.More = append(l.More, count(lost, "message")+" lost before their day was closed")
	}
	if late > 0 {
		l.More = append(l.More, count(late, "message")+" stored after their day was closed")
	}
	return l
}

func mailLight(q *queue.Overview) Light {
	l := Light{Name: "Mails", Text: "none waits"}
	var open int64
	for _, t := range q.Mails {
		if !queue.DeliveryState(t.State).Ended() {
			open += t.N
		}
	}
	if len(q.Next) > 0 {
		next := q.Next[0].NextTry
		l.Text = count(open, "mail") + " to send, next attempt " + Moment(next)
		if q.Notes.Paused == "" && q.Now.Sub(next) > lateMail {
			l.Level, l.More = Warn, []string{"due for more than a day"}
		}
	}
	for _, t := range q.Reports {
		if s := queue.State(t.State); s == queue.Failed || s == queue.Held {
			l.Level = Warn
			l.More = append(l.More, fmt.Sprintf("%s %s: dmarcgate reports list --state %s", count(t.N, "report"), s, s))
		}
	}
	return l
}

// maxWhys is how many reasons a day shows.
const maxWhys = 10

func reportDay(d queue.Run) ReportDay {
	v := ReportDay{
		Day: day(d.Day), State: withReason(string(d.State), d.Why), Late: Number(d.Late), Lost: Number(d.Lost), WaitedFor: orDash(strings.Join(d.WaitedFor, ", ")), LeftOut: "–",
	}
	if len(d.WaitedFor) > 0 || d.Lost > 0 {
		v.Class = "warn"
	}
	whys := slices.SortedFunc(maps.Keys(d.LeftOut), func(a, b string) int {
		return cmp.Or(cmp.Compare(d.LeftOut[b], d.LeftOut[a]), strings.Compare(a, b))
	})
	var words []string
	for _, why := range whys[:min(len(whys), maxWhys)] {
		words = append(words, Shown(why)+" "+Number(d.LeftOut[why]))
	}
	if len(whys) > maxWhys {
		words = append(words, "...")
	}
	if len(words) > 0 {
		v.LeftOut = strings.Join(words, ", ")
	}
	return v
}

// withReason is a state with its reason in brackets.
func withReason(state, why string) string {
	if why == "" || why == state {
		return Shown(state)
	}
	return Shown(state) + " (" + Shown(why) + ")"
}

func counted(list []queue.Tally) (out []Counted) {
	most := int64(0)
	for _, t := range list {
		most = max(most, t.N)
	}
	for _, t := range list {
		out = append(out, Counted{Shown(t.State), orDash(t.Why), barOf(t.N, most)})
	}
	return out
}

func reportMails(list []queue.Mail) (out []ReportMail) {
	for _, m := range list {
		reply := strings.TrimSpace(m.Enhanced + " " + m.Text)
		if m.Code > 0 {
			reply = fmt.Sprintf("%d %s", m.Code, reply)
		}
		v := ReportMail{
			When: Moment(m.NextTry), Domain: orDash(m.PolicyDomain), To: orDash(m.Key), State: withReason(string(m.State), m.Why),
			Attempts: Number(int64(m.Attempts)), Reply: orDash(reply), Report: orDash(m.Report),
		}
		switch m.State {
		case queue.Refused, queue.Expired:
			v.Class = "bad"
		case queue.Due:
			if m.Attempts > 0 {
				v.Class = "warn"
			}
		}
		out = append(out, v)
	}
	return out
}

func suppressedOf(s queue.Suppression) Suppressed {
	v := Suppressed{What: Shown(s.Kind + ":" + s.What), Since: Moment(s.Since), Until: "lifted by a person", Source: orDash(s.Source), Strikes: Number(int64(s.Strikes)), Reason: orDash(s.Reason)}
	if !s.Until.IsZero() {
		v.Until = Moment(s.Until)
	}
	return v
}
