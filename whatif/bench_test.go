package whatif

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/internal/resultstest"
	"dmarcgate/policy"
	"dmarcgate/results"
	"dmarcgate/results/dbread"
	"dmarcgate/results/sqlite"
	"dmarcgate/site"
)

// benchRows is how many rows the store of the benchmark has.
const benchRows = 50_000

// benchRow is one of ten messages that fail, or one of the others.
func benchRow(s policy.Settings, n int) results.Row {
	org := fmt.Sprintf("d%04d.example", n%2000)
	f := resultstest.Facts(n, resultstest.Author("mail."+org, org))
	f.Time = resultstest.Day.Add(time.Duration(n) * time.Millisecond)
	f.DKIM = []policy.DKIM{{Result: "pass", Domain: org, Selector: "r1", Algorithm: "rsa-sha256", Canon: "relaxed/relaxed", KeyBits: 2048}}
	if n%10 != 0 {
		f.Authors[0].Verdict = dmarc.Verdict{Status: dmarc.Pass, Policy: dmarc.Reject, Pct: 100, AlignedDKIM: true, Why: "aligned DKIM pass for " + org}
	} else {
		f.DKIM[0].Domain = fmt.Sprintf("list%d.example", n%300)
	}
	return resultstest.Decided(s, f)
}

// benchHostile is one of messages that fail, each in another name.
func benchHostile(s policy.Settings, n int) results.Row {
	f := resultstest.Facts(n, resultstest.Author(fmt.Sprintf("mail.h%d.example", n), fmt.Sprintf("h%d.example", n)))
	f.Time = resultstest.Day.Add(time.Duration(n) * time.Millisecond)
	f.SPF.Domain, f.Recipients = fmt.Sprintf("spf%d.example", n), []string{fmt.Sprintf("r%d.example", n)}
	return resultstest.Decided(s, f)
}

// BenchmarkWhatIf compares what-if with a scan of the same rows that does
// nothing: it may take at most 4 times as long.
func BenchmarkWhatIf(b *testing.B) {
	monitor := policy.Settings{Quarantine: policy.Tag, TempOurs: policy.Tag, TempDomain: policy.Tempfail, MaxDefer: 4 * time.Hour}
	strict := monitor
	strict.Profile, strict.EnforceShare = policy.Strict, 100
	for _, tt := range []struct {
		name string
		row  func(policy.Settings, int) results.Row
		try  policy.Settings
	}{{"changed", benchRow, strict}, {"same", benchRow, monitor}, {"hostile", benchHostile, strict}} {
		b.Run(tt.name, func(b *testing.B) {
			store := benchStore(b, func(n int) results.Row { return tt.row(monitor, n) })
			c := trying(tt.try)
			c.readiness = true
			var scans, tries time.Duration
			for b.Loop() {
				scans += timed(b, func() (int64, error) {
					n := int64(0)
					return n, store.Scan(b.Context(), results.Span{}, func(results.Row) error { n++; return nil })
				})
				tries += timed(b, func() (int64, error) {
					t, err := whatIf(b.Context(), store, c, results.Span{})
					return t.Messages, err
				})
			}
			b.ReportMetric(float64(tries)/float64(scans), "times-a-scan")
			b.ReportMetric(float64(tries.Microseconds())/float64(b.N)/benchRows, "µs/row")
		})
	}
}

func timed(b *testing.B, f func() (int64, error)) time.Duration {
	start := time.Now()
	if _, err := f(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// benchStore is a store with these rows.
func benchStore(b *testing.B, row func(int) results.Row) site.Store {
	b.Helper()
	path := filepath.Join(b.TempDir(), "results.db")
	store, err := sqlite.Open(b.Context(), sqlite.Options{
		Path: path, Durability: sqlite.Async, Wait: time.Minute, Queue: 10_000, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	for n := range benchRows {
		if got := store.Add(row(n)).Outcome; got == results.Dropped {
			b.Fatalf("Add() = %v", got)
		}
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	r, err := dbread.Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	return r
}
