package reports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/report/queue"
	"dmarcgate/report/queue/file"
	"dmarcgate/report/queue/pg"
	"dmarcgate/site"
)

// errNoQueue means that no report was ever planned.
var errNoQueue = errors.New("there is no queue of reports yet: the daemon makes it when [reports] send is true")

// openToRead opens the queue: that of all hosts in PostgreSQL, or the file of this
// host, beside the daemon or without one.
func openToRead(ctx context.Context, cfg *config.Config) (queue.Store, error) {
	if cfg.Store.Postgres.URL != "" {
		return pg.Open(ctx, site.PostgresConfig(cfg))
	}
	path := site.ReportQueue(cfg)
	q, err := file.Read(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errNoQueue
	case err != nil:
		return nil, site.StoreProblem(err, path)
	}
	return q, nil
}

// openToWrite opens the queue without the daemon. A file that is not there is not made:
// it would not belong to the daemon's user.
func openToWrite(ctx context.Context, warn io.Writer, cfg *config.Config) (queue.Store, error) {
	if cfg.Store.Postgres.URL != "" {
		return pg.Open(ctx, site.PostgresConfig(cfg))
	}
	path := site.ReportQueue(cfg)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, errNoQueue
	}
	q, err := file.Open(ctx, file.Options{Path: path, Log: slog.New(slog.NewTextHandler(warn, nil))})
	if err != nil {
		return nil, site.StoreProblem(err, path)
	}
	return q, nil
}

// order does what is ordered: the daemon, when one answers on the control socket and
// has the queue open, or else this process. socket is "" for the configured one.
func order(ctx context.Context, warn io.Writer, cfg *config.Config, socket string, o queue.Order) error {
	socket = cmp.Or(socket, cfg.Admin.Control)
	err := admin.Dial(socket).Order(ctx, o)
	switch {
	case errors.Is(err, admin.ErrNoReports):
		fmt.Fprintf(warn, "dmarcgate: the daemon at %s sends no reports: the queue is changed here\n", socket)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		fmt.Fprintf(warn, "dmarcgate: no daemon answers at %s: the queue is changed here\n", socket)
	default:
		return err // done, or the daemon runs and does not let us in
	}
	q, err := openToWrite(ctx, warn, cfg)
	if err != nil {
		return err
	}
	if o.Do == queue.PauseSending {
		o.Why = caller() + ": " + o.Why // a daemon knows by itself who orders
	}
	return errors.Join(o.Apply(ctx, q), q.Close())
}
