package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"dmarcgate/internal/reporttest"
	aggregate "dmarcgate/report"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/file"
	"dmarcgate/report/xml"
	"dmarcgate/site"
)

// reportDay is the day of the rows of reporttest.
const reportDay = "2026-09-27"

// reportRows makes a configuration whose store has rows of a day with every kind of message.
func reportRows(t *testing.T) (cfg string) {
	t.Helper()
	return storeWith(t, "[store]\nretention = \"3650d\"\n", reporttest.Rows(7, 400)...)
}

func TestReportsPreviewShowsTheReportOfADomain(t *testing.T) {
	cfg := reportRows(t)
	code, out, stderr := command("reports", "preview", "bank.example", "--day", reportDay, "-c", cfg)
	if code != 0 || !strings.HasPrefix(out, "report about bank.example, "+reportDay+", ") {
		t.Fatalf("reports preview = %d, %s%s; want the report", code, out, stderr)
	}
	for _, want := range []string{"Report-ID ", "published policy: p=", "CLIENT", "AUTHOR", "reports.invalid!bank.example!"} {
		if !strings.Contains(out, want) {
			t.Errorf("reports preview lacks %q:\n%s", want, out)
		}
	}
	if !strings.Contains(stderr, "[reports] has no organization, email, submitter") {
		t.Errorf("reports preview says %q; want which keys are not set", stderr)
	}
}

func TestReportsPreviewFormsAgree(t *testing.T) {
	cfg := reportRows(t)
	code, out, stderr := command("reports", "preview", "bank.example", "--day", reportDay, "--json", "-c", cfg)
	var got struct {
		Reports []struct {
			ID       string
			Messages int64
			Records  []struct{ Messages int64 }
		}
	}
	if err := json.Unmarshal([]byte(out), &got); code != 0 || err != nil || len(got.Reports) == 0 {
		t.Fatalf("reports preview --json = %d, %v, %s%s", code, err, out, stderr)
	}
	_, doc, _ := command("reports", "preview", "bank.example", "--day", reportDay, "--xml", "-c", cfg)
	first, rest, _ := strings.Cut(doc, "</feedback>")
	if strings.Count(rest, "</feedback>")+1 != len(got.Reports) {
		t.Errorf("--xml prints %d documents; want %d", strings.Count(doc, "</feedback>"), len(got.Reports))
	}
	var sum int64
	r, err := xml.Read(strings.NewReader(first+"</feedback>"), func(r *aggregate.Record) error {
		sum += r.Count
		return nil
	})
	if err != nil || r.ID != got.Reports[0].ID || sum != got.Reports[0].Messages {
		t.Errorf("the document has ID %v with %d messages, %v; want those of --json: %+v", r, sum, err, got.Reports[0].Messages)
	}
}

func TestReportsPreviewNamesDomainsThatMayBeMeant(t *testing.T) {
	cfg := reportRows(t)
	for _, args := range [][]string{{"mail.bank.example"}, {"example"}} {
		code, out, stderr := command(append([]string{"reports", "preview", "--day", reportDay, "-c", cfg}, args...)...)
		if code != exitFailed || out != "" || !strings.Contains(stderr, "messages with a record at") || !strings.Contains(stderr, "bank.example") {
			t.Errorf("reports preview %s = %d, %s%s; want that bank.example has messages", args, code, out, stderr)
		}
	}
	if code, _, stderr := command("reports", "preview", "bank.example", "--day", "tomorrow", "-c", cfg); code != exitUsage || !strings.Contains(stderr, "--day") {
		t.Errorf("reports preview --day tomorrow = %d, %s; want a usage error", code, stderr)
	}
}

// No control character of mail reaches a terminal.
func TestReportsPreviewPrintsNoControlCharacters(t *testing.T) {
	cfg := reportRows(t)
	for _, args := range [][]string{{}, {"--json"}} {
		_, out, _ := command(append([]string{"reports", "preview", "bank.example", "--day", reportDay, "-c", cfg}, args...)...)
		for _, r := range out {
			if r != '\n' && (r < ' ' || r == 0x7f || r >= 0x80 && !strings.ContainsRune("├└│─", r)) {
				t.Fatalf("reports preview %s prints %U:\n%s", args, r, out)
			}
		}
	}
}

// reportQueue puts a report into the queue beside the store of a configuration, with its
// document and a mail that waits, and returns its ID.
func reportQueue(t *testing.T, cfg string) string {
	t.Helper()
	in, err := site.Load(cfg, site.AllParts)
	if err != nil {
		t.Fatal(err)
	}
	q, err := file.Open(t.Context(), file.Options{Path: site.ReportQueue(in.Config), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	day, id := reporttest.Day, ""
	var body []byte
	maker := xml.Maker{Builder: reporttest.Builder(t.TempDir()), Forms: func(r *aggregate.Report) []aggregate.Form {
		if r.PolicyDomain != "bank.example" || id != "" {
			return nil
		}
		return []aggregate.Form{aggregate.RFC9990}
	}}
	_, err = maker.Make(t.Context(), reporttest.Scan(reporttest.Rows(7, 300)), day, func(d xml.Document) error {
		id, body = d.Report.ID, bytes.Clone(d.Body)
		return nil
	})
	r := queue.Report{
		ID: id, Kind: queue.Aggregate, PolicyDomain: "bank.example", Begin: day.Begin, End: day.End, PolicyHash: "h", Form: "rfc9990", Messages: 1,
		Deliveries: []queue.Delivery{{Key: "rua@bank.example", URI: "mailto:rua@bank.example", Host: "bank.example", NextTry: day.End}},
	}
	for _, step := range []func() error{
		func() error { return err },
		func() error { _, err := q.CloseDay(t.Context(), queue.Run{Day: day.Begin}); return err },
		func() error { _, err := q.TakeDay(t.Context(), "test"); return err },
		func() error {
			_, err := q.Plan(t.Context(), "test", day.Begin, queue.Plan{Reports: []queue.Report{r}})
			return err
		},
		func() error { _, err := q.Take(t.Context(), "test", queue.Planned, 1); return err },
		func() error { return q.StoreBody(t.Context(), "test", id, queue.Body{Gzip: body, Records: 1}) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

func TestResultsPurgeTakesReportsAlong(t *testing.T) {
	cfg := reportRows(t)
	id := reportQueue(t, cfg)
	code, out, stderr := command("results", "purge", "--domain", "bank.example", "--yes", "-c", cfg)
	if code != 0 || !strings.Contains(stderr, "deleted as well: aggregate reports about the domain") {
		t.Errorf("results purge = %d, %s%s; want reports deleted as well", code, out, stderr)
	}
	if code, out, stderr := command("reports", "show", id, "-c", cfg); code == 0 {
		t.Errorf("reports show = %d, %s%s; want that the report is gone", code, out, stderr)
	}
}

// Every command of the page works, in its order, with a report and a day of the test.
func TestReportsPageCommandsWork(t *testing.T) {
	cfg := reportRows(t)
	id := reportQueue(t, cfg)
	ran := map[string]bool{}
	for _, block := range blocks(t, "docs/reports.md", "sh") {
		for line := range strings.Lines(strings.NewReplacer("REPORT_ID", id, "2026-11-22", reportDay).Replace(block)) {
			line, _, _ = strings.Cut(line, " #")
			text, reason, _ := strings.Cut(strings.TrimSpace(line), ` --reason "`)
			args := strings.Fields(text)
			if reason != "" {
				args = append(args, "--reason", strings.TrimSuffix(reason, `"`))
			}
			if len(args) < 3 || args[0] != "dmarcgate" {
				t.Fatalf("docs/reports.md has the line %q; want a command of dmarcgate", line)
			}
			ran[args[2]] = true
			if args[2] == "preview" && !slices.Contains(args, "--day") {
				args = append(args, "--day", reportDay) // the rows are not of yesterday
			}
			if code, out, stderr := command(append(args[1:], "-c", cfg)...); code != 0 {
				t.Errorf("%q = %d, %s%s", line, code, out, stderr)
			}
		}
	}
	for _, name := range []string{"preview", "plan", "status", "list", "show", "send-now", "suppress", "unsuppress", "pause", "resume"} {
		if !ran[name] {
			t.Errorf("docs/reports.md shows no reports %s", name)
		}
	}
}

func TestReportsUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"show", "x", "--xml", "--json"}, {"show", "x", "--to", "a@b.example"}, {"retry"}, {"retry", "x", "--day", "2026-11-22"}, {"suppress", "bank.example", "--reason", "x"},
		{"suppress", "host:bank.example"}, {"suppress", "host:bank.example", "--reason", "x", "--for", "9999d"}, {"pause"}, {"list", "--state", "gone"}, {"list", "--domain", "a b"},
		{"preview", "bank.example", "--xml", "--json"}, {"plan", "--day", "22.11.2026"},
	} {
		if code, out, stderr := command(append([]string{"reports"}, args...)...); code != exitUsage || out != "" || stderr == "" {
			t.Errorf("reports %q = %d, %s%s; want a usage error", args, code, out, stderr)
		}
	}
}
