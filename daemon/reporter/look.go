package reporter

import (
	"context"
	"errors"
	"io/fs"

	"dmarcgate/report/queue"
	"dmarcgate/report/queue/file"
	"dmarcgate/report/queue/pg"
	"dmarcgate/site"
)

// Problem returns why nothing can be sent with the settings of [reports], such as a key
// that cannot be read; nil when the settings can be used, or when sending is off.
func (r *Reporter) Problem() error {
	_, err := r.settings()
	return err
}

// Overview reads the queue with a connection of its own, so that the work never waits for
// it. It returns nil when there is no queue yet.
func (r *Reporter) Overview(ctx context.Context, days, lines int) (*queue.Overview, error) {
	q, err := r.openToRead(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o, err := q.Overview(ctx, days, lines)
	if err = errors.Join(err, q.Close()); err != nil {
		return nil, err
	}
	return &o, nil
}

// openToRead opens the queue as openQueue does, without making one.
func (r *Reporter) openToRead(ctx context.Context) (queue.Store, error) {
	cfg := r.Inputs().Config
	if cfg.Store.Postgres.URL != "" {
		return pg.Open(ctx, site.PostgresConfig(cfg))
	}
	return file.Read(ctx, site.ReportQueue(cfg))
}
