package xml_test

import (
	"context"
	"testing"

	"dmarcgate/internal/reporttest"
	"dmarcgate/report"
	reportxml "dmarcgate/report/xml"
	"dmarcgate/results"
)

// BenchmarkMake makes documents of rows that are in memory: what reports cost beside
// reading the rows, for each of them.
func BenchmarkMake(b *testing.B) {
	for name, rows := range map[string][]results.Row{"mixed": reporttest.Rows(1, 20_000), "wide": wide(20_000)} {
		b.Run(name, func(b *testing.B) {
			m := newMaker(b)
			m.Forms = func(*report.Report) []report.Form { return []report.Form{report.RFC9990} }
			at := 0
			scan := func(_ context.Context, _ results.Span, f func(results.Row) error) error {
				for range b.N {
					if err := f(rows[at]); err != nil {
						return err
					}
					at = (at + 1) % len(rows)
				}
				return nil
			}
			b.ReportAllocs()
			b.ResetTimer()
			if _, err := m.Make(b.Context(), scan, reporttest.Day, func(reportxml.Document) error { return nil }); err != nil {
				b.Fatal(err)
			}
		})
	}
}
