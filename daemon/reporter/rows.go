package reporter

import (
	"context"
	"sync"
	"time"

	"dmarcgate/dnscache"
	"dmarcgate/report"
	"dmarcgate/report/due"
	"dmarcgate/report/queue"
	queuepg "dmarcgate/report/queue/pg"
	"dmarcgate/results"
	"dmarcgate/results/pg"
	"dmarcgate/results/sqlite"
	"dmarcgate/site"
)

// rows are the rows of the store of this host, or those of all hosts where they share a
// PostgreSQL.
type rows struct {
	store  *sqlite.Store
	inputs func() site.Site

	mu     sync.Mutex // guards what stands below
	conf   pg.Config
	reader *pg.Reader // of conf; nil while there is none
}

// shared returns the reader of all hosts, nil when this host reports for itself.
func (r *rows) shared(ctx context.Context) (*pg.Reader, error) {
	conf := site.PostgresConfig(r.inputs().Config)
	if conf.URL == "" {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reader != nil && r.conf == conf {
		return r.reader, nil
	}
	reader, err := pg.OpenReader(ctx, conf)
	if err != nil {
		return nil, err
	}
	if r.reader != nil {
		_ = r.reader.Close() // of settings that were changed
	}
	r.reader, r.conf = reader, conf
	return reader, nil
}

func (r *rows) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reader != nil {
		_ = r.reader.Close() // the connection alone
		r.reader = nil
	}
}

func (r *rows) Scan(ctx context.Context, span results.Span, f func(results.Row) error) error {
	reader, err := r.shared(ctx)
	switch {
	case err != nil:
		return err
	case reader != nil:
		return reader.Scan(ctx, span, f)
	}
	return r.store.Scan(ctx, span, f)
}

func (r *rows) KnownSince(ctx context.Context, org string) (time.Time, error) {
	reader, err := r.shared(ctx)
	switch {
	case err != nil:
		return time.Time{}, err
	case reader != nil:
		return reader.KnownSince(ctx, org)
	}
	return r.store.KnownSince(ctx, org)
}

// Sources waits until the rows of this host are committed. Those of other hosts, and the
// way of ours to PostgreSQL, show in the watermarks.
func (r *rows) Sources(ctx context.Context) ([]queue.Source, error) {
	now := time.Now()
	last, err := r.store.Barrier(ctx)
	if err != nil {
		return nil, err
	}
	reader, err := r.shared(ctx)
	if err != nil {
		return nil, err
	}
	if reader == nil {
		return []queue.Source{{ID: r.store.ID(), Host: "this host", Watermark: now, Last: last, Seen: now}}, nil
	}
	hosts, err := reader.Hosts(ctx)
	return queuepg.Sources(hosts), err
}

func (r *rows) Late(ctx context.Context, day report.Period, upto map[string]int64) (int64, error) {
	reader, err := r.shared(ctx)
	switch {
	case err != nil:
		return 0, err
	case reader != nil:
		return reader.LateRows(ctx, day.Begin, day.End, upto)
	}
	return r.store.LateRows(ctx, day.Begin, day.End, upto[r.store.ID()])
}

func (r *rows) Lost(ctx context.Context, day time.Time) (int64, error) {
	return r.store.LostRows(ctx, day)
}

func (r *rows) Hold(ctx context.Context, first time.Time) error {
	return r.store.SetReportsOpen(ctx, first)
}

// records looks up who wants reports, by the method of discovery that is active.
type records struct {
	dns    *dnscache.Resolver
	inputs func() site.Site
}

// Wanted implements due.Records.
func (r records) Wanted(ctx context.Context, policyDomain string) due.Wanted {
	return due.NewDNS(r.dns, r.inputs().Suffixes).Wanted(ctx, policyDomain)
}
