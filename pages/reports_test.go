package pages

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dmarcgate/report/queue"
	"dmarcgate/report/queue/file"
)

// reporting is a queue of reports in a file, read as the daemon reads it.
type reporting struct {
	path string
	err  error // of the queue
}

func (r *reporting) Problem() error { return nil }

func (r *reporting) Overview(ctx context.Context, days, lines int) (*queue.Overview, error) {
	if r.err != nil {
		return nil, r.err
	}
	q, err := file.Read(ctx, r.path)
	if err != nil {
		return nil, err
	}
	o, err := q.Overview(ctx, days, lines)
	return &o, errors.Join(err, q.Close())
}

// newReporting makes a queue: a week of days, and mails of yesterday's reports that were
// sent, refused, bounced, deferred or held back. Texts are hostile.
func newReporting(t *testing.T, dir string) *reporting {
	t.Helper()
	r := &reporting{path: filepath.Join(dir, "reports.db")}
	now := noon.AddDate(0, 0, -20)
	q, err := file.Open(t.Context(), file.Options{Path: r.path, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	f := filling{t, q}
	_, err = queue.Enable(t.Context(), q, queue.Notes{}, now)
	f.ok(err)
	now = noon.Truncate(queue.Day).Add(20 * time.Minute)
	yesterday := noon.Truncate(queue.Day).AddDate(0, 0, -1)
	f.plan(yesterday, now)
	for n := 2; n < 9; n++ {
		_, err := q.CloseDay(t.Context(), queue.Run{Day: yesterday.AddDate(0, 0, 1-n), WaitedFor: []string{hostile}, Lost: int64(n)})
		f.ok(err)
	}
	now = now.Add(time.Hour)
	f.deliver(now)
	f.ok(queue.NoteCheck(t.Context(), q, now, hostile))
	f.ok(q.Suppress(t.Context(), queue.Suppression{Kind: queue.SuppressHost, What: "slow.example", Source: queue.FromPerson, Reason: hostile, Until: noon.AddDate(0, 0, 30)}))
	r.exec(t, "UPDATE delivery SET text = ?1, enhanced = ?1, rcpt_key = rcpt_key || ?1, why = why || CASE WHEN state = 'due' THEN ?1 ELSE '' END WHERE state <> 'sent'", hostile)
	r.exec(t, "UPDATE report SET policy_domain = ?1 || policy_domain, why = ?1 WHERE policy_domain IN ('d0.example', 'd3.example', 'd8.example')", hostile)
	r.exec(t, "UPDATE suppression SET reason = ?1", hostile)
	return r
}

// exec changes the queue behind its back.
func (r *reporting) exec(t *testing.T, text string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+r.path+"?_pragma=busy_timeout(5000)&_pragma=synchronous(OFF)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(text, args...); err != nil {
		t.Fatal(err)
	}
}

// fill adds reports of 400 days, one in six with a mail, and one mail in ten refused.
func (r *reporting) fill(t *testing.T, reports int) {
	t.Helper()
	r.exec(t, `WITH n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
		INSERT INTO report SELECT printf('%032x', i), kind, 'd' || i || '.example', begin_at - 86400000 * (i % 400), end_at - 86400000 * (i % 400), 'h', form,
			CASE WHEN i % 6 THEN 'withheld' ELSE 'done' END, CASE i % 6 WHEN 0 THEN '' WHEN 1 THEN 'too_new' ELSE 'no_relation' END, rows, messages, records, size, sha256, created, '', NULL, next_try
		FROM n JOIN report ON id = printf('%032x', 0)`, reports)
	r.exec(t, `WITH n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
		INSERT INTO delivery SELECT i + 1000, printf('%032x', i), 'dmarc@d' || i || '.example', rcpt_host, uri, via, CASE WHEN i % 60 THEN 'sent' ELSE 'refused' END, CASE WHEN i % 60 THEN '' ELSE '5xx' END,
			1, next_try - 86400000 * (i % 400), first_try, 250, '', '', '', '', 0
		FROM n JOIN delivery ON report = printf('%032x', 0) WHERE i % 6 = 0`, reports)
	r.exec(t, `WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 / 60)
		INSERT INTO suppression SELECT 'addr', 'dmarc@d' || i || '.example', 'no such user', 'bounce', ?2 - i * 1000, CASE WHEN i % 2 THEN ?2 + 1000 END, 1 FROM n`, reports, noon.UnixMilli())
}

// filling fills a queue.
type filling struct {
	t *testing.T
	queue.Store
}

func (f filling) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// plan plans 9 reports, of which a gate holds two back.
func (f filling) plan(day, due time.Time) {
	f.t.Helper()
	ctx := f.t.Context()
	var plan queue.Plan
	for n := range 9 {
		p := queue.Report{
			ID: fmt.Sprintf("%032x", n), Kind: queue.Aggregate, PolicyDomain: fmt.Sprintf("d%d.example", n), Begin: day, End: day.Add(queue.Day), PolicyHash: "h", Form: "rfc9990", Messages: 3,
		}
		if n < 7 {
			p.Deliveries = []queue.Delivery{{Key: "dmarc@" + p.PolicyDomain, URI: "mailto:dmarc@" + p.PolicyDomain, Host: p.PolicyDomain, NextTry: due.Add(time.Duration(n) * time.Minute), VERP: fmt.Sprint("v", n)}}
		} else {
			p.State, p.Why = queue.Withheld, "too_new"
		}
		plan.Reports = append(plan.Reports, p)
	}
	plan.LeftOut = map[string]int64{"no_rua": 12_345, hostile: 1}
	_, err := f.CloseDay(ctx, queue.Run{Day: day})
	f.ok(err)
	_, err = f.TakeDay(ctx, "test")
	f.ok(err)
	_, err = f.Plan(ctx, "test", day, plan)
	f.ok(err)
}

// deliver makes an attempt for five of the mails.
func (f filling) deliver(now time.Time) {
	f.t.Helper()
	ctx := f.t.Context()
	taken, err := f.Take(ctx, "test", queue.Planned, 9)
	f.ok(err)
	for _, p := range taken {
		f.ok(f.StoreBody(ctx, "test", p.ID, queue.Body{Gzip: []byte("x"), Records: 1}))
	}
	refused := queue.Outcome{State: queue.Refused, Why: "5xx", Code: 550, Text: "no such user", Strike: &queue.Strike{Kind: queue.SuppressAddr, What: "dmarc@d0.example", Reason: "no such user", Source: queue.FromBounce}}
	deferred := queue.Outcome{State: queue.Due, Why: "4xx", Code: 450, Text: "later", NextTry: now.Add(9 * time.Hour)}
	for n, o := range []queue.Outcome{refused, {State: queue.Sent, Code: 250}, {State: queue.Sent, Code: 250}, deferred, {State: queue.Expired, Why: "conn", Text: "no route to host"}} {
		found, err := f.Find(ctx, queue.Filter{ID: fmt.Sprintf("%032x", n)})
		f.ok(err)
		a, err := f.Begin(ctx, "test", queue.Begin{Delivery: found[0].Deliveries[0].ID, Sender: "test", Bytes: 9})
		f.ok(err)
		f.ok(f.Settle(ctx, "test", a, o))
	}
	_, err = f.Bounce(ctx, "v2", queue.Outcome{Why: "bounce", Text: "mailbox full"})
	f.ok(err)
}

func TestReportsPageShowsWhatAnOperatorAsksFirst(t *testing.T) {
	f := newFixture(t)
	text := ask(free(f.Source), "GET", "/reports").Body.String()
	for _, want := range []string{
		">off</p>", "[reports] send is false", "not made while sending is off", ">2026-11-29</p>", "3 mails to send, next attempt 2026-11-30 00:25",
		"no_rua 12\u202f345", "too_new", ">bounce<", "expired (conn)", "refused (5xx)", "host:slow.example", "2026-12-30 12:00", "00000000000000000000000000000004", "&lt;U&#43;202E&gt;",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
}

func TestReportsPageSaysWhyTheQueueIsMissing(t *testing.T) {
	f := newFixture(t)
	for want, r := range map[string]Reports{
		"did not answer within 1 second": &reporting{err: context.DeadlineExceeded},
		"connection refused":             &reporting{err: errors.New("connection refused")},
		"There is no queue of reports":   none{},
		"nothing is recorded":            nil,
	} {
		f.Source.Reports = r
		if text := ask(free(f.Source), "GET", "/reports").Body.String(); !strings.Contains(text, want) || !strings.Contains(text, "</html>") {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
}

// none is a daemon that has never sent reports.
type none struct{}

func (none) Problem() error { return nil }
func (none) Overview(context.Context, int, int) (*queue.Overview, error) {
	return nil, nil
}
