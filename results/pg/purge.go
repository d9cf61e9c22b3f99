package pg

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dmarcgate/results"
	"dmarcgate/results/blob"
)

// Purge deletes the rows that are meant, of all hosts, and what is known of
// their senders, and gives the space back. It works in slices; what it has
// deleted stays deleted when it ends early. It returns how many rows it
// deleted.
//
// Run it after the purges of the local stores: what they have not shipped yet
// comes afterwards.
func (r *Reader) Purge(ctx context.Context, p results.Purge) (int64, error) {
	p, err := p.Normal()
	if err != nil {
		return 0, err
	}
	conn, err := r.conf.connect(ctx, "dmarcgate purge")
	if err != nil {
		return 0, fmt.Errorf("purging in PostgreSQL: %w", err)
	}
	defer hangUp(conn)
	w := &purger{conn: conn, p: p, store: -1, seq: -1, days: make(map[time.Time]bool)}
	if err := w.begin(ctx); err != nil {
		return 0, fmt.Errorf("purging in PostgreSQL: %w", err)
	}
	if err := w.all(ctx); err != nil {
		return w.deleted, fmt.Errorf("purging in PostgreSQL, after %d rows: %w", w.deleted, err)
	}
	if w.unreadable > 0 {
		return w.deleted, fmt.Errorf("%d rows in PostgreSQL cannot be read, so that nobody can say whether they are meant; they stay", w.unreadable)
	}
	return w.deleted, nil
}

// purger is one purge.
type purger struct {
	conn *pgx.Conn
	p    results.Purge

	// The last row that was looked at.
	at    time.Time
	store int32
	seq   int64

	// Where the rows ended at the start: the last time, and the last number of
	// each store. Rows that come meanwhile stay; without that bound, hosts with
	// much mail could keep the purge at work for ever.
	end  time.Time
	ends map[int32]int64

	days                map[time.Time]bool // in which rows were deleted
	deleted, unreadable int64
}

// begin notes where the rows end.
func (w *purger) begin(ctx context.Context) error {
	var last *time.Time
	if err := w.conn.QueryRow(ctx, "SELECT max(time) FROM dmarcgate.message").Scan(&last); err != nil {
		return err
	}
	if last != nil {
		w.end = whole(*last).Add(time.Millisecond)
	}
	if !w.p.Before.IsZero() {
		if before := whole(w.p.Before).Add(time.Millisecond); before.Before(w.end) { // within it, Matches tells
			w.end = before
		}
	}
	rows, err := w.conn.Query(ctx, "SELECT id, shipped FROM dmarcgate.store")
	if err != nil {
		return err
	}
	w.ends = make(map[int32]int64)
	var store int32
	var shipped int64
	_, err = pgx.ForEachRow(rows, []any{&store, &shipped}, func() error {
		w.ends[store] = shipped
		return nil
	})
	return err
}

func (w *purger) all(ctx context.Context) error {
	for {
		rows, err := w.read(ctx)
		if err != nil {
			return err
		}
		var meant keys
		for i := range rows {
			if rows[i].Sequence > w.ends[rows[i].store] {
				continue // it came meanwhile
			}
			if row, err := rows[i].Row(); err != nil {
				w.unreadable++
			} else if results.Matches(&row, w.p) {
				meant.add(rows[i])
				w.days[day(rows[i].Time)] = true
			}
		}
		if err := w.delete(ctx, meant); err != nil {
			return err
		}
		if len(rows) < scanSlice {
			break
		}
	}
	if err := w.senders(ctx); err != nil {
		return err
	}
	return w.giveBack(ctx)
}

// kept is a row as PostgreSQL has it.
type kept struct {
	blob.Shipment
	store int32
}

const keptSQL = "SELECT " + rowSelection + `, store FROM dmarcgate.message
	WHERE (time, store, seq) > ($1, $2, $3) AND time >= $1 AND time < $4 ORDER BY time, store, seq LIMIT $5`

// readKept reads rows after one, whether or not they can be understood.
func readKept(ctx context.Context, q interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}, args ...any) ([]kept, error) {
	rows, err := q.Query(ctx, keptSQL, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanKept)
}

func scanKept(row pgx.CollectableRow) (s kept, err error) {
	s.Shipment, err = scanShipment(row, &s.store)
	return s, err
}

func (w *purger) read(ctx context.Context) ([]kept, error) {
	rows, err := readKept(ctx, w.conn, w.at, w.store, w.seq, w.end, scanSlice)
	if n := len(rows); n > 0 {
		w.at, w.store, w.seq = rows[n-1].Time, rows[n-1].store, rows[n-1].Sequence
	}
	return rows, err
}

// keys are the primary keys of rows.
type keys struct {
	stores []int32
	seqs   []int64
	times  []time.Time
}

func (k *keys) add(s kept) {
	k.stores, k.seqs, k.times = append(k.stores, s.store), append(k.seqs, s.Sequence), append(k.times, s.Time)
}

func (w *purger) delete(ctx context.Context, k keys) error {
	if len(k.seqs) == 0 {
		return nil
	}
	tag, err := w.conn.Exec(ctx, `DELETE FROM dmarcgate.message AS m
		USING unnest($1::integer[], $2::bigint[], $3::timestamptz[]) AS d (store, seq, time)
		WHERE m.store = d.store AND m.seq = d.seq AND m.time = d.time`, k.stores, k.seqs, k.times)
	w.deleted += tag.RowsAffected()
	if err == nil {
		_, err = w.conn.Exec(ctx, `DELETE FROM dmarcgate.ruled AS r
			USING unnest($1::integer[], $2::bigint[], $3::timestamptz[]) AS d (store, seq, time)
			WHERE r.store = d.store AND r.seq = d.seq AND r.time = d.time`, k.stores, k.seqs, k.times)
	}
	return err
}

func (w *purger) senders(ctx context.Context) error {
	rows, err := w.conn.Query(ctx, "SELECT org, net, last FROM dmarcgate.sender")
	if err != nil {
		return err
	}
	var orgs []string
	var nets []netip.Prefix
	var who results.Sender
	_, err = pgx.ForEachRow(rows, []any{&who.Org, &who.Net, &who.Time}, func() error {
		if who.Matches(w.p) {
			orgs, nets = append(orgs, who.Org), append(nets, who.Net)
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = w.conn.Exec(ctx, `DELETE FROM dmarcgate.sender AS s USING unnest($1::text[], $2::cidr[]) AS d (org, net)
		WHERE s.org = d.org AND s.net = d.net`, orgs, nets)
	return err
}

// giveBack vacuums the days in which rows were deleted. Days that are over are
// written anew, when nobody reads them for the moment: only that makes them
// smaller at once.
func (w *purger) giveBack(ctx context.Context) error {
	if _, err := w.conn.Exec(ctx, "SET statement_timeout = 0; SET lock_timeout = '"+dropWait+"'"); err != nil {
		return err
	}
	var today time.Time
	if err := w.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&today); err != nil {
		return err
	}
	var failed error
	for d := range w.days {
		name := "dmarcgate." + partitionName(d)
		var err error
		if d.AddDate(0, 0, 2).Before(today) {
			_, err = w.conn.Exec(ctx, "VACUUM (FULL) "+name)
		}
		if err != nil || !d.AddDate(0, 0, 2).Before(today) {
			_, err = w.conn.Exec(ctx, "VACUUM "+name)
		}
		var pgErr *pgconn.PgError
		if err != nil && !(errors.As(err, &pgErr) && pgErr.Code == "42P01") { // undefined_table: dropped meanwhile
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
