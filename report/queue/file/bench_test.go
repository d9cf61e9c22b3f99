package file

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"dmarcgate/report/queue"
)

// planOf returns reports about friday with one delivery each.
func planOf(n int) (p queue.Plan) {
	for i := range n {
		host := fmt.Sprintf("d%d.example", i)
		p.Reports = append(p.Reports, queue.Report{ID: fmt.Sprintf("%032x", i), Kind: queue.Aggregate, PolicyDomain: host, Begin: friday, End: friday.Add(queue.Day),
			PolicyHash: "h", Form: "rfc9990", Deliveries: []queue.Delivery{{Key: "a@" + host, Host: host, URI: "mailto:a@" + host}}})
	}
	return p
}

// BenchmarkQueue measures a day of 5,000 reports: how long planning takes, and what the
// queue costs for each report that is rendered and sent.
func BenchmarkQueue(b *testing.B) {
	const reports = 5000
	for b.Loop() {
		b.StopTimer()
		q, err := Open(context.Background(), Options{Path: filepath.Join(b.TempDir(), "reports.db"), Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: new(clock).now})
		if err != nil {
			b.Fatal(err)
		}
		ctx, plan := context.Background(), planOf(reports)
		ok := func(err error) {
			if err != nil {
				b.Fatal(err)
			}
		}
		_, err = q.CloseDay(ctx, queue.Run{Day: friday})
		ok(err)
		_, err = q.TakeDay(ctx, "a")
		ok(err)
		b.StartTimer()
		start := b.Elapsed()
		_, err = q.Plan(ctx, "a", friday, plan)
		ok(err)
		b.ReportMetric(float64(b.Elapsed()-start)/1e6, "ms/plan")
		planned, err := q.Take(ctx, "a", queue.Planned, reports)
		ok(err)
		for _, r := range planned {
			ok(q.StoreBody(ctx, "a", r.ID, queue.Body{Gzip: []byte(r.ID)}))
		}
		start = b.Elapsed()
		ready, err := q.Find(ctx, queue.Filter{Limit: reports})
		ok(err)
		for _, r := range ready {
			a, err := q.Begin(ctx, "a", queue.Begin{Delivery: r.Deliveries[0].ID, Sender: "s", Bytes: 1})
			ok(err)
			ok(q.Settle(ctx, "a", a, queue.Outcome{State: queue.Sent}))
		}
		b.ReportMetric(float64(b.Elapsed()-start)/1e3/reports, "µs/delivery")
		q.Close()
	}
}
