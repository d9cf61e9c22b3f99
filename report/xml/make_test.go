package xml_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // of Auckland, on a host without it

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/reporttest"
	"dmarcgate/internal/scale"
	"dmarcgate/policy"
	"dmarcgate/report"
	reportxml "dmarcgate/report/xml"
	"dmarcgate/results"
)

// message is one of bank.example that passes, under a record.
func message(at time.Time, record string) results.Row {
	r := results.Row{Facts: policy.Facts{
		Time: at, Client: reporttest.Client, MailFrom: "bank.example", FromField: policy.FromOneMailbox, Version: policy.FactsVersion,
		SPF: policy.SPF{Result: "pass", Domain: "bank.example"}, DKIM: []policy.DKIM{{Result: "pass", Domain: "bank.example", Selector: "s1"}},
		Authors: []policy.Author{{
			Domain: "bank.example", Org: "bank.example", PolicyDomain: "bank.example", Source: "author", Record: record,
			Verdict: dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedSPF: true, AlignedDKIM: true},
		}},
	}}
	r.Decision = policy.Settings{Profile: policy.Strict, EnforceShare: 100}.Decide(r.Facts)
	return r
}

// counted reads documents and sums their messages by form.
func counted(t *testing.T, all []document) map[report.Form]int64 {
	t.Helper()
	sums := make(map[report.Form]int64)
	for _, d := range all {
		got, err := reportxml.Read(bytes.NewReader(d.text), func(*report.Record) error { return nil })
		if err != nil || got.Form != d.Form || got.ID != d.ID || got.Period != d.Period {
			t.Fatalf("Read of %s = %+v, %v", d.FileName(), got, err)
		}
		sums[d.Form] += got.Messages
	}
	return sums
}

// Every answered, evaluated author domain with a usable record is in a document or in a
// count: 4,000 messages, and 200,000 in soak.
func TestReconcile(t *testing.T) {
	rows := reporttest.Rows(21, 4000*scale.Of(t))
	gated := int64(0)
	m := newMaker(t)
	m.Forms = func(r *report.Report) []report.Form {
		if r.Messages == r.Optional || strings.HasPrefix(r.PolicyDomain, "d1") {
			gated += r.Messages
			return nil
		}
		return both(r)
	}
	all, made := documents(t, m, rows)
	want := int64(0)
	for i := range rows {
		f := &rows[i].Facts
		if f.Time.Before(reporttest.Day.Begin) || !f.Time.Before(reporttest.Day.End) || rows[i].State != results.Answered || f.Skip != policy.Evaluated {
			continue
		}
		for j := range f.Authors {
			if s := f.Authors[j].Verdict.Status; f.Authors[j].PolicyDomain != "" && s != dmarc.PermError {
				want++
			}
		}
	}
	for form, sum := range counted(t, all) {
		if got := sum + made.Unreportable + made.Unreported + gated; got != want {
			t.Errorf("%s: %d in documents, %d unreportable, %d unreported, %d gated = %d; want %d", form, sum, made.Unreportable, made.Unreported, gated, got, want)
		}
	}
	if gated == 0 || made.Failed != 0 || want < int64(len(rows))/2 {
		t.Errorf("%d are gated, %d failed, of %d", gated, made.Failed, want)
	}
}

// digest is what all documents are in one text.
func digest(t testing.TB, m *reportxml.Maker, rows []results.Row) string {
	t.Helper()
	var b strings.Builder
	all, _ := documents(t, m, rows)
	for _, d := range all {
		fmt.Fprintln(&b, d.FileName(), d.sha256)
	}
	return b.String()
}

// The bytes depend on the rows alone: not on their order, on memory, on the time zone of
// the process or on anything of an earlier run.
func TestDeterministic(t *testing.T) {
	rows := reporttest.Rows(31, 3000)
	want := digest(t, newMaker(t), rows)
	if os.Getenv("REPORT_DIGEST") != "" { // the process below
		fmt.Printf("ZONE %s\nDIGEST\n%sEND\n", reporttest.Day.Begin.Local().Format("-07:00"), want)
		return
	}
	small := newMaker(t)
	small.Builder.Memory = 1
	slices.Reverse(rows)
	for i := range rows { // instants, whatever their location
		rows[i].Facts.Time = rows[i].Facts.Time.In(time.FixedZone("", 13*3600))
	}
	if got := digest(t, small, rows); got != want {
		t.Errorf("in another order and with temporary files, documents are\n%s\nwant\n%s", got, want)
	}
	for zone, offset := range map[string]string{"UTC": "+00:00", "Pacific/Auckland": "+13:00"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestDeterministic$", "-test.v")
		cmd.Env = append(os.Environ(), "TZ="+zone, "REPORT_DIGEST=1")
		out, err := cmd.Output()
		_, got, _ := strings.Cut(string(out), "DIGEST\n")
		if got, _, _ = strings.Cut(got, "END\n"); err != nil || got != want || !strings.Contains(string(out), "ZONE "+offset+"\n") {
			t.Errorf("with TZ=%s, the process prints\n%s\n%v; want the zone %s and\n%s", zone, out, err, offset, want)
		}
	}
}

// A record that changes at noon makes two reports of the same period, and each message is
// in one of them. Another rua makes no other report, also where a row has it.
func TestRecordChanged(t *testing.T) {
	var rows []results.Row
	for hour := range 24 {
		record := "v=DMARC1; p=none"
		if hour >= 12 {
			record = "v=DMARC1; p=reject"
		}
		r := message(reporttest.Day.Begin.Add(time.Duration(hour)*time.Hour), record)
		r.Facts.Client = netip.AddrFrom4([4]byte{192, 0, 2, byte(hour)})
		rows = append(rows, r)
	}
	m := newMaker(t)
	m.Forms = func(*report.Report) []report.Form { return []report.Form{report.RFC9990} }
	all, _ := documents(t, m, rows)
	if len(all) != 2 || all[0].ID == all[1].ID || all[0].FileName() == all[1].FileName() || all[0].Period != all[1].Period {
		t.Fatalf("there are %d documents; want 2 of one period, with two IDs and file names", len(all))
	}
	seen := make(map[netip.Addr]int64)
	for _, d := range all {
		got, err := reportxml.Read(bytes.NewReader(d.text), func(r *report.Record) error {
			seen[r.Source] += r.Count
			if before := r.Source.As4()[3] < 12; before != (d.Published.P == dmarc.None) {
				t.Errorf("the message from %v is in the report with p=%s", r.Source, d.Published.P)
			}
			return nil
		})
		if err != nil || got.Published.P != d.Published.P {
			t.Errorf("Read = p=%s, %v; want p=%s", got.Published.P, err, d.Published.P)
		}
	}
	if len(seen) != 24 || len(slices.DeleteFunc(slices.Collect(func(yield func(int64) bool) {
		for _, n := range seen {
			if !yield(n) {
				return
			}
		}
	}), func(n int64) bool { return n == 1 })) > 0 {
		t.Errorf("messages are counted as %v; want each of 24 once", seen)
	}
	for hour := range rows {
		rows[hour].Facts.Authors[0].Record = fmt.Sprintf("v=DMARC1; p=reject; rua=mailto:reports%d@bank.example", hour/12)
	}
	if all, _ := documents(t, m, rows); len(all) != 1 || all[0].Messages != 24 {
		t.Errorf("a new rua at noon makes %d documents; want one of 24 messages", len(all))
	}
}

// wide are rows of which no two are the same to a report.
func wide(n int) []results.Row {
	rows := make([]results.Row, n)
	for i := range rows {
		// Most of the mail comes in the afternoon.
		at := time.Duration(float64(i)/float64(n)*float64(i)/float64(n)*float64(24*time.Hour)) / time.Millisecond * time.Millisecond
		r := message(reporttest.Day.End.Add(-at-time.Millisecond), "v=DMARC1; p=reject")
		r.Facts.Client = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 12: byte(i >> 24), 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
		rows[i] = r
	}
	return rows
}

// Reports beyond the limits cover adjoining periods. In soak a million different results
// meet the limits of the default.
func TestSplitBySize(t *testing.T) {
	rows := wide(20_000 * scale.Of(t))
	m := newMaker(t)
	limits := reportxml.Limits{Mail: 100_000, Expanded: 1 << 20}
	if scale.Of(t) >= 50 {
		limits = reportxml.Limits{Mail: 10_000_000, Expanded: 16 << 20}
		m.Limits = reportxml.Limits{} // the same by default
	} else {
		m.Limits = limits
	}
	m.Forms = func(*report.Report) []report.Form { return []report.Form{report.RFC7489} }
	all, made := documents(t, m, rows)
	if len(all) < 8 || made.Failed != 0 {
		t.Fatalf("there are %d documents, and %d messages in none; want at least 8, and 0", len(all), made.Failed)
	}
	slices.SortFunc(all, func(a, b document) int { return a.Period.Begin.Compare(b.Period.Begin) })
	for i, d := range all {
		if mail := int64(len(d.zipped)+2)/3*4*78/76 + 5000; mail > limits.Mail || d.expanded > limits.Expanded {
			t.Errorf("%v: a mail of %d bytes, expanded %d; the limits are %+v", d.Period, mail, d.expanded, limits)
		}
		if i > 0 && d.Period.Begin.Before(all[i-1].Period.End) {
			t.Errorf("%v and %v overlap", all[i-1].Period, d.Period)
		}
	}
	if all[0].Period.Begin.Before(reporttest.Day.Begin) || all[len(all)-1].Period.End != reporttest.Day.End {
		t.Errorf("periods are from %v to %v; want the day", all[0].Period.Begin, all[len(all)-1].Period.End)
	}
	if got := counted(t, all)[report.RFC7489]; got != int64(len(rows)) {
		t.Errorf("documents have %d messages; want %d", got, len(rows))
	}
}

// A form that fits is not split because another does not.
func TestMakeSplitsEachFormByItself(t *testing.T) {
	rows := wide(3000)
	m := newMaker(t)
	whole, _ := documents(t, m, rows)
	small, large := min(whole[0].expanded, whole[1].expanded), max(whole[0].expanded, whole[1].expanded)
	m.Limits.Expanded = (small + large) / 2
	all, _ := documents(t, m, rows)
	forms := make(map[report.Form]int)
	for _, d := range all {
		forms[d.Form]++
	}
	if len(whole) != 2 || len(all) < 3 || min(forms[report.RFC7489], forms[report.RFC9990]) != 1 {
		t.Errorf("%d documents without limits, %v with; want one form whole, and the other split", len(whole), forms)
	}
	for form, sum := range counted(t, all) {
		if sum != int64(len(rows)) {
			t.Errorf("%s: %d messages; want %d", form, sum, len(rows))
		}
	}
}

// What one second brings beyond the limits is in no document, and is counted.
func TestMakeCountsWhatNoPeriodHolds(t *testing.T) {
	rows := wide(1000)
	for i := range rows {
		rows[i].Facts.Time = reporttest.Day.Begin
	}
	m := newMaker(t)
	m.Limits.Expanded = 10_000
	m.Forms = func(*report.Report) []report.Form { return []report.Form{report.RFC9990} }
	messages, failed := 0, int64(0)
	rows = append(rows, message(reporttest.Day.Begin.Add(time.Second), "v=DMARC1; p=reject"))
	made, err := m.Make(t.Context(), reporttest.Scan(rows), reporttest.Day, func(d reportxml.Document) error {
		if d.Err == nil {
			messages += int(d.Report.Messages)
		} else if failed += d.Report.Messages; !errors.Is(d.Err, reportxml.ErrTooLarge) || d.Report.Period.End.Sub(d.Report.Period.Begin) != time.Second || d.Body != nil {
			t.Errorf("document of %v = %v; want one of a second, %v", d.Report.Period, d.Err, reportxml.ErrTooLarge)
		}
		return nil
	})
	if err != nil || made.Failed != 1000 || failed != 1000 || messages != 1 {
		t.Errorf("Make = %+v, %v: %d messages failed, and %d are in documents; want 1000 and 1", made, err, failed, messages)
	}
}

func TestMakeNeedsAnIdentity(t *testing.T) {
	m := newMaker(t)
	m.Builder.Identity = report.Identity{}
	if _, err := m.Make(t.Context(), reporttest.Scan(nil), reporttest.Day, nil); !errors.Is(err, reportxml.ErrInvalid) {
		t.Errorf("Make without an identity = %v; want %v", err, reportxml.ErrInvalid)
	}
}
