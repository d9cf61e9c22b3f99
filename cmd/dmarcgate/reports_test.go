package main

import (
	"encoding/json"
	"strings"
	"testing"

	"dmarcgate/internal/reporttest"
	aggregate "dmarcgate/report"
	"dmarcgate/report/xml"
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
