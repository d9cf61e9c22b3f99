// Package pg keeps the queue of reports of several hosts in PostgreSQL, beside the
// rows (results/pg).
//
// # Failures
//
// A step of the queue fails when the server is away, hangs or refuses the
// connection. Nothing is sent meanwhile, because each attempt is committed first. The
// next step connects anew.
package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"dmarcgate/report/queue"
	"dmarcgate/report/queue/tables"
	"dmarcgate/results/pg"
)

// database is one connection to the tables.
type database struct {
	link  *pg.Link
	ahead func() time.Duration // for tests: the clock of the server is ahead; nil is not
}

// Open connects, and makes the tables when they are missing. An error says what an
// operator can fix.
func Open(ctx context.Context, conf pg.Config) (*tables.Queue, error) {
	q := tables.New(newDatabase(conf))
	if _, err := q.Now(ctx); err != nil {
		return nil, fmt.Errorf("opening the queue of reports in PostgreSQL: %w", err)
	}
	return q, nil
}

func newDatabase(conf pg.Config) *database {
	return &database{link: pg.NewLink(conf, "dmarcgate reports", prepare)}
}

func prepare(ctx context.Context, conn *pgx.Conn) error {
	if err := pg.Migrate(ctx, conn); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, "SET search_path = dmarcgate")
	return err
}

// Close closes the connection.
func (d *database) Close() error {
	d.link.Close()
	return nil
}

// Do does f in one transaction.
func (d *database) Do(ctx context.Context, f func(tables.Tx) error) error {
	return d.link.With(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(t pgx.Tx) error { return f(tx{ctx, t, d}) })
	})
}

// tx is a transaction. ctx is bounded by the time that the server may take.
type tx struct {
	ctx context.Context
	tx  pgx.Tx
	d   *database
}

// Now asks the server, so that all hosts mean the same time.
func (t tx) Now(context.Context) (now time.Time, err error) {
	if err := t.tx.QueryRow(t.ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return now, err
	}
	if t.d.ahead != nil {
		now = now.Add(t.d.ahead())
	}
	return now.UTC().Truncate(time.Millisecond), nil
}

func (t tx) Exec(_ context.Context, text string, args ...any) (int64, error) {
	tag, err := t.tx.Exec(t.ctx, text, values(args)...)
	return tag.RowsAffected(), err
}

func (t tx) Query(_ context.Context, text string, args ...any) (tables.Rows, error) {
	return t.tx.Query(t.ctx, text, values(args)...)
}

// values gives NULL for a time that is none.
func values(args []any) []any {
	out := make([]any, len(args))
	for i, arg := range args {
		if t, isTime := arg.(time.Time); !isTime || !t.IsZero() {
			out[i] = arg
		}
	}
	return out
}

// Sources returns the stores whose rows are in the reports (queue.MayClose).
func Sources(hosts []pg.Host) []queue.Source {
	var sources []queue.Source
	for _, h := range hosts {
		sources = append(sources, queue.Source{ID: h.StoreID, Host: h.Place.Host, Watermark: h.Watermark, Last: h.Shipped, Skew: h.Skew, Seen: h.Seen, Gone: h.Stopped || h.Ended})
	}
	return sources
}
