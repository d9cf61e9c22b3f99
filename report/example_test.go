package report_test

import (
	"context"
	"fmt"

	"dmarcgate/internal/reporttest"
	"dmarcgate/report"
	"dmarcgate/results"
)

// The reports of a day: one for each policy domain and published policy.
func ExampleBuilder_Build() {
	rows := []results.Row{
		message(reporttest.Day.Begin, "v=DMARC1; p=none"), message(reporttest.Day.Begin, "v=DMARC1; p=none"), message(reporttest.Day.Begin, "v=DMARC1; p=reject"),
	}
	b := report.Builder{Identity: reporttest.Identity}
	counts, err := b.Build(context.Background(), reporttest.Scan(rows), reporttest.Day, func(r *report.Report) error {
		for rec, err := range r.Records {
			if err != nil {
				return err
			}
			fmt.Println(r.PolicyDomain, "p="+r.Published.P.String(), rec.Source, rec.Count, rec.Disposition)
		}
		return nil
	})
	fmt.Println(counts.Reported, "messages are reported,", counts.Unreportable, "cannot be;", err)
	// Output:
	// bank.example p=none 192.0.2.10 2 pass
	// bank.example p=reject 192.0.2.10 1 pass
	// 3 messages are reported, 0 cannot be; <nil>
}
