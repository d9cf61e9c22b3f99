package report_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/reporttest"
	"dmarcgate/policy"
	"dmarcgate/report"
	"dmarcgate/results"
)

// kept is a report with its records.
type kept struct {
	report.Report
	records []report.Record
}

// build returns all reports of rows.
func build(t *testing.T, b *report.Builder, rows []results.Row) ([]kept, report.Counts) {
	t.Helper()
	var all []kept
	counts, err := b.Build(t.Context(), reporttest.Scan(rows), reporttest.Day, func(r *report.Report) error {
		all = append(all, keep(t, r))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, counts
}

func keep(t *testing.T, r *report.Report) kept {
	t.Helper()
	k := kept{Report: *r}
	k.Report.Records = nil
	for rec, err := range r.Records {
		if err != nil {
			t.Fatal(err)
		}
		c := *rec
		c.Reasons, c.Signatures = slices.Clone(rec.Reasons), slices.Clone(rec.Signatures)
		k.records = append(k.records, c)
	}
	return k
}

// Every author domain of every row is in exactly one count, and those that are
// reported are the messages of the reports.
func TestBuildAccountsForEveryRow(t *testing.T) {
	rows := reporttest.Rows(1, 5000)
	all, c := build(t, reporttest.Builder(t.TempDir()), rows)
	var messages, optional int64
	for _, k := range all {
		sum := int64(0)
		for _, rec := range k.records {
			sum += rec.Count
		}
		if sum != k.Messages || int64(len(k.records)) != k.Rows {
			t.Errorf("%s: records have %d messages in %d rows; the report says %d in %d", k.PolicyDomain, sum, len(k.records), k.Messages, k.Rows)
		}
		if k.Passed < 0 || k.Passed+k.Optional > k.Messages {
			t.Errorf("%s: Passed %d and Optional %d of %d messages", k.PolicyDomain, k.Passed, k.Optional, k.Messages)
		}
		messages, optional = messages+k.Messages, optional+k.Optional
	}
	want := naive(rows)
	if got := (tally{c.Rows, c.Outside, c.Unanswered, c.Skipped, c.NoAuthor, c.NoRecord, c.Unusable, c.Usable()}); got != want {
		t.Errorf("counts are %+v; want %+v", got, want)
	}
	if messages != c.Reported || optional == 0 || c.Unreported == 0 || c.Unreportable == 0 || c.DroppedSignatures == 0 {
		t.Errorf("reports have %d messages, %d of them optional; counts are %+v", messages, optional, c)
	}
}

type tally struct {
	rows, outside, unanswered, skipped, noAuthor, noRecord, unusable, usable int64
}

// naive counts rows by what the documents say, in no other order than theirs.
func naive(rows []results.Row) (n tally) {
	for i := range rows {
		f := &rows[i].Facts
		if f.Time.Before(reporttest.Day.Begin) || !f.Time.Before(reporttest.Day.End) {
			continue // a scan of the day does not give it
		}
		n.rows++
		switch {
		case rows[i].State != results.Answered:
			n.unanswered++
		case f.Skip != policy.Evaluated:
			n.skipped++
		case len(f.Authors) == 0:
			n.noAuthor++
		}
		if rows[i].State != results.Answered || f.Skip != policy.Evaluated {
			continue
		}
		for j := range f.Authors {
			switch a := &f.Authors[j]; {
			case a.Verdict.Status == dmarc.PermError:
				n.unusable++
			case a.PolicyDomain == "":
				n.noRecord++
			default:
				n.usable++
			}
		}
	}
	return n
}

func TestBuildGivesTheSameInAnyOrderAndWithAnyMemory(t *testing.T) {
	rows := reporttest.Rows(2, 4000)
	want, _ := build(t, reporttest.Builder(t.TempDir()), rows)
	small := reporttest.Builder(t.TempDir())
	small.Memory = 1
	slices.Reverse(rows)
	got, _ := build(t, small, rows)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("with temporary files there are %d reports that differ from %d in memory", len(got), len(want))
	}
	if left, err := filepath.Glob(filepath.Join(small.Dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v are left in the folder of temporary files", left, err)
	}
}

func TestBuildGivesReportsByDomainWithRecordsByFallingCount(t *testing.T) {
	all, _ := build(t, reporttest.Builder(t.TempDir()), reporttest.Rows(3, 4000))
	seen := make(map[string]bool)
	for i, k := range all {
		if i > 0 && k.PolicyDomain < all[i-1].PolicyDomain {
			t.Errorf("%s comes behind %s", k.PolicyDomain, all[i-1].PolicyDomain)
		}
		if name := k.PolicyDomain + k.PolicyHash; seen[name] {
			t.Errorf("%s has two reports of one policy", k.PolicyDomain)
		} else {
			seen[name] = true
		}
		for j := 1; j < len(k.records); j++ {
			if k.records[j].Count > k.records[j-1].Count {
				t.Errorf("%s: a record of %d messages comes behind one of %d", k.PolicyDomain, k.records[j].Count, k.records[j-1].Count)
			}
		}
	}
}

// A difference between what was asked for and what was done always has a reason.
func TestBuildGivesAReasonForEachDifference(t *testing.T) {
	all, _ := build(t, reporttest.Builder(t.TempDir()), reporttest.Rows(4, 8000))
	checked := 0
	for _, k := range all {
		for _, rec := range k.records {
			p := k.Published.P
			if rec.HeaderFrom != k.PolicyDomain {
				p = k.Published.SP
			}
			asked := report.Disposition(p.String())
			if rec.DKIM || rec.SPF {
				asked = report.None
				if p != dmarc.None {
					asked = report.Pass
				}
			}
			if rec.Disposition == asked {
				continue
			}
			checked++
			if len(rec.Reasons) == 0 {
				t.Errorf("%s asks for %s and gets %s, without a reason: %+v", k.PolicyDomain, asked, rec.Disposition, rec)
			}
		}
	}
	if checked < 500 {
		t.Errorf("%d records differ from what was asked for; want at least 500", checked)
	}
}

func TestBuildPartsMakesTheSameReportInAdjoiningPeriods(t *testing.T) {
	rows := reporttest.Rows(5, 3000)
	b := reporttest.Builder(t.TempDir())
	all, _ := build(t, b, rows)
	whole := all[0]
	for _, k := range all {
		if k.Messages > whole.Messages {
			whole = k
		}
	}
	parts := reporttest.Day.Split(7)
	messages, n := int64(0), 0
	err := b.BuildParts(t.Context(), reporttest.Scan(rows), []report.Part{{PolicyDomain: whole.PolicyDomain, PolicyHash: whole.PolicyHash, Periods: parts}},
		func(r *report.Report) error {
			if r.Period != parts[n] || r.PolicyDomain != whole.PolicyDomain || r.PolicyHash != whole.PolicyHash {
				t.Errorf("part %d is %s %s %v; want %s %s %v", n, r.PolicyDomain, r.PolicyHash, r.Period, whole.PolicyDomain, whole.PolicyHash, parts[n])
			}
			messages += keep(t, r).Messages
			n++
			return nil
		})
	if err != nil || n != len(parts) || messages != whole.Messages {
		t.Errorf("%d parts have %d messages, %v; want %d and %d", n, messages, err, len(parts), whole.Messages)
	}
}

// Parts of several reports, the later periods first; and none at all.
func TestBuildPartsReadsFromTheFirstPeriodToTheLast(t *testing.T) {
	day := reporttest.Day
	early, late := message(day.Begin, "v=DMARC1; p=none"), message(day.End.Add(-time.Second), "v=DMARC1; p=reject")
	rows := []results.Row{early, late}
	b := reporttest.Builder(t.TempDir())
	all, _ := build(t, b, rows)
	halves := day.Split(2)
	var parts []report.Part
	for _, k := range all {
		half := halves[0]
		if k.Published.P == dmarc.Reject {
			half = halves[1]
		}
		parts = append(parts, report.Part{PolicyDomain: k.PolicyDomain, PolicyHash: k.PolicyHash, Periods: []report.Period{half}})
	}
	slices.SortFunc(parts, func(x, y report.Part) int { return y.Periods[0].Begin.Compare(x.Periods[0].Begin) })
	n := int64(0)
	err := b.BuildParts(t.Context(), reporttest.Scan(rows), parts, func(r *report.Report) error { n += r.Messages; return nil })
	if err != nil || n != 2 {
		t.Errorf("parts of both halves have %d messages, %v; want 2", n, err)
	}
	if err := b.BuildParts(t.Context(), nil, nil, nil); err != nil {
		t.Errorf("BuildParts of nothing = %v; want nil", err)
	}
}

// A day of usual size needs no file.
func TestBuildKeepsADayInMemoryByDefault(t *testing.T) {
	b := reporttest.Builder(filepath.Join(t.TempDir(), "missing"))
	if all, _ := build(t, b, reporttest.Rows(6, 8000)); len(all) < 100 {
		t.Errorf("there are %d reports; want at least 100", len(all))
	}
}

func TestBuildCountsRowsThatNoReportCanShow(t *testing.T) {
	var rows []results.Row
	for _, change := range []func(*policy.Author){
		func(a *policy.Author) { a.PolicyDomain = "bank..example" }, func(a *policy.Author) { a.Record = "" }, func(a *policy.Author) { a.Record = "v=spf1 -all" }, func(a *policy.Author) { a.Domain = "b\x00.example" },
	} {
		r := message(reporttest.Day.Begin, "v=DMARC1; p=none")
		change(&r.Facts.Authors[0])
		rows = append(rows, r)
	}
	if all, c := build(t, reporttest.Builder(t.TempDir()), rows); len(all) != 0 || c.Unreportable != int64(len(rows)) {
		t.Errorf("there are %d reports, and counts are %+v; want none, and %d unreportable", len(all), c, len(rows))
	}
}

func TestBuildEndsWithTheErrorOfScanOrCaller(t *testing.T) {
	boom := errors.New("boom")
	b := reporttest.Builder(t.TempDir())
	_, err := b.Build(t.Context(), func(context.Context, results.Span, func(results.Row) error) error { return boom }, reporttest.Day, nil)
	if !errors.Is(err, boom) {
		t.Errorf("Build with a scan that fails = %v; want its error", err)
	}
	_, err = b.Build(t.Context(), reporttest.Scan(reporttest.Rows(1, 100)), reporttest.Day, func(*report.Report) error { return boom })
	if !errors.Is(err, boom) {
		t.Errorf("Build with a caller that fails = %v; want its error", err)
	}
	b.Dir, b.Memory = filepath.Join(t.TempDir(), "missing"), 1
	if _, err := b.Build(t.Context(), reporttest.Scan(reporttest.Rows(1, 4000)), reporttest.Day, func(*report.Report) error { return nil }); err == nil {
		t.Error("Build without a folder for temporary files = nil; want an error")
	}
}

// Nothing but what the report shows makes another report; a row holds no rua.
func TestBuildMakesOneReportForEachPublishedPolicy(t *testing.T) {
	at := reporttest.Day.Begin
	for _, tt := range []struct {
		name    string
		records []string
		want    int
	}{
		{"the same record", []string{"v=DMARC1; p=reject", "v=DMARC1; p=reject"}, 1},
		{"the same record with defaults written out", []string{"v=DMARC1; p=reject", "v=DMARC1; p=reject; sp=reject; adkim=r"}, 1},
		{"ri is not shown", []string{"v=DMARC1; p=reject", "v=DMARC1; p=reject; ri=3600"}, 1},
		{"psd is not shown", []string{"v=DMARC1; p=reject", "v=DMARC1; p=reject; psd=n"}, 1},
		{"p", []string{"v=DMARC1; p=reject", "v=DMARC1; p=none"}, 2},
		{"sp", []string{"v=DMARC1; p=reject", "v=DMARC1; p=reject; sp=none"}, 2},
		{"np", []string{"v=DMARC1; p=reject", "v=DMARC1; p=reject; np=none"}, 2},
		{"adkim", []string{"v=DMARC1; p=reject", "v=DMARC1; p=reject; adkim=s"}, 2},
		{"aspf", []string{"v=DMARC1; p=reject", "v=DMARC1; p=reject; aspf=s"}, 2},
		{"fo, of which ruf was not stored", []string{"v=DMARC1; p=reject", "v=DMARC1; p=reject; fo=1"}, 2},
		{"t", []string{"v=DMARC1; p=reject", "v=DMARC1; p=reject; t=y"}, 2},
		{"pct", []string{"v=DMARC1; p=reject", "v=DMARC1; p=reject; pct=5"}, 2},
		{"sp that cannot be read makes the record p=none", []string{"v=DMARC1; p=none", "v=DMARC1; p=reject; sp=invalid"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var rows []results.Row
			for i, record := range tt.records {
				rows = append(rows, message(at.Add(time.Duration(i)*time.Hour), record))
			}
			all, _ := build(t, reporttest.Builder(t.TempDir()), rows)
			if len(all) != tt.want {
				t.Errorf("there are %d reports; want %d", len(all), tt.want)
			}
		})
	}
}

// message is one that passes, under a record.
func message(at time.Time, record string) results.Row {
	r := results.Row{Facts: policy.Facts{
		Time: at, Client: reporttest.Client, MailFrom: "bank.example", FromField: policy.FromOneMailbox, Version: policy.FactsVersion,
		SPF: policy.SPF{Result: "pass", Domain: "bank.example"},
		Authors: []policy.Author{{
			Domain: "bank.example", Org: "bank.example", PolicyDomain: "bank.example", Source: "author", Record: record,
			Verdict: dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedSPF: true},
		}},
	}}
	r.Decision = policy.Settings{Profile: policy.Strict, EnforceShare: 100}.Decide(r.Facts)
	return r
}

func TestBuildCountsMessagesAtTheEdgesOfADay(t *testing.T) {
	day := reporttest.Day
	rows := []results.Row{
		message(day.Begin.Add(-time.Millisecond), "v=DMARC1; p=none"), message(day.Begin, "v=DMARC1; p=none"),
		message(day.End.Add(-time.Millisecond), "v=DMARC1; p=none"), message(day.End, "v=DMARC1; p=none"),
	}
	careless := func(_ context.Context, _ results.Span, f func(results.Row) error) error {
		for _, r := range rows {
			if err := f(r); err != nil {
				return err
			}
		}
		return nil
	}
	counts, err := reporttest.Builder(t.TempDir()).Build(t.Context(), careless, day, func(r *report.Report) error {
		if r.Messages != 2 {
			t.Errorf("the report has %d messages; want the 2 of the day", r.Messages)
		}
		return nil
	})
	if err != nil || counts.Reported != 2 || counts.Outside != 2 {
		t.Errorf("counts are %+v, %v; want 2 reported and 2 outside", counts, err)
	}
}

func TestDefectsHaveTheWordsOfLookup(t *testing.T) {
	got := report.Defects([]string{"other_txt", "bad_pct", "bad_sp", "nothing"})
	want := []string{
		"bad_sp: write sp=none, sp=quarantine or sp=reject; until then nothing is enforced, not even p",
		"bad_pct: write a whole number from 0 to 100, or remove the tag",
	}
	if !slices.Equal(got, want) {
		t.Errorf("Defects = %q; want %q", got, want)
	}
}

// A record that only asks for reports needs no p (RFC 9989, Section 4.7).
func TestBuildReportsDefectsOnce(t *testing.T) {
	one, two, bare := message(reporttest.Day.Begin, "v=DMARC1; p=none"), message(reporttest.Day.Begin, "v=DMARC1; p=none"), message(reporttest.Day.Begin, "v=DMARC1")
	one.Facts.Authors[0].Defects, two.Facts.Authors[0].Defects = []string{"bad_pct"}, []string{"bad_t", "bad_pct"}
	bare.Facts.Authors[0].Defects, bare.Facts.Authors[0].PolicyDomain = []string{"missing_p"}, "shop.example"
	all, _ := build(t, reporttest.Builder(t.TempDir()), []results.Row{one, two, bare})
	got := make(map[string]int)
	for _, k := range all {
		got[k.PolicyDomain] = len(k.Errors)
	}
	if want := map[string]int{"bank.example": 2, "shop.example": 0}; !maps.Equal(got, want) {
		t.Errorf("errors by policy domain: %v; want %v", got, want)
	}
}

func TestBuildNamesTheMethodOfDiscovery(t *testing.T) {
	b := reporttest.Builder(t.TempDir())
	b.Discovery = func(shape string) string { return shape }
	var rows []results.Row
	for _, shape := range []string{"", "treewalk", "psl", "psl", "odd", "psl"} {
		r := message(reporttest.Day.Begin, "v=DMARC1; p=none")
		r.Shape = shape
		rows = append(rows, r)
	}
	all, _ := build(t, b, rows)
	got := make(map[string]int64)
	for _, k := range all {
		got[k.Published.Discovery] += k.Messages
	}
	if want := map[string]int64{"": 2, "treewalk": 1, "psl": 3}; !maps.Equal(got, want) {
		t.Errorf("messages by method: %v; want %v", got, want)
	}
}

// The organization of a record below it, and of one at a public suffix.
func TestBuildNamesTheOrganization(t *testing.T) {
	for _, tt := range []struct{ policyDomain, org, want string }{
		{"bank.example", "bank.example", "bank.example"}, {"eu.bank.example", "bank.example", "bank.example"}, {"example", "bank.example", "example"}, {"bank.example", "", "bank.example"},
	} {
		r := message(reporttest.Day.Begin, "v=DMARC1; p=none")
		r.Facts.Authors[0].PolicyDomain, r.Facts.Authors[0].Org = tt.policyDomain, tt.org
		if all, _ := build(t, reporttest.Builder(t.TempDir()), []results.Row{r}); len(all) != 1 || all[0].Org != tt.want {
			t.Errorf("record at %s of %q: Org is %q; want %q", tt.policyDomain, tt.org, all[0].Org, tt.want)
		}
	}
}

func TestPeriodSplitsWithoutGapOrOverlap(t *testing.T) {
	day := reporttest.Day
	for _, n := range []int{0, 1, 2, 3, 7, 24, 1000, 86400, 90000} {
		parts := day.Split(n)
		if want := min(max(n, 1), 86400); len(parts) != want || parts[0].Begin != day.Begin || parts[len(parts)-1].End != day.End {
			t.Errorf("Split(%d) = %d parts from %v to %v; want %d", n, len(parts), parts[0].Begin, parts[len(parts)-1].End, want)
		}
		for i := 1; i < len(parts); i++ {
			if parts[i].Begin != parts[i-1].End || !parts[i].Begin.Before(parts[i].End) {
				t.Fatalf("Split(%d): part %d is %v behind %v", n, i, parts[i], parts[i-1])
			}
		}
	}
	if got := (report.Period{Begin: day.Begin, End: day.Begin.Add(time.Second)}).Split(2); len(got) != 1 {
		t.Errorf("a second in two parts = %v; want one", got)
	}
}

func TestIDDiffersWhereverAReportDiffers(t *testing.T) {
	day := reporttest.Day
	next := report.DayOf(day.End)
	base := report.ID("a.example", "b.example", day, "0011", report.RFC9990)
	if len(base) != 32 || base != report.ID("a.example", "b.example", day, "0011", report.RFC9990) {
		t.Errorf("ID = %q; want 32 digits, the same again", base)
	}
	others := map[string]string{base: "the first"}
	for name, id := range map[string]string{
		"submitter": report.ID("a.exampl", "eb.example", day, "0011", report.RFC9990), "domain": report.ID("a.example", "c.example", day, "0011", report.RFC9990),
		"day": report.ID("a.example", "b.example", next, "0011", report.RFC9990), "policy": report.ID("a.example", "b.example", day, "0012", report.RFC9990),
		"form": report.ID("a.example", "b.example", day, "0011", report.RFC7489), "moved": report.ID("a.exampleb", ".example", day, "0011", report.RFC9990),
	} {
		if other, taken := others[id]; taken {
			t.Errorf("another %s has the ID of %s", name, other)
		}
		others[id] = name
	}
}

func TestFileNameIsThatOfTheStandard(t *testing.T) {
	r := (&report.Report{Identity: reporttest.Identity, PolicyDomain: "bank.example", Period: report.DayOf(time.Unix(1767225600, 0))}).In(report.RFC9990)
	want := fmt.Sprintf("receiver.example!bank.example!1767225600!1767311999!%s.xml.gz", r.ID)
	if got := r.FileName(); got != want {
		t.Errorf("FileName = %q; want %q", got, want)
	}
}
