package reports

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/internal/reporttest"
	"dmarcgate/report"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/file"
	"dmarcgate/report/xml"
	"dmarcgate/site"
)

const owner = "host-1-test"

// hostile is what a server may write into a reply.
const hostile = "\x1b[2J\u202e550 <script>"

// queued makes a configuration with a queue that has one report for each policy domain of
// a day, each with a document and a mail to its domain; the first mail was tried.
func queued(t *testing.T) (*config.Config, []queue.Report) {
	t.Helper()
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Store.Path, cfg.Admin.Control = filepath.Join(dir, "results.db"), filepath.Join(dir, "control.sock")
	q, err := file.Open(t.Context(), file.Options{Path: site.ReportQueue(&cfg), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	return &cfg, fill(t, q)
}

// fill puts the reports into a queue, and returns them.
func fill(t *testing.T, q queue.Store) []queue.Report {
	t.Helper()
	ctx, day := t.Context(), reporttest.Day.Begin
	bodies := map[string]queue.Body{}
	plan := queue.Plan{LeftOut: map[string]int64{"no_rua": 3}}
	maker := xml.Maker{Builder: reporttest.Builder(t.TempDir()), Forms: func(*report.Report) []report.Form { return []report.Form{report.RFC9990} }}
	_, err := maker.Make(ctx, reporttest.Scan(reporttest.Rows(7, 300)), reporttest.Day, func(d xml.Document) error {
		r := d.Report
		bodies[r.ID] = queue.Body{Gzip: bytes.Clone(d.Body), Records: r.Rows}
		plan.Reports = append(plan.Reports, queue.Report{
			ID: r.ID, Kind: queue.Aggregate, PolicyDomain: r.PolicyDomain, Begin: r.Period.Begin, End: r.Period.End, PolicyHash: r.PolicyHash,
			Form: string(r.Form), Rows: r.Rows, Messages: r.Messages,
			Deliveries: []queue.Delivery{{Key: "rua@" + r.PolicyDomain, URI: "mailto:Rua@" + r.PolicyDomain, Via: "internal", Host: r.PolicyDomain, NextTry: day, VERP: "abcdefghijklmnopqrst"}},
		})
		return nil
	})
	steps := []func() error{
		func() error { return err },
		func() error { _, err := q.CloseDay(ctx, queue.Run{Day: day, WaitedFor: []string{hostile}}); return err },
		func() error { _, err := q.TakeDay(ctx, owner); return err },
		func() error { _, err := q.Plan(ctx, owner, day, plan); return err },
		func() error {
			taken, err := q.Take(ctx, owner, queue.Planned, 1000)
			for _, r := range taken {
				if err == nil {
					err = q.StoreBody(ctx, owner, r.ID, bodies[r.ID])
				}
			}
			return err
		},
	}
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	found, err := q.Find(ctx, queue.Filter{})
	if err != nil || len(found) < 2 {
		t.Fatalf("Find() = %d reports, %v; want some", len(found), err)
	}
	a, err := q.Begin(ctx, owner, queue.Begin{Delivery: found[0].Deliveries[0].ID, Sender: "sender"})
	if err == nil {
		err = q.Settle(ctx, owner, a, queue.Outcome{State: queue.Due, Why: "4xx", NextTry: time.Now().Add(time.Hour), Host: "mx.example", Code: 450, Enhanced: "4.2.0", Text: hostile})
	}
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// printable reports whether a text has nothing that a terminal acts on.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' && (r < ' ' || r == 0x7f || r >= 0x80 && !strings.ContainsRune("├└│─", r))
	})
}

// printed is what a command prints.
func printed(t *testing.T, f func(out *bytes.Buffer) error) string {
	t.Helper()
	var out bytes.Buffer
	if err := f(&out); err != nil {
		t.Fatalf("error %v after %q", err, out.String())
	}
	if !printable(out.String()) {
		t.Errorf("the output has control characters: %q", out.String())
	}
	return out.String()
}

func TestListChoosesByEachField(t *testing.T) {
	cfg, all := queued(t)
	first := all[0]
	for _, tt := range []struct {
		name string
		o    ListOptions
		want int
	}{
		{"all", ListOptions{}, len(all)},
		{"day", ListOptions{Day: Day{reporttest.Day.Begin}}, len(all)},
		{"another day", ListOptions{Day: Day{reporttest.Day.End}}, 0},
		{"domain", ListOptions{Domain: Domain(first.PolicyDomain)}, count(all, func(r queue.Report) bool { return r.PolicyDomain == first.PolicyDomain })},
		{"state of a report", ListOptions{State: "ready"}, len(all)},
		{"state of a mail", ListOptions{State: "due"}, len(all)},
		{"state without reports", ListOptions{State: "sent"}, 0},
		{"reason of a mail", ListOptions{Why: "4xx"}, 1},
		{"limit", ListOptions{Limit: 1}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.JSON = true
			if tt.o.Limit == 0 {
				tt.o.Limit = 1000
			}
			var list []summary
			if err := json.Unmarshal([]byte(printed(t, func(out *bytes.Buffer) error { return List(t.Context(), out, cfg, tt.o) })), &list); err != nil || len(list) != tt.want {
				t.Errorf("List() has %d reports, %v; want %d", len(list), err, tt.want)
			}
		})
	}
	out := printed(t, func(out *bytes.Buffer) error { return List(t.Context(), out, cfg, ListOptions{Limit: 1}) })
	if !strings.Contains(out, first.ID) || !strings.Contains(out, "1 due (4xx)") || !strings.Contains(out, "there are more") {
		t.Errorf("List() prints\n%s\nwant the first report, its mail, and that there are more", out)
	}
}

func count(all []queue.Report, f func(queue.Report) bool) (n int) {
	for _, r := range all {
		if f(r) {
			n++
		}
	}
	return n
}

func TestShowHasDeliveriesRepliesAndDocument(t *testing.T) {
	cfg, all := queued(t)
	out := printed(t, func(out *bytes.Buffer) error {
		return Show(t.Context(), out, out, cfg, ShowOptions{ID: strings.ToUpper(all[0].ID), Attempts: true})
	})
	for _, want := range []string{"report " + all[0].ID + ": ready", "to rua@" + all[0].PolicyDomain + ": due (4xx)", "last reply: 450 4.2.0", "attempt 1, ", "by " + owner, "report about " + all[0].PolicyDomain, "CLIENT"} {
		if !strings.Contains(out, want) {
			t.Errorf("Show() lacks %q:\n%s", want, out)
		}
	}
	var got shown
	text := printed(t, func(out *bytes.Buffer) error {
		return Show(t.Context(), out, out, cfg, ShowOptions{ID: all[0].ID, JSON: true, Attempts: true})
	})
	if err := json.Unmarshal([]byte(text), &got); err != nil || got.Document == nil || got.Document.Messages != all[0].Messages || len(got.Deliveries[0].Tried) != 1 {
		t.Errorf("Show() with JSON = %s, %v; want document and attempt", text, err)
	}
	var b bytes.Buffer
	if err := Show(t.Context(), &b, &b, cfg, ShowOptions{ID: "0123"}); err == nil || !strings.Contains(err.Error(), "reports list") {
		t.Errorf("Show() of an unknown ID: %v; want how to find one", err)
	}
}

func TestShowPrintsDocumentAndMail(t *testing.T) {
	cfg, all := queued(t)
	var doc, text, warn bytes.Buffer
	if err := Show(t.Context(), &doc, &warn, cfg, ShowOptions{ID: all[0].ID, XML: true}); err != nil {
		t.Fatal(err)
	}
	if r, err := xml.Read(bytes.NewReader(doc.Bytes()), func(*report.Record) error { return nil }); err != nil || r.ID != all[0].ID {
		t.Errorf("--xml prints %v, %v; want the document", r, err)
	}
	cfg.Reports.BounceDomain = "bounce.example"
	if err := Show(t.Context(), &text, &warn, cfg, ShowOptions{ID: all[0].ID, Mail: true, To: "RUA@" + all[0].PolicyDomain}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"To: Rua@" + all[0].PolicyDomain, "Subject: Report Domain: " + all[0].PolicyDomain, all[0].ID} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("--mail lacks %q:\n%.800s", want, text.String())
		}
	}
	for _, want := range []string{"MAIL FROM <b+abcdefghijklmnopqrst@bounce.example>", "without a signature"} {
		if !strings.Contains(warn.String(), want) {
			t.Errorf("--mail tells %q; want %q", warn.String(), want)
		}
	}
	if err := Show(t.Context(), &text, &warn, cfg, ShowOptions{ID: all[0].ID, Mail: true, To: "x@other.example"}); err == nil {
		t.Error("--to with an address that the report does not go to: no error")
	}
}

func TestStatusSaysWhatKeepsReports(t *testing.T) {
	cfg, all := queued(t)
	ctx := t.Context()
	show := func() string {
		return printed(t, func(out *bytes.Buffer) error { return Status(ctx, out, cfg, false) })
	}
	if out := show(); !strings.Contains(out, "[reports] send is false") || !strings.Contains(out, "closed without the rows of") || !strings.Contains(out, "3 no_rua") {
		t.Errorf("Status() = %s", out)
	}
	cfg.Reports.Send = true
	if out := show(); !strings.Contains(out, "not set: reports.organization, ") {
		t.Errorf("Status() = %s; want the missing keys", out)
	}
	order := func(o queue.Order) {
		t.Helper()
		var out, warn bytes.Buffer
		if err := Change(ctx, &out, &warn, cfg, ChangeOptions{Order: o}); err != nil || !strings.Contains(warn.String(), "no daemon answers") {
			t.Fatalf("Change(%v) = %v, %q; want that the queue is changed here", o.Do, err, warn.String())
		}
	}
	order(queue.Order{Do: queue.PauseSending, Why: hostile})
	x, err := Target{}.Suppression(0, "test")
	if err != nil {
		t.Fatal(err)
	}
	x.Kind, x.What = queue.SuppressHost, "mx.example"
	order(queue.Order{Do: queue.Suppress, Suppression: x})
	r := &cfg.Reports
	r.Organization, r.Email, r.Submitter, r.BounceDomain, r.Selector, r.KeyFile, r.Smarthost = "X", "d@r.example", "r.example", "r.example", "s", "/k", "127.0.0.1:25"
	if out := show(); !strings.Contains(out, "SENDING IS PAUSED") || !strings.Contains(out, "host:mx.example, until it is lifted, by manual: test") {
		t.Errorf("Status() = %s; want pause and suppression", out)
	}
	order(queue.Order{Do: queue.ResumeAgain})
	for _, tt := range []struct {
		problem string
		want    []string
	}{
		{"never", []string{"switched on; the identity was not checked yet"}},
		{"selector: no key at " + hostile, []string{"the last identity check FAILED", "identity check: FAILED 2026-11-22", "selector: no key at "}},
		{"", []string{"sending is switched on", "identity check: passed 2026-11-22"}},
	} {
		if tt.problem != "never" {
			notesCheck(t, cfg, tt.problem)
		}
		out := show()
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("Status() = %s; want %q", out, want)
			}
		}
	}
	var got status
	if err := json.Unmarshal([]byte(printed(t, func(out *bytes.Buffer) error { return Status(ctx, out, cfg, true) })), &got); err != nil || got.Reports["ready"] != int64(len(all)) || len(got.Suppression) != 1 {
		t.Errorf("Status() with JSON = %+v, %v", got, err)
	}
}

// notesCheck notes what a daemon notes after an identity check.
func notesCheck(t *testing.T, cfg *config.Config, problem string) {
	t.Helper()
	q, err := file.Open(t.Context(), file.Options{Path: site.ReportQueue(cfg), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := queue.NoteCheck(t.Context(), q, time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC), problem); err != nil {
		t.Fatal(err)
	}
}

func TestCommandsWithoutQueueSaySo(t *testing.T) {
	cfg := config.Default()
	cfg.Store.Path, cfg.Admin.Control = filepath.Join(t.TempDir(), "results.db"), filepath.Join(t.TempDir(), "control.sock")
	var out bytes.Buffer
	if err := Status(t.Context(), &out, &cfg, false); err != nil || !strings.Contains(out.String(), "no queue of reports yet") {
		t.Errorf("Status() = %v, %s; want that there is no queue", err, out.String())
	}
	if err := List(t.Context(), &out, &cfg, ListOptions{}); err != errNoQueue {
		t.Errorf("List() = %v; want %v", err, errNoQueue)
	}
	if err := Change(t.Context(), &out, &out, &cfg, ChangeOptions{Order: queue.Order{Do: queue.ResumeAgain}}); err != errNoQueue {
		t.Errorf("Change() = %v; want %v", err, errNoQueue)
	}
}

// orders is a daemon that takes orders.
type orders struct {
	got []queue.Order
	err error
}

func (o *orders) Order(_ context.Context, order queue.Order) error {
	o.got = append(o.got, order)
	return o.err
}

// daemon serves the control socket of a configuration.
func daemon(t *testing.T, cfg *config.Config, r admin.Reports) {
	t.Helper()
	l, err := net.Listen("unix", cfg.Admin.Control)
	if err != nil {
		t.Fatal(err)
	}
	srv := admin.NewControl(admin.Control{Reports: r})
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
}

func TestChangeAsksTheDaemonFirst(t *testing.T) {
	cfg, all := queued(t)
	d := &orders{}
	daemon(t, cfg, d)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	sent := []queue.Order{
		{Do: queue.SendNow, ID: all[0].ID}, {Do: queue.ReopenDay, Day: reporttest.Day.Begin},
		{Do: queue.Suppress, Suppression: queue.Suppression{Kind: "addr", What: "a@b.example", Reason: "x", Source: queue.FromPerson, Until: until}},
	}
	for _, o := range sent {
		var out, warn bytes.Buffer
		if err := Change(t.Context(), &out, &warn, cfg, ChangeOptions{Order: o}); err != nil || warn.Len() > 0 || out.Len() == 0 {
			t.Errorf("Change(%v) = %v, %q, %q; want an answer, and no warning", o.Do, err, out.String(), warn.String())
		}
	}
	if !slices.Equal(d.got, sent) {
		t.Errorf("the daemon got %+v; want %+v", d.got, sent)
	}
	var out bytes.Buffer
	if err := Change(t.Context(), &out, &out, cfg, ChangeOptions{Order: queue.Order{Do: queue.PauseSending, Why: "test"}}); err != nil || !strings.Contains(d.got[3].Why, "test") || !strings.Contains(d.got[3].Why, "uid") && !strings.Contains(d.got[3].Why, "root") {
		t.Errorf("pause = %v, %q; want who ordered it, as the kernel says", err, d.got[3].Why)
	}
	d.err = queue.ErrUnknown
	if err := Change(t.Context(), &out, &out, cfg, ChangeOptions{Order: sent[0]}); err == nil || !strings.Contains(err.Error(), queue.ErrUnknown.Error()) {
		t.Errorf("Change() = %v; want the error of the daemon", err)
	}
}

func TestChangeWithADaemonThatSendsNoReportsChangesTheQueue(t *testing.T) {
	cfg, all := queued(t)
	daemon(t, cfg, nil)
	var out, warn bytes.Buffer
	if err := Change(t.Context(), &out, &warn, cfg, ChangeOptions{Order: queue.Order{Do: queue.SendNow, ID: all[0].ID}, JSON: true}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(warn.String(), "sends no reports") || strings.TrimSpace(out.String()) != `{"done":"send_now"}` {
		t.Errorf("Change() prints %q and tells %q", out.String(), warn.String())
	}
	q, err := openToRead(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	found, err := q.Find(t.Context(), queue.Filter{ID: all[0].ID})
	if err != nil || found[0].Deliveries[0].NextTry.After(time.Now()) {
		t.Errorf("the mail is due at %v, %v; want now", found[0].Deliveries[0].NextTry, err)
	}
	if err := q.SetNote(t.Context(), "x", "y"); err == nil {
		t.Error("a queue that was opened to be read takes a note")
	}
}

func TestTargetAndDayOfCommandLines(t *testing.T) {
	for text, want := range map[string]string{"addr:DMARC@Bank.Example": "addr:dmarc@bank.example", "host:Bank.example": "host:bank.example", "domain:bank.example": "domain:bank.example", "bank.example": "", "addr:bank.example": ""} {
		var got Target
		if err := got.UnmarshalText([]byte(text)); (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("Target %q = %v, %v; want %q", text, got, err, want)
		}
	}
	if _, err := (Target{}).Suppression(MaxSuppression+1, ""); err == nil {
		t.Error("a suppression longer than MaxSuppression: no error")
	}
	now := time.Date(2026, 3, 1, 0, 30, 0, 0, time.FixedZone("east", 2*3600)) // 28 February in UTC
	for text, want := range map[string]string{"yesterday": "2026-02-27", "today": "2026-02-28", "2026-01-02": "2026-01-02", "tomorrow": "", "2026-13-01": ""} {
		var d Day
		if err := d.read(text, now); (err == nil) != (want != "") || err == nil && d.Format(time.DateOnly) != want {
			t.Errorf("Day %q = %v, %v; want %q", text, d, err, want)
		}
	}
}

func TestOrdersThatChangeNothingSayWhy(t *testing.T) {
	cfg, all := queued(t)
	for _, tt := range []struct {
		o    queue.Order
		want string
	}{
		{queue.Order{Do: queue.SendNow, ID: "0123"}, "no report has this ID"},
		{queue.Order{Do: queue.RetryReport, ID: "0123"}, "no report has this ID"},
		{queue.Order{Do: queue.RetryReport, ID: all[0].ID}, "at work already"},
		{queue.Order{Do: queue.ReopenDay, Day: reporttest.Day.Begin}, "no restored queue"},
		{queue.Order{Do: queue.Unsuppress, Suppression: queue.Suppression{Kind: queue.SuppressHost, What: "x.example"}}, "no such suppression"},
		{queue.Order{Do: queue.ResumeAgain}, "not paused"},
		{queue.Order{Do: "dance"}, "unknown order"},
	} {
		var out, warn bytes.Buffer
		if err := Change(t.Context(), &out, &warn, cfg, ChangeOptions{Order: tt.o}); err == nil || !strings.Contains(err.Error(), tt.want) || out.Len() > 0 {
			t.Errorf("%v: %v, %q; want %q", tt.o.Do, err, out.String(), tt.want)
		}
	}
}
